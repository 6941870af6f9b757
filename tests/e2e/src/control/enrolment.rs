//! Simulated nodes get their credentials as real ones do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::Context;
use proto::fleet as pb;
use proto::fleet::fleet_client::FleetClient;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use crate::house::House;

/// An enrolled node.
#[derive(Debug, Clone)]
pub(crate) struct Enrolled {
    pub(super) node_id: String,
    pub(super) credential: String,
}

/// Requests under way at once.
const AT_ONCE: u32 = 8;

/// Makes and enrols so many nodes.
pub(crate) fn enrol(house: &House, nodes: u32) -> anyhow::Result<Vec<Enrolled>> {
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(|| work(house, &next, nodes)))
            .collect();
        let mut enrolled = Vec::with_capacity(nodes as usize);
        for worker in workers {
            let part = worker.join().ok().context("an enrolling thread died")?;
            enrolled.extend(part?);
        }
        Ok(enrolled)
    })
}

fn work(house: &House, next: &AtomicU32, nodes: u32) -> anyhow::Result<Vec<Enrolled>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let endpoint = Endpoint::from_shared(house.api_grpc())?;
    let mut client = FleetClient::new(runtime.block_on(endpoint.connect())?);
    let api = house.api();
    let mut enrolled = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= nodes {
            return Ok(enrolled);
        }
        let node = json!({"name": format!("node{number}"), "region": "local", "probation": false});
        let made = api.post("/api/v1/ops/nodes", &node)?.success()?;
        let join_token = made["join_token"].as_str().context("no join token")?;
        enrolled.push(runtime.block_on(exchange(&mut client, join_token))?);
    }
}

async fn exchange(client: &mut FleetClient<Channel>, join_token: &str) -> anyhow::Result<Enrolled> {
    let request = pb::EnrolRequest {
        join_token: join_token.to_owned(),
    };
    let response = client.enrol(request).await?.into_inner();
    Ok(Enrolled {
        node_id: response.node_id,
        credential: response.credential,
    })
}
