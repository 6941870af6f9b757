//! Captured sessions: the UDP datagrams of a pcap file, in order.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;

/// One captured datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// When, on the capturing machine's clock.
    pub at: Duration,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What it carried.
    pub payload: Vec<u8>,
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open the capture: {0}")]
    Open(#[from] std::io::Error),
    /// It is not a pcap file, or a broken one.
    #[error("cannot read the capture: {0}")]
    Read(#[from] pcap_file::PcapError),
    /// The link type is not one this reader knows.
    #[error("captures of link type {0:?} are not understood")]
    LinkType(DataLink),
}

/// Reads every whole UDP datagram over IPv4 or IPv6; skips the rest.
///
/// # Errors
/// When the file cannot be opened, is broken or of an unknown link type.
pub fn read(path: &Path) -> Result<Vec<Datagram>, Error> {
    let mut reader = PcapReader::new(File::open(path)?)?;
    let skip = link_header(reader.header().datalink)?;
    let mut datagrams = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet?;
        let ip = packet.data.get(skip..).unwrap_or_default();
        datagrams.extend(datagram(packet.timestamp, ip));
    }
    Ok(datagrams)
}

/// How many bytes precede the IP header.
fn link_header(link: DataLink) -> Result<usize, Error> {
    match link {
        DataLink::NULL | DataLink::LOOP => Ok(4),
        DataLink::ETHERNET => Ok(14),
        DataLink::LINUX_SLL => Ok(16),
        DataLink::LINUX_SLL2 => Ok(20),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => Ok(0),
        other => Err(Error::LinkType(other)),
    }
}

const PROTOCOL_UDP: u8 = 17;
const IPV6_HEADER: usize = 40;

fn datagram(at: Duration, ip: &[u8]) -> Option<Datagram> {
    let (from, to, udp) = match ip.first()? >> 4 {
        4 => ipv4(ip)?,
        6 => ipv6(ip)?,
        _ => return None,
    };
    let field = |index: usize| {
        Some(u16::from_be_bytes(
            udp.get(index..index + 2)?.try_into().ok()?,
        ))
    };
    let payload = udp.get(8..usize::from(field(4)?))?.to_vec();
    Some(Datagram {
        at,
        from: (from, field(0)?).into(),
        to: (to, field(2)?).into(),
        payload,
    })
}

fn ipv4(ip: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let header = usize::from(ip[0] & 0x0f) * 4;
    let address = |index: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = ip.get(index..index + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    };
    // More fragments, or not the first one: no whole datagram here.
    let fragment = u16::from_be_bytes(ip.get(6..8)?.try_into().ok()?) & 0x3fff;
    let is_whole_udp = *ip.get(9)? == PROTOCOL_UDP && fragment == 0;
    is_whole_udp.then_some(())?;
    Some((address(12)?, address(16)?, ip.get(header..)?))
}

fn ipv6(ip: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let address = |index: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = ip.get(index..index + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    (*ip.get(6)? == PROTOCOL_UDP).then_some(())?;
    Some((address(8)?, address(24)?, ip.get(IPV6_HEADER..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_over_ipv4_is_read() {
        let mut ip = vec![
            0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2,
        ];
        ip.extend([0x13, 0x88, 0x0f, 0xa0, 0, 11, 0, 0]);
        ip.extend(b"abc and padding");
        let read = datagram(Duration::ZERO, &ip).unwrap();
        assert_eq!(read.from, "127.0.0.1:5000".parse().unwrap());
        assert_eq!(read.to, "127.0.0.2:4000".parse().unwrap());
        assert_eq!(read.payload, b"abc");
    }

    #[test]
    fn anything_else_is_skipped() {
        assert_eq!(datagram(Duration::ZERO, &[]), None);
        assert_eq!(datagram(Duration::ZERO, &[0x45; 12]), None);
        assert_eq!(datagram(Duration::ZERO, &[0x60; 30]), None);
    }
}
