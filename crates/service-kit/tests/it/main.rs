//! Services are started, asked over their admin listeners, and stopped.

#![allow(clippy::unwrap_used)] // helpers of tests, too, may panic

mod admin;
mod configuration;
mod grpc;
mod lifecycle;
mod strangers;
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde::{Deserialize, Serialize};
use streamhaul_service_kit::{KitConfig, SecretString, ServiceConfig, secret};

/// A service's configuration, as services write them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    kit: KitConfig,
    workers: u32,
    #[serde(serialize_with = "secret::redacted")]
    token: SecretString,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kit: KitConfig::with_admin_port(0),
            workers: 4,
            token: SecretString::default(),
        }
    }
}

impl ServiceConfig for Config {
    fn kit(&self) -> &KitConfig {
        &self.kit
    }

    fn descriptor_sets() -> &'static [&'static [u8]] {
        &[tonic_health::pb::FILE_DESCRIPTOR_SET]
    }

    fn validate(&self) -> Result<(), String> {
        if self.workers == 0 {
            Err("workers must be at least 1".to_owned())
        } else {
            Ok(())
        }
    }
}

/// One HTTP exchange; the status and the body.
fn exchange(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

fn get(to: SocketAddr, path: &str) -> (u16, String) {
    exchange(to, "GET", path, "")
}
