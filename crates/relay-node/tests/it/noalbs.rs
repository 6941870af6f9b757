//! What NOALBS makes of our answers. The structures have the fields, the types and
//! the optional parts that NOALBS's parsers ask for: one that is missing, or too
//! large for its type, makes NOALBS think that the stream is offline. Then the same
//! decisions are made from them, in its order.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What NOALBS switches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    Offline,
    Previous,
    Low,
    Normal,
}

/// What NOALBS is configured with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Triggers {
    pub(crate) offline_kbps: Option<u32>,
    pub(crate) low_kbps: Option<u32>,
    pub(crate) rtt_ms: Option<u32>,
    pub(crate) rtt_offline_ms: Option<u32>,
}

/// What is left of an answer when it was parsed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) bitrate_kbps: u64,
    pub(crate) rtt_ms: Option<f64>,
}

/// A type of server that NOALBS can be configured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Sls,
    OpenIrl,
    Belabox,
    Irlhosting,
    WebSocket,
}

impl Server {
    pub(crate) const ALL: [Self; 5] = [
        Self::Sls,
        Self::OpenIrl,
        Self::Belabox,
        Self::Irlhosting,
        Self::WebSocket,
    ];

    /// `None` for an answer that NOALBS takes for an offline stream.
    pub(crate) fn parse(self, body: &str) -> Option<Figures> {
        match self {
            Self::Sls => sls(body),
            Self::OpenIrl => open_irl(body),
            Self::Belabox => belabox(body),
            Self::Irlhosting => irlhosting(body),
            Self::WebSocket => web_socket(body),
        }
    }

    const fn one_means_previous(self) -> bool {
        matches!(self, Self::OpenIrl | Self::Belabox)
    }

    pub(crate) fn scene(self, body: &str, triggers: Triggers) -> Scene {
        let Some(figures) = self.parse(body) else {
            return Scene::Offline;
        };
        let bitrate = figures.bitrate_kbps;
        let at_most = |limit: Option<u32>| limit.is_some_and(|limit| bitrate <= limit.into());
        let rtt_from = |limit: Option<u32>| {
            let rtt = figures.rtt_ms.zip(limit);
            rtt.is_some_and(|(rtt, limit)| rtt >= limit.into())
        };
        let one_means_previous = self.one_means_previous();
        match bitrate {
            1.. if at_most(triggers.offline_kbps) => Scene::Offline,
            _ if rtt_from(triggers.rtt_offline_ms) => Scene::Offline,
            0 if one_means_previous => Scene::Offline,
            0 => Scene::Previous,
            1 if one_means_previous => Scene::Previous,
            _ if at_most(triggers.low_kbps) || rtt_from(triggers.rtt_ms) => Scene::Low,
            _ => Scene::Normal,
        }
    }
}

/// The name that `publisher` in NOALBS's configuration must have.
const PUBLISHER: &str = "live";

fn sls(body: &str) -> Option<Figures> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "all of them must be there")]
    struct Stat {
        bitrate: i64,
        bytes_rcv_drop: u64,
        bytes_rcv_loss: u64,
        mbps_bandwidth: f64,
        mbps_recv_rate: f64,
        ms_rcv_buf: i32,
        pkt_rcv_drop: i32,
        pkt_rcv_loss: i32,
        rtt: f64,
        uptime: i64,
    }
    let stat: Stat = publisher(body)?;
    Some(Figures {
        bitrate_kbps: stat.bitrate.try_into().ok()?,
        rtt_ms: Some(stat.rtt),
    })
}

fn belabox(body: &str) -> Option<Figures> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "all of them must be there")]
    struct Stat {
        bitrate: i64,
        rtt: f64,
        dropped_pkts: i32,
    }
    let stat: Stat = publisher(body).expect("NOALBS logs an error for what it cannot parse");
    Some(Figures {
        bitrate_kbps: stat.bitrate.try_into().ok()?,
        rtt_ms: Some(stat.rtt),
    })
}

fn publisher<T: serde::de::DeserializeOwned>(body: &str) -> Option<T> {
    let body: Value = serde_json::from_str(body).ok()?;
    serde_json::from_value(body["publishers"][PUBLISHER].clone()).ok()
}

fn open_irl(body: &str) -> Option<Figures> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "all of them must be there")]
    struct Stat {
        bitrate: u32,
        buffer: u32,
        dropped_pkts: u64,
        #[serde(default)]
        latency: Option<u16>,
        #[serde(default)]
        rtt: Option<f64>,
        uptime: u64,
        #[serde(default)]
        peers: Vec<Peer>,
    }
    #[derive(Deserialize)]
    struct Peer {
        bitrate: u32,
        rtt: f64,
    }
    let body: BTreeMap<String, Value> = serde_json::from_str(body).ok()?;
    let stat: Stat = serde_json::from_value(body.get("publisher")?.clone())
        .expect("NOALBS logs an error for what it cannot parse");
    let weight: f64 = stat.peers.iter().map(|peer| f64::from(peer.bitrate)).sum();
    let weighted = stat
        .peers
        .iter()
        .map(|peer| peer.rtt * f64::from(peer.bitrate));
    let of_peers = (weight > 0.0).then(|| weighted.sum::<f64>() / weight);
    Some(Figures {
        bitrate_kbps: stat.bitrate.into(),
        rtt_ms: stat.rtt.or(of_peers),
    })
}

