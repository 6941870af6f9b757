//! What a session's report says is what was sent.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use streamhaul_e2e::house::{House, Service, Session};
use streamhaul_e2e::program::Program;
use streamhaul_e2e::{media, wait};
use testkit::linksim::Impairment;
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::{clip_path, turn};

/// For how long the phone sends before it is gone.
const SENDING: Duration = Duration::from_secs(12);
/// And after it is back: one step of ten seconds is whole, or the interruption is not over.
const BACK: Duration = Duration::from_secs(22);
/// For how long it is gone: less than three seconds in a step are none.
const GONE: Duration = Duration::from_secs(8);
/// Steps are written when they are complete.
const LIMIT: Duration = Duration::from_secs(60);
/// Seconds that were begun count whole, and a closing sender loses what is on its way.
const TOLERANCE: f64 = 0.15;

/// A phone with two modems.
struct Phone {
    sender: UdpSender,
    ffmpeg: Program,
    sent: PathBuf,
}

impl Phone {
    fn start(house: &House, session: &Session, sent: &str) -> Self {
        let modem = |delay_ms| Impairment::delayed(Duration::from_millis(delay_ms));
        let uplinks = Uplink::numbered([modem(10), modem(30)]);
        let sender = UdpSender::start(house.relay(), uplinks, KeepAlives::Extended, 7).unwrap();
        let url = media::via(&session.publish_url, sender.address()).unwrap();
        let sent = house.file(sent);
        let ffmpeg = media::publish_repeatedly(&clip_path(), 10, &url, &sent).unwrap();
        house.wait_publishers(1).unwrap();
        Self {
            sender,
            ffmpeg,
            sent,
        }
    }

    /// Ends as somebody ends it: the publisher says so, and the links are gone after that. How many
    /// bytes it had sent.
    fn stop(mut self, house: &House) -> u64 {
        self.ffmpeg.signal(Signal::SIGINT);
        self.ffmpeg.wait(LIMIT).unwrap();
        wait::until("the publisher is gone", LIMIT, || {
            let metrics = house.metrics(Service::RelayNode).ok()?;
            let publishers = metrics.labelled("streamhaul_relay_sessions", "role", "publish");
            (publishers < 1.0).then_some(())
        })
        .unwrap();
        drop(self.sender);
        std::fs::metadata(&self.sent).unwrap().len()
    }
}

#[test]
fn a_report_says_what_was_sent_by_which_links_and_when_it_was_not() {
    let _turn = turn();
    let house = House::start().unwrap();
    let session = house.start_session("phone").unwrap();
    let phone = Phone::start(&house, &session, "first.ts");
    std::thread::sleep(SENDING);
    let mut sent = phone.stop(&house);
    std::thread::sleep(GONE);
    let phone = Phone::start(&house, &session, "second.ts");
    std::thread::sleep(BACK);
    sent += phone.stop(&house);

    let report = wait::until("all of it is in the report", LIMIT, || {
        let report = report(&house, &session, "").success().ok()?;
        let bytes = report["totals"]["bytes"].as_f64()?;
        is_about(bytes, sent as f64).then_some(report)
    })
    .unwrap();
    let totals = &report["totals"];
    let seconds = totals["published_s"].as_f64().unwrap();
    let mean = totals["bitrate_bps_mean"].as_f64().unwrap();
    assert!(is_about(mean * seconds, sent as f64 * 8.0), "{totals}");
    let clip_bytes = std::fs::metadata(clip_path()).unwrap().len() as f64;
    let clip_bps = clip_bytes * 8.0 / streamhaul_e2e::clip::LENGTH.as_secs_f64();
    assert!(is_about(mean, clip_bps), "{totals}: not {clip_bps}");
    assert_interrupted_once(&report);
    assert_shares(&report);

    let page = report_page(&house, &session);
    for word in ["<svg", "Interruptions", session.id.as_str()] {
        assert!(page.contains(word), "no {word} in {page}");
    }
    for forbidden in ["<script", " src="] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
}

fn report(house: &House, session: &Session, query: &str) -> streamhaul_e2e::http::Answer {
    let path = format!("/v1/sessions/{}/report{query}", session.id);
    house.api().fetch(&path).unwrap()
}

fn report_page(house: &House, session: &Session) -> String {
    let answer = report(house, session, "?format=html");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

fn is_about(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= expected * TOLERANCE
}

/// The stream was gone once and came back; whether it is gone now is another matter.
fn assert_interrupted_once(report: &Value) {
    let all = report["interruptions"].as_array().unwrap();
    let is_over = |it: &&Value| it["link"].is_null() && it["to"].is_i64();
    let over: Vec<&Value> = all.iter().filter(is_over).collect();
    let [interruption] = over.as_slice() else {
        panic!("{all:?}");
    };
    let seconds = interruption["seconds"].as_f64().unwrap();
    assert!(seconds >= GONE.as_secs_f64() - 1.0, "{interruption}");
}

/// Each link brought its part, and all of them all of it.
fn assert_shares(report: &Value) {
    let links = report["links"].as_array().unwrap();
    assert!(links.len() >= 2, "{links:?}");
    let shares = links.iter().map(|link| link["share_pct"].as_f64().unwrap());
    let (least, sum) = shares.fold((f64::MAX, 0.0), |(least, sum), share| {
        (share.min(least), sum + share)
    });
    assert!(least > 0.0 && (99.0..=101.0).contains(&sum), "{links:?}");
}
