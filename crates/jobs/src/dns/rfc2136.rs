//! Dynamic updates (RFC 2136), signed (TSIG, RFC 8945), to a name server of one's own:
//! BIND, Knot, PowerDNS.
//!
//! An update is one message: whatever records the name has go, and the one that it should
//! have comes, or none of it happens. It goes by UDP, and by TCP when it is too long, when
//! the answer was cut off or when there is none. Only a signed answer counts as one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, PushError};
use domain::base::rdata::UnknownRecordData;
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::tsig::Time48;
use domain::rdata::{A, Aaaa, Cname};
use domain::tsig::{Algorithm, ClientTransaction, Key, ValidationError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{Error, Provider, Record, Target};

/// RFC 1035, section 4.2.1.
const UDP_BYTES_MAX: usize = 512;
const UDP_TIMEOUT: Duration = Duration::from_secs(2);
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// No shorter secret is worth the name: half of what HMAC-SHA256 takes.
const SECRET_BYTES_MIN: usize = 16;

/// Where the server is, and what it knows us by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The primary server.
    pub server: SocketAddr,
    /// The zone that is updated, as the server knows it.
    pub zone: String,
    /// The name of the TSIG key.
    pub key_name: String,
    /// The key for HMAC-SHA256, in base64, as `tsig-keygen` prints it.
    pub secret: SecretString,
}

/// The provider.
pub struct Rfc2136 {
    server: SocketAddr,
    zone: Name<Vec<u8>>,
    key: Arc<Key>,
}

/// A signed update, and what its answer must fit.
struct Request {
    bytes: Vec<u8>,
    transaction: ClientTransaction<Arc<Key>>,
}

impl Rfc2136 {
    /// One that updates a zone.
    ///
    /// # Errors
    /// When a name is none, or the key is no base64 or too short.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let zone = name(&settings.zone).ok_or_else(|| {
            anyhow::anyhow!("dns.rfc2136.zone: a domain name such as example.com")
        })?;
        Ok(Self {
            server: settings.server,
            zone,
            key: Arc::new(key(settings)?),
        })
    }

    async fn update(&self, record: &Record) -> Result<(), Error> {
        let request = self.request(record)?;
        let answer = match self.ask_by_udp(&request).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => self.ask_by_tcp(&request).await.map_err(|error| {
                Error::Unavailable(format!("{} does not answer: {error}", self.server))
            })?,
        };
        self.heard(&request, answer)
    }

    fn request(&self, record: &Record) -> Result<Request, Error> {
        let mut message = self
            .message(record)
            .map_err(|_| Error::Refused("the update is too long".to_owned()))?;
        let now = Time48::now();
        let transaction = ClientTransaction::request(self.key.clone(), &mut message, now)
            .map_err(|_| Error::Refused("the update is too long".to_owned()))?;
        Ok(Request {
            bytes: message.finish(),
            transaction,
        })
    }

    /// RFC 2136, section 2: the zone stands in the question section, what is to be done in
    /// the authority section; section 2.5.3: a record of any type and class, without data,
    /// deletes all that the name has.
    fn message(&self, record: &Record) -> Result<AdditionalBuilder<Vec<u8>>, Malformed> {
        let owner = name(&record.name).ok_or(Malformed)?;
        let mut message = MessageBuilder::new_vec();
        let header = message.header_mut();
        header.set_id(getrandom::u32().map_or(0, |random| (random >> 16) as u16));
        header.set_opcode(Opcode::UPDATE);
        let mut zone = message.question();
        zone.push((&self.zone, Rtype::SOA, Class::IN))?;
        let mut updates = zone.authority();
        let nothing = UnknownRecordData::from_octets(Rtype::ANY, []).map_err(|_| Malformed)?;
        updates.push((&owner, Class::ANY, Ttl::ZERO, nothing))?;
        let ttl = Ttl::from_secs(record.ttl_seconds);
        match &record.target {
            None => {}
            Some(Target::V4(address)) => {
                updates.push((&owner, Class::IN, ttl, A::new(*address)))?;
            }
            Some(Target::V6(address)) => {
                updates.push((&owner, Class::IN, ttl, Aaaa::new(*address)))?;
            }
            Some(Target::Host(host)) => {
                let host = Cname::new(name(host).ok_or(Malformed)?);
                updates.push((&owner, Class::IN, ttl, host))?;
            }
        }
        Ok(updates.additional())
    }

    /// None: it is a matter for TCP.
    async fn ask_by_udp(&self, request: &Request) -> std::io::Result<Option<Vec<u8>>> {
        if request.bytes.len() > UDP_BYTES_MAX {
            return Ok(None);
        }
        let any: SocketAddr = match self.server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(self.server).await?;
        socket.send(&request.bytes).await?;
        let answer = timeout(UDP_TIMEOUT, receive(&socket, request)).await??;
        let is_cut_off = Message::from_octets(&answer).is_ok_and(|it| it.header().tc());
        Ok((!is_cut_off).then_some(answer))
    }

    async fn ask_by_tcp(&self, request: &Request) -> std::io::Result<Vec<u8>> {
        timeout(TCP_TIMEOUT, async {
            let mut stream = TcpStream::connect(self.server).await?;
            let length = u16::try_from(request.bytes.len()).map_err(std::io::Error::other)?;
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend_from_slice(&request.bytes);
            stream.write_all(&framed).await?;
            let mut answer = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        })
        .await?
    }

    fn heard(&self, request: &Request, answer: Vec<u8>) -> Result<(), Error> {
        let strange = |what| Error::Unavailable(format!("{} answers {what}", self.server));
        let mut answer = Message::from_octets(answer).map_err(|_| strange("no DNS message"))?;
        if !is_answer(answer.as_slice(), request) {
            return Err(strange("something else"));
        }
        let rcode = answer.header().rcode();
        request
            .transaction
            .answer(&mut answer, Time48::now())
            .map_err(|error| self.unbelieved(&error, rcode))?;
        self.done(rcode)
    }

    /// An answer that is not signed as it should be says nothing for certain.
    fn unbelieved(&self, error: &ValidationError, rcode: Rcode) -> Error {
        let key = self.key.name();
        match error {
            ValidationError::ServerBadKey => Error::Unauthorized(format!(
                "{} does not know the key {key} (BADKEY): check dns.rfc2136.key_name",
                self.server
            )),
            ValidationError::ServerBadSig => Error::Unauthorized(format!(
                "{} has another secret for the key {key} (BADSIG): check dns.rfc2136.key_file",
                self.server
            )),
            ValidationError::ServerBadTime { .. } | ValidationError::BadTime => {
                Error::Unauthorized(format!(
                    "the clocks of {} and of this machine differ (BADTIME)",
                    self.server
                ))
            }
            error => Error::Unavailable(format!(
                "{} answers {rcode}, not signed as it should be: {error}",
                self.server
            )),
        }
    }

    /// RFC 2136, section 2.2.
    fn done(&self, rcode: Rcode) -> Result<(), Error> {
        match rcode {
            Rcode::NOERROR => Ok(()),
            Rcode::REFUSED => Err(Error::Unauthorized(format!(
                "{} refuses updates with the key {} (REFUSED): check the zone's update policy",
                self.server,
                self.key.name()
            ))),
            Rcode::NOTAUTH | Rcode::NOTZONE => Err(Error::Unauthorized(format!(
                "{} has no zone {} with the name in it ({rcode}): check dns.rfc2136.zone",
                self.server, self.zone
            ))),
            Rcode::SERVFAIL => Err(Error::Unavailable(format!(
                "{} fails (SERVFAIL)",
                self.server
            ))),
            rcode => Err(Error::Refused(format!("{} answers {rcode}", self.server))),
        }
    }
}