fn irlhosting(body: &str) -> Option<Figures> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "all of them must be there")]
    struct Stat {
        service: Srt,
        status: String,
        timestamp: String,
        publishers: Vec<Publisher>,
        overall: Overall,
    }
    #[derive(Deserialize)]
    enum Srt {
        #[serde(rename = "SRT")]
        Srt,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "all of them must be there")]
    struct Publisher {
        stream: String,
        bitrate: u64,
        #[serde(rename = "bitrate_mbps")]
        bitrate_mbps: String,
        bytes_received: u64,
        bytes_dropped: u64,
        bytes_lost: u64,
        mbps_bandwidth: f64,
        mbps_recv_rate: f64,
        rtt: f64,
        uptime: String,
        packet_stats: PacketStats,
        buffer: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "all of them must be there")]
    struct PacketStats {
        packets_dropped: u64,
        packets_lost: u64,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "all of them must be there")]
    struct Overall {
        total_publishers: u64,
        total_bytes_received: u64,
        total_bytes_dropped: u64,
        total_bytes_lost: u64,
        average_bitrate: String,
        total_uptime: String,
    }
    let stat: Stat =
        serde_json::from_str(body).expect("NOALBS logs an error for what it cannot parse");
    let mut publishers = stat.publishers.into_iter();
    let publisher = publishers.find(|publisher| publisher.stream == PUBLISHER)?;
    Some(Figures {
        bitrate_kbps: publisher.bitrate,
        rtt_ms: Some(publisher.rtt),
    })
}

/// Without a configured feed NOALBS takes the first stream that is there.
fn web_socket(body: &str) -> Option<Figures> {
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["type"], "stats", "NOALBS ignores everything else");
    let stream = &body["streams"].as_array().expect("an array")[0];
    let bitrate_kbps = stream["bitrate"].as_u64().expect("a number");
    assert_eq!(
        stream["feed"], PUBLISHER,
        "what a configured feed is called"
    );
    assert_eq!(stream["streamId"], PUBLISHER);
    stream["connected"].as_bool().expect("a word").then(|| {
        assert!(stream["packetLoss"].is_f64());
        Figures {
            bitrate_kbps,
            rtt_ms: stream["rtt"].as_f64(),
        }
    })
}

fn golden(server: Server) -> BTreeMap<String, Value> {
    let text = match server {
        Server::Sls => include_str!("../fixtures/stats/sls_legacy.json"),
        Server::OpenIrl => include_str!("../fixtures/stats/open_irl.json"),
        Server::Belabox => include_str!("../fixtures/stats/belabox.json"),
        Server::Irlhosting => include_str!("../fixtures/stats/irlhosting.json"),
        Server::WebSocket => include_str!("../fixtures/stats/web_socket.json"),
    };
    serde_json::from_str(text).expect("a golden file")
}

/// What all servers make NOALBS do for one of the cases.
fn scenes(case: &str, triggers: Triggers) -> [Scene; 5] {
    Server::ALL.map(|server| {
        let body = golden(server)[case].to_string();
        server.scene(&body, triggers)
    })
}

#[test]
fn a_stream_that_shows_nothing_is_offline() {
    let none = Triggers::default();
    assert_eq!(scenes("offline", none), [Scene::Offline; 5]);
    assert_eq!(scenes("silent", none), [Scene::Offline; 5]);
}

#[test]
fn a_publisher_that_has_just_connected_keeps_the_scene() {
    let triggers = Triggers {
        low_kbps: Some(800),
        offline_kbps: None,
        rtt_ms: Some(2500),
        rtt_offline_ms: None,
    };
    assert_eq!(scenes("paused", triggers), [Scene::Previous; 5]);
    // It compares with the trigger first, so 1 is nothing special then.
    let offline = Triggers {
        offline_kbps: Some(300),
        ..triggers
    };
    let told = Server::ALL.map(Server::one_means_previous);
    let expected = told.map(|one| if one { Scene::Offline } else { Scene::Previous });
    assert_eq!(scenes("paused", offline), expected);
}

#[test]
fn the_bitrate_decides() {
    let low = |kbps| Triggers {
        low_kbps: Some(kbps),
        ..Triggers::default()
    };
    for case in ["plain", "bonded", "bonded_without_round_trips"] {
        assert_eq!(scenes(case, low(6011)), [Scene::Normal; 5], "{case}");
        assert_eq!(scenes(case, low(6012)), [Scene::Low; 5], "{case}");
        let offline = Triggers {
            offline_kbps: Some(6012),
            ..low(9000)
        };
        assert_eq!(scenes(case, offline), [Scene::Offline; 5], "{case}");
    }
}

#[test]
fn the_round_trip_decides() {
    let rtt = |ms| Triggers {
        rtt_ms: Some(ms),
        ..Triggers::default()
    };
    assert_eq!(scenes("plain", rtt(49)), [Scene::Normal; 5]);
    assert_eq!(scenes("plain", rtt(48)), [Scene::Low; 5]);
    let rtt_offline = Triggers {
        rtt_offline_ms: Some(48),
        ..Triggers::default()
    };
    assert_eq!(scenes("plain", rtt_offline), [Scene::Offline; 5]);
}

#[test]
fn the_round_trips_of_links_are_weighed() {
    let of = |case: &str| {
        let body = golden(Server::OpenIrl)[case].to_string();
        Server::OpenIrl.parse(&body).unwrap().rtt_ms
    };
    assert_eq!(of("bonded"), Some((40.0 * 3780.0 + 80.0 * 1620.0) / 5400.0));
    assert_eq!(of("bonded_without_round_trips"), Some(48.25));
}

#[test]
fn a_trickle_is_a_figure_and_counters_fit() {
    let none = Triggers::default();
    assert_eq!(scenes("extreme", none), [Scene::Normal; 5]);
    let low = Triggers {
        low_kbps: Some(2),
        ..none
    };
    assert_eq!(scenes("extreme", low), [Scene::Low; 5]);
    let offline = Triggers {
        offline_kbps: Some(2),
        ..none
    };
    assert_eq!(scenes("extreme", offline), [Scene::Offline; 5]);
}
