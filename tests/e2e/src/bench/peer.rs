//! Somebody else's relay: a command, and where its publishers and players call.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use testkit::srt_caller::Role;

use super::cores::Cores;
use super::profile::Shape;
use super::way::Links;
use crate::program::Program;

/// How to run and to reach it.
///
/// In the command `{streams}` and `{players}` stand for the profile's numbers;
/// in the addresses `{n}` stands for the stream's number from 0, and `{n:03}`
/// for the same in three digits.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Run by `sh -c`.
    pub command: String,
    /// Where stream `n` is published: `srt://HOST:PORT?streamid=…`.
    pub publish: String,
    /// Where it is published in SRTLA: that of its SRTLA receiver, if it has one.
    pub srtla: Option<String>,
    /// Where it is played.
    pub play: String,
    /// Whether it is held on one core, as the node is.
    pub pinned: bool,
}

impl Peer {
    pub(super) fn start(&self, shape: Shape, cores: &Cores, log: &Path) -> anyhow::Result<Program> {
        let text = self
            .command
            .replace("{streams}", &shape.streams.to_string())
            .replace("{players}", &shape.players.to_string());
        let mut command = Command::new("sh");
        command.args(["-c", &text]);
        if self.pinned {
            cores.pin_measured(&mut command);
        } else {
            cores.free(&mut command);
        }
        Program::start("the peer", &mut command, log)
    }

    pub(super) fn target(
        &self,
        stream: u32,
        role: Role,
        links: Links,
    ) -> anyhow::Result<(SocketAddr, String)> {
        let pattern = match (role, links) {
            (Role::Publisher, Links::One) => &self.publish,
            (Role::Publisher, Links::Several) => {
                self.srtla.as_ref().context("no SRTLA address was given")?
            }
            (Role::Player, _) => &self.play,
        };
        parse(&numbered(pattern, stream))
    }
}

fn numbered(pattern: &str, stream: u32) -> String {
    pattern
        .replace("{n:03}", &format!("{stream:03}"))
        .replace("{n}", &stream.to_string())
}

/// Reads `srt://HOST:PORT?streamid=TEXT&…`: the address and the stream id.
fn parse(url: &str) -> anyhow::Result<(SocketAddr, String)> {
    let rest = url.strip_prefix("srt://").context("no srt:// address")?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.trim_end_matches('/');
    let mut addresses = authority
        .to_socket_addrs()
        .with_context(|| format!("{authority}: no address"))?;
    let address = addresses
        .find(SocketAddr::is_ipv4)
        .context("no IPv4 address")?;
    let stream_id = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("streamid="))
        .unwrap_or_default();
    ensure!(!stream_id.contains('%'), "write the stream id as it is");
    Ok((address, stream_id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_numbered_and_read() {
        let url = numbered("srt://127.0.0.1:7{n:03}?mode=caller&streamid=live/a{n}", 7);
        let (address, stream_id) = parse(&url).unwrap();
        assert_eq!(address, "127.0.0.1:7007".parse().unwrap());
        assert_eq!(stream_id, "live/a7");
        assert_eq!(parse("srt://127.0.0.1:1").unwrap().1, "");
        assert!(parse("udp://127.0.0.1:1").is_err());
        assert!(parse("srt://127.0.0.1:1?streamid=a%20").is_err());
    }
}
