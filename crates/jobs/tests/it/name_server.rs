//! A primary name server that takes dynamic updates, written from RFC 2136 and RFC 8945
//! and not with the library that the updates are made with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

pub(crate) const ZONE: &str = "example.com";
pub(crate) const KEY_NAME: &str = "streamhaul-key";
pub(crate) const SECRET: &[u8] = b"a secret of the tests, 32 bytes.";

const TSIG: u16 = 250;
const ANY: u16 = 255;
const IN: u16 = 1;
const NOTAUTH: u8 = 9;
const BADSIG: u16 = 16;
const BADKEY: u16 = 17;

/// How it behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Habit {
    #[default]
    Good,
    /// Hears nothing by UDP.
    Deaf,
    /// Cuts its answers by UDP off.
    Terse,
    /// Signs its answers with another key.
    Impostor,
    /// Does not let anybody change anything.
    Closed,
}

#[derive(Default)]
struct Inner {
    habit: Habit,
    /// By name: type, TTL, data.
    records: BTreeMap<String, Vec<(u16, u32, Vec<u8>)>>,
    /// Updates that were carried out, by how they came.
    updates: Vec<&'static str>,
}

#[derive(Clone, Default)]
struct Zone(Arc<Mutex<Inner>>);

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Zone,
    _tasks: JoinSet<()>,
}

impl NameServer {
    pub(crate) async fn start(habit: Habit) -> Self {
        let zone = Zone::default();
        zone.lock().habit = habit;
        let (udp, tcp) = same_port().await;
        let address = tcp.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(by_udp(zone.clone(), udp));
        tasks.spawn(by_tcp(zone.clone(), tcp));
        Self {
            address,
            zone,
            _tasks: tasks,
        }
    }

    /// What a name has.
    pub(crate) fn records(&self, name: &str) -> Vec<(u16, u32, Vec<u8>)> {
        let found = self.zone.lock().records.get(name).cloned();
        found.unwrap_or_default()
    }

    pub(crate) fn updates(&self) -> Vec<&'static str> {
        self.zone.lock().updates.clone()
    }
}

async fn same_port() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn by_udp(zone: Zone, socket: UdpSocket) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let habit = zone.lock().habit;
        let answer = match habit {
            Habit::Deaf => continue,
            // TC in the third octet.
            Habit::Terse => {
                let mut answer = buffer[..12].to_vec();
                answer[2] |= 0x82;
                answer[4..].fill(0);
                answer
            }
            _ => zone.answer(&buffer[..length], "udp"),
        };
        // Nobody's answer, before the one that is waited for.
        socket.send_to(&[0; 12], from).await.unwrap();
        socket.send_to(&answer, from).await.unwrap();
    }
}

