//! The least that a server of the same kind does about a wrong signature: it reads the request,
//! computes what the signature should be, and refuses.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::serve::ListenerExt as _;
use ring::hmac;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The server, as long as this lives.
pub(super) struct Floor {
    pub(super) address: SocketAddr,
    _runtime: Runtime,
}

impl Floor {
    pub(super) fn start() -> anyhow::Result<Self> {
        let runtime = Runtime::new().context("start a runtime")?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        // As ours does: answers do not wait for one another.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, b"a secret"));
        let router = Router::new().fallback(judge).with_state(key);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            _runtime: runtime,
        })
    }
}

async fn judge(State(key): State<Arc<hmac::Key>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
    let mut mac = hmac::Context::with_key(&key);
    for part in [header("x-timestamp"), b":", &body] {
        mac.update(part);
    }
    if hex::encode(mac.sign()).as_bytes() == header("x-signature") {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}