impl Provider for Rfc2136 {
    fn apply<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Error>> {
        self.update(record).boxed()
    }
}

/// What cannot be said in a message.
#[derive(Debug)]
struct Malformed;

impl From<PushError> for Malformed {
    fn from(_: PushError) -> Self {
        Self
    }
}

/// Reads until the answer is there; what else comes is not for us.
async fn receive(socket: &UdpSocket, request: &Request) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_answer(&buffer[..length], request) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

fn is_answer(bytes: &[u8], request: &Request) -> bool {
    let asked = Message::from_octets(request.bytes.as_slice()).map(|it| it.header().id());
    let told = Message::from_octets(bytes).map(|it| it.header());
    match (asked, told) {
        (Ok(id), Ok(header)) => {
            header.qr() && header.id() == id && header.opcode() == Opcode::UPDATE
        }
        _ => false,
    }
}

fn name(text: &str) -> Option<Name<Vec<u8>>> {
    let name = Name::vec_from_str(text).ok()?;
    (!name.is_root()).then_some(name)
}

fn key(settings: &Settings) -> anyhow::Result<Key> {
    let secret = STANDARD
        .decode(settings.secret.expose_secret().trim())
        .map_err(|_| {
            anyhow::anyhow!("dns.rfc2136.key_file: expected base64, as tsig-keygen prints")
        })?;
    anyhow::ensure!(
        secret.len() >= SECRET_BYTES_MIN,
        "dns.rfc2136.key_file: a secret of {SECRET_BYTES_MIN} bytes or more; `tsig-keygen` makes one"
    );
    let name = settings
        .key_name
        .parse()
        .map_err(|_| anyhow::anyhow!("dns.rfc2136.key_name: a domain name such as streamhaul"))?;
    Key::new(Algorithm::Sha256, &secret, name, None, None)
        .map_err(|error| anyhow::anyhow!("dns.rfc2136: {error}"))
}