async fn by_tcp(zone: Zone, listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await.unwrap();
        let answer = zone.answer(&message, "tcp");
        let length = u16::try_from(answer.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}

/// A record of a message, and where it began.
struct Parsed {
    start: usize,
    name: String,
    kind: u16,
    class: u16,
    ttl: u32,
    data: Vec<u8>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u16(&mut self) -> u16 {
        self.at += 2;
        u16::from_be_bytes(self.bytes[self.at - 2..self.at].try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        (u32::from(self.u16()) << 16) | u32::from(self.u16())
    }

    /// Updates have no compressed names: none may point elsewhere.
    fn name(&mut self) -> String {
        let mut labels = Vec::new();
        loop {
            let length = usize::from(self.bytes[self.at]);
            assert!(length < 64, "a compressed name");
            self.at += 1 + length;
            if length == 0 {
                return labels.join(".");
            }
            let label = &self.bytes[self.at - length..self.at];
            labels.push(std::str::from_utf8(label).unwrap().to_owned());
        }
    }

    fn record(&mut self) -> Parsed {
        let start = self.at;
        let name = self.name();
        let (kind, class, ttl) = (self.u16(), self.u16(), self.u32());
        let length = usize::from(self.u16());
        self.at += length;
        Parsed {
            start,
            name,
            kind,
            class,
            ttl,
            data: self.bytes[self.at - length..self.at].to_vec(),
        }
    }
}

impl Zone {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn answer(&self, message: &[u8], by: &'static str) -> Vec<u8> {
        let mut reader = Reader {
            bytes: message,
            at: 0,
        };
        let id = reader.u16();
        assert_eq!(reader.u16() >> 11, 5, "an UPDATE");
        let counts = [(); 4].map(|()| reader.u16());
        assert_eq!(counts[0], 1, "one zone");
        let (zone, kind, class) = (reader.name(), reader.u16(), reader.u16());
        assert_eq!((kind, class), (6, IN), "an SOA");
        assert_eq!(counts[1], 0, "no prerequisite");
        let updates: Vec<Parsed> = (0..counts[2]).map(|_| reader.record()).collect();
        assert_eq!(counts[3], 1, "a signature, and nothing besides");
        let signature = Signature::of(&reader.record(), message);
        assert_eq!(reader.at, message.len());

        let habit = self.lock().habit;
        if let Err(error) = signature.check(message) {
            return signature.unsigned(id, error);
        }
        let rcode = if habit == Habit::Closed {
            5
        } else if zone == ZONE {
            self.update(updates, by)
        } else {
            NOTAUTH
        };
        let secret = match habit {
            Habit::Impostor => b"another secret, 32 bytes as well".as_slice(),
            _ => SECRET,
        };
        signature.signed(id, rcode, secret)
    }

    /// RFC 2136, section 3.4.2.
    fn update(&self, updates: Vec<Parsed>, by: &'static str) -> u8 {
        let mut inner = self.lock();
        for update in updates {
            assert!(update.name.ends_with(ZONE), "in the zone");
            match (update.class, update.kind) {
                (ANY, ANY) => {
                    assert_eq!((update.ttl, update.data.len()), (0, 0));
                    inner.records.remove(&update.name);
                }
                (IN, kind) => {
                    let records = inner.records.entry(update.name).or_default();
                    records.push((kind, update.ttl, update.data));
                }
                other => panic!("{other:?} is not asked for"),
            }
        }
        inner.updates.push(by);
        0
    }
}

/// A TSIG record (RFC 8945, section 4.2).
struct Signature {
    start: usize,
    key: String,
    algorithm: String,
    time: [u8; 6],
    fudge: u16,
    mac: Vec<u8>,
}

impl Signature {
    fn of(record: &Parsed, message: &[u8]) -> Self {
        assert_eq!((record.kind, record.class, record.ttl), (TSIG, ANY, 0));
        let mut reader = Reader {
            bytes: &record.data,
            at: 0,
        };
        let algorithm = reader.name();
        let time = record.data[reader.at..reader.at + 6].try_into().unwrap();
        reader.at += 6;
        let fudge = reader.u16();
        let length = usize::from(reader.u16());
        let mac = record.data[reader.at..reader.at + length].to_vec();
        reader.at += length;
        assert_eq!(reader.u16().to_be_bytes(), message[..2], "the id as it was");
        assert_eq!((reader.u16(), reader.u16()), (0, 0), "no error, no more");
        Self {
            start: record.start,
            key: record.name.clone(),
            algorithm,
            time,
            fudge,
            mac,
        }
    }

    /// Section 5.2.
    fn check(&self, message: &[u8]) -> Result<(), u16> {
        if (self.key.as_str(), self.algorithm.as_str()) != (KEY_NAME, "hmac-sha256") {
            return Err(BADKEY);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut time = [0; 8];
        time[2..].copy_from_slice(&self.time);
        let skew = now.as_secs().abs_diff(u64::from_be_bytes(time));
        assert!(skew <= self.fudge.into(), "made just now");
        let mut unsigned = message[..self.start].to_vec();
        unsigned[11] -= 1;
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(&unsigned);
        mac.update(&self.variables(0));
        mac.verify_slice(&self.mac).map_err(|_| BADSIG)
    }

    /// Section 4.3.3.
    fn variables(&self, error: u16) -> Vec<u8> {
        let mut variables = wire(&self.key);
        variables.extend(ANY.to_be_bytes());
        variables.extend(0_u32.to_be_bytes());
        variables.extend(wire("hmac-sha256"));
        variables.extend(self.time);
        variables.extend(self.fudge.to_be_bytes());
        variables.extend(error.to_be_bytes());
        variables.extend(0_u16.to_be_bytes());
        variables
    }

    /// Section 5.3: the request's signature is signed too.
    fn signed(&self, id: u16, rcode: u8, secret: &[u8]) -> Vec<u8> {
        let mut answer = head(id, rcode, 0);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(&u16::try_from(self.mac.len()).unwrap().to_be_bytes());
        mac.update(&self.mac);
        mac.update(&answer);
        mac.update(&self.variables(0));
        let mac = mac.finalize().into_bytes();
        answer[11] = 1;
        answer.extend(self.record(id, 0, &mac));
        answer
    }

    /// Section 5.3.2: who cannot be believed cannot be answered with a signature.
    fn unsigned(&self, id: u16, error: u16) -> Vec<u8> {
        let mut answer = head(id, NOTAUTH, 1);
        answer.extend(self.record(id, error, &[]));
        answer
    }

    fn record(&self, id: u16, error: u16, mac: &[u8]) -> Vec<u8> {
        let mut data = wire("hmac-sha256");
        data.extend(self.time);
        data.extend(self.fudge.to_be_bytes());
        data.extend(u16::try_from(mac.len()).unwrap().to_be_bytes());
        data.extend(mac);
        data.extend(id.to_be_bytes());
        data.extend(error.to_be_bytes());
        data.extend(0_u16.to_be_bytes());
        let mut record = wire(&self.key);
        record.extend(TSIG.to_be_bytes());
        record.extend(ANY.to_be_bytes());
        record.extend(0_u32.to_be_bytes());
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        record
    }
}

/// QR and the opcode UPDATE.
fn head(id: u16, rcode: u8, additional: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![high, low, 0xa8, rcode, 0, 0, 0, 0, 0, 0, 0, additional]
}

/// A name as it stands in messages.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).unwrap();
        std::iter::once(length).chain(label.bytes())
    });
    labels.chain([0]).collect()
}
