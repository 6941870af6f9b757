//! A thousand sessions start at the same moment, on two replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::house::{ADMIN, Answer, House, ask};
use crate::node::{self, Node};

const STARTS: usize = 1000;
/// Times that one of them is sent at most.
const TRIES_MAX: usize = 20;
const USERS: usize = 20;
/// Each is asked for several times: 1000 starts for 240 sessions.
const CONNECTIONS: usize = 12;
/// Sessions that a node takes; together they take what is asked for and no more.
const ROOM: [u32; 5] = [100, 60, 40, 25, 10];
/// And those of a node whose allowance lasts for so many only.
const BUDGETED: u64 = 5;
/// What one session holds of an allowance, in and out with retransmissions and headers.
const HOLD_BYTES: u64 = 23_360_400_000;

/// What one of the thousand asks for.
#[derive(Clone)]
struct Ask {
    user: usize,
    connection: usize,
    key: String,
}

impl Ask {
    /// Every connection of every user in turns; half of those who ask for one connection
    /// do it with the same key.
    fn new(number: usize) -> Self {
        let (user, connection) = (number % USERS, number / USERS % CONNECTIONS);
        let turn = number / (USERS * CONNECTIONS);
        let key = if turn.is_multiple_of(2) {
            format!("connection {connection}")
        } else {
            format!("ask {number}")
        };
        Self {
            user,
            connection,
            key,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_starts_on_two_replicas_make_one_session_for_each_connection() {
    let one = House::with(patient).await;
    let two = one.replica_with(patient).await;
    let nodes = fleet(&one, &two).await;
    let mut users = Vec::new();
    for number in 0..USERS {
        users.push(one.user(&format!("user {number}")).await);
    }
    let answers = start_all(&one, &two, &users).await;

    let sessions = sessions(&answers);
    assert_eq!(sessions.len(), USERS * CONNECTIONS);
    let distinct: BTreeSet<_> = sessions.values().collect();
    assert_eq!(
        distinct.len(),
        USERS * CONNECTIONS,
        "a session of two connections"
    );
    let created = answers.iter().filter(|it| it.1.status == 201).count();
    assert!(created <= USERS * CONNECTIONS, "a session was made twice");
    assert_full(&one).await;
    // There is room for nobody else, and now it is true.
    for house in [&one, &two] {
        let refused = house.start(&users[0], "one-more").await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.body["error"]["reason_code"], "nodes_full");
    }
    drop(nodes);
}

/// A thousand at once take their time in a debug build.
fn patient(config: &mut streamhaul_api::Config) {
    config.http.timeout_seconds = 120;
    config.http.requests_max = 1000;
}

/// Nodes of both replicas.
async fn fleet(one: &House, two: &House) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (number, room) in ROOM.into_iter().enumerate() {
        let house = if number % 2 == 0 { one } else { two };
        nodes.push(node::joined(house, &format!("node {number}"), room).await.1);
    }
    let (budgeted, node) = node::joined(two, "budgeted", 1000).await;
    let limit_bytes = HOLD_BYTES * (2 * BUDGETED + 1) / 2 * 100 / 95;
    let policy = json!({"policy": {
        "port_bps": 1_000_000_000_u64,
        "overhead_ratio": 1.0,
        "allowance": {"kind": "monthly_cap", "limit_bytes": limit_bytes},
        "after": {"kind": "floor", "floor_bps": 1_000_000},
    }});
    let path = format!("/api/v1/ops/nodes/{}/budget", budgeted.node_id);
    assert_eq!(one.post(ADMIN, &path, policy).await.status, 200);
    nodes.push(node);
    nodes
}

/// All of them at the same moment, each from a thread and a connection of its own.
#[allow(clippy::print_stdout, reason = "the figures are for who asks")]
async fn start_all(one: &House, two: &House, users: &[String]) -> Vec<(Ask, Answer, Duration)> {
    let barrier = Arc::new(Barrier::new(STARTS));
    let asks = (0..STARTS).map(|number| {
        let house = if number % 7 % 2 == 0 { one } else { two };
        let ask_for = Ask::new(number);
        let request = house.start_request(
            &users[ask_for.user],
            &ask_for.key,
            &json!({"connection_id": format!("cam{}", ask_for.connection)}),
        );
        let barrier = barrier.clone();
        std::thread::spawn(move || {
            barrier.wait();
            let begun = Instant::now();
            let answer = insist(&request);
            (ask_for, answer, begun.elapsed())
        })
    });
    let threads: Vec<_> = asks.collect();
    let answers = tokio::task::spawn_blocking(|| {
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect::<Vec<_>>()
    });
    let answers = answers.await.unwrap();
    let mut took: Vec<_> = answers.iter().map(|(_, _, took)| *took).collect();
    took.sort_unstable();
    println!(
        "{STARTS} starts at once: p50 {:?}, p99 {:?}, the last {:?}",
        took[STARTS / 2],
        took[STARTS * 99 / 100],
        took[STARTS - 1]
    );
    answers
}

/// Asks again, under the same key, while the control plane has too much to do: that is no
/// lack of room.
fn insist(request: &http::Request<String>) -> Answer {
    for _ in 0..TRIES_MAX {
        let answer = ask(request.clone());
        if answer.body["error"]["code"] != "unavailable" {
            return answer;
        }
    }
    panic!("the control plane is never available")
}

/// The session of each user's connection; everybody who asked for it was told the same.
fn sessions(answers: &[(Ask, Answer, Duration)]) -> BTreeMap<(usize, usize), String> {
    let mut sessions = BTreeMap::new();
    for (asked, answer, _) in answers {
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        let session = answer.body["session"]["session_id"].as_str().unwrap();
        let known = sessions
            .entry((asked.user, asked.connection))
            .or_insert_with(|| session.to_owned());
        assert_eq!(known, session, "two sessions of one connection");
    }
    sessions
}

/// Every node has as many sessions as it takes, and the allowance is not overbooked.
async fn assert_full(house: &House) {
    let listed = house.get(ADMIN, "/api/v1/ops/nodes").await;
    let mut rooms: Vec<_> = ROOM.iter().copied().map(u64::from).collect();
    rooms.push(BUDGETED);
    rooms.sort_unstable();
    let mut taken: Vec<_> = listed.body["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["sessions"].as_u64().unwrap())
        .collect();
    taken.sort_unstable();
    assert_eq!(taken, rooms);
}
