//! A path that looks at the keys of what passes: real programs do not say when
//! they change theirs.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use srt::Packet;
use srt::packet::KeyParity;

/// How soon a dropped path ends.
const PATIENCE: Duration = Duration::from_millis(100);

/// A path of one caller; dropping it ends it.
#[derive(Debug)]
pub struct KeyTap {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: AtomicU32,
    clear: AtomicU32,
    is_over: AtomicBool,
}

impl KeyTap {
    /// A path to `to`.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn start(to: SocketAddr) -> std::io::Result<Self> {
        let near = UdpSocket::bind("127.0.0.1:0")?;
        let far = UdpSocket::bind("127.0.0.1:0")?;
        far.connect(to)?;
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        let address = near.local_addr()?;
        let shared = Arc::<Shared>::default();
        let (near_up, far_up, up) = (near.try_clone()?, far.try_clone()?, Arc::clone(&shared));
        let down = Arc::clone(&shared);
        let threads = vec![
            std::thread::spawn(move || carry_up(&near_up, &far_up, &up)),
            std::thread::spawn(move || carry_down(&far, &near, &down)),
        ];
        Ok(Self {
            address,
            shared,
            threads,
        })
    }

    /// Where the caller calls.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often new data came under another key than the data before.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    /// How many data packets were not encrypted.
    #[must_use]
    pub fn clear(&self) -> u32 {
        self.shared.clear.load(Ordering::Relaxed)
    }
}

impl Drop for KeyTap {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A path that failed has shown so by losing everything.
            let _ended = thread.join();
        }
    }
}

/// The caller's datagrams; the first one says where it is.
fn carry_up(near: &UdpSocket, far: &UdpSocket, shared: &Shared) -> std::io::Result<()> {
    let mut key = KeyParity::Clear;
    let mut buffer = [0; 2048];
    let mut is_known = false;
    while !shared.is_over.load(Ordering::Relaxed) {
        let Some((length, from)) = received(near.recv_from(&mut buffer))? else {
            continue;
        };
        if !is_known {
            near.connect(from)?;
            is_known = true;
        }
        look(&buffer[..length], &mut key, shared);
        // Nobody may listen there yet.
        let _sent = far.send(&buffer[..length]);
    }
    Ok(())
}

fn carry_down(far: &UdpSocket, near: &UdpSocket, shared: &Shared) -> std::io::Result<()> {
    let mut key = KeyParity::Clear;
    let mut buffer = [0; 2048];
    while !shared.is_over.load(Ordering::Relaxed) {
        if let Some((length, _)) = received(far.recv_from(&mut buffer))? {
            look(&buffer[..length], &mut key, shared);
            // The caller may have gone.
            let _sent = near.send(&buffer[..length]);
        }
    }
    Ok(())
}

fn look(datagram: &[u8], key: &mut KeyParity, shared: &Shared) {
    let Ok(Packet::Data { header, .. }) = Packet::parse(datagram) else {
        return;
    };
    if header.key == KeyParity::Clear {
        shared.clear.fetch_add(1, Ordering::Relaxed);
    }
    if header.key != *key && !header.retransmitted {
        let is_first = *key == KeyParity::Clear;
        *key = header.key;
        shared
            .changes
            .fetch_add(u32::from(!is_first), Ordering::Relaxed);
    }
}

/// Nothing when the wait was in vain, or the other end was not there.
fn received(
    result: std::io::Result<(usize, SocketAddr)>,
) -> std::io::Result<Option<(usize, SocketAddr)>> {
    match result {
        Ok(received) => Ok(Some(received)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        },
    }
}
