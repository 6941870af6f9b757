//! Cookies: the proof that a caller receives at the address it sends from.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

/// Makes and checks cookies from a secret, keeping nothing.
///
/// A cookie is SipHash-2-4 over the caller's address, port and the minute. It is valid in its
/// minute and the next, so a caller has one to two minutes for its second step.
#[derive(Clone)]
pub struct Cookies {
    secret: [u8; 16],
}

impl Cookies {
    /// Cookies under `secret`, which must be random and the same on every shard of a node.
    pub const fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// The cookie for a caller at `from` in `minute`. Never 0, which says "no cookie yet".
    pub fn cookie(&self, from: SocketAddr, minute: u64) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(&address_bytes(from));
        hasher.write(&from.port().to_be_bytes());
        hasher.write(&minute.to_be_bytes());
        (hasher.finish() as u32).max(1)
    }

    /// Whether `cookie` was made for `from` in `minute` or the minute before.
    pub fn is_valid(&self, cookie: u32, from: SocketAddr, minute: u64) -> bool {
        cookie == self.cookie(from, minute) || cookie == self.cookie(from, minute.wrapping_sub(1))
    }
}

/// An IPv4 address is the same whether the socket is dual-stack or not.
fn address_bytes(from: SocketAddr) -> [u8; 16] {
    match from.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "192.0.2.7:4000";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_cookie_lives_for_its_minute_and_the_next() {
        let cookies = Cookies::new([7; 16]);
        let cookie = cookies.cookie(address(CALLER), 100);
        assert!(cookies.is_valid(cookie, address(CALLER), 100));
        assert!(cookies.is_valid(cookie, address(CALLER), 101));
        assert!(!cookies.is_valid(cookie, address(CALLER), 102));
        assert!(!cookies.is_valid(cookie, address(CALLER), 99));
    }

    #[test]
    fn a_cookie_belongs_to_one_address_port_and_secret() {
        let cookies = Cookies::new([7; 16]);
        let cookie = cookies.cookie(address(CALLER), 100);
        assert!(!cookies.is_valid(cookie, address("192.0.2.8:4000"), 100));
        assert!(!cookies.is_valid(cookie, address("192.0.2.7:4001"), 100));
        assert!(!Cookies::new([8; 16]).is_valid(cookie, address(CALLER), 100));
        assert!(!cookies.is_valid(0, address(CALLER), 100));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let cookies = Cookies::new([7; 16]);
        let mapped = address("[::ffff:192.0.2.7]:4000");
        assert_eq!(
            cookies.cookie(mapped, 1),
            cookies.cookie(address(CALLER), 1)
        );
    }
}
