//! Ports that nobody uses.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context;

/// Below the range that the kernel gives to outgoing sockets.
const FIRST: u16 = 12_000;
const BLOCK: u16 = 24;
const BLOCKS: u16 = 860;

/// The ports of one installation.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    base: u16,
}

static NEXT: AtomicU16 = AtomicU16::new(0);

impl Ports {
    /// A block of ports that are free now, for UDP and for TCP. Processes start
    /// at different blocks so that they rarely look at the same one.
    ///
    /// # Errors
    /// When every block is in use.
    pub fn free() -> anyhow::Result<Self> {
        let process = u16::try_from(std::process::id() % u32::from(BLOCKS))?;
        (0..BLOCKS)
            .map(|_| NEXT.fetch_add(1, Ordering::Relaxed))
            .map(|turn| Self {
                base: FIRST + (process.wrapping_mul(7).wrapping_add(turn) % BLOCKS) * BLOCK,
            })
            .find(|ports| (0..BLOCK).all(|offset| is_free(ports.base + offset)))
            .context("no block of free ports")
    }

    /// One port of the block.
    ///
    /// # Panics
    /// When `offset` is outside the block: a mistake of the caller.
    #[must_use]
    pub fn at(self, offset: u16) -> u16 {
        assert!(offset < BLOCK, "a block has {BLOCK} ports");
        self.base + offset
    }
}

fn is_free(port: u16) -> bool {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let local = SocketAddr::from(([127, 0, 0, 1], port));
    UdpSocket::bind(any).is_ok()
        && TcpListener::bind(any).is_ok()
        && TcpListener::bind(local).is_ok()
}
