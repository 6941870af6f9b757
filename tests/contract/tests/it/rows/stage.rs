//! Where the tables are played: the real services, and what their answers held.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use e2e::house::{House, Options, Service};
use e2e::wait;
use serde_json::{Value, json};
use streamhaul_contract::{Exchange, Request, Row, Wire};
use tempfile::NamedTempFile;
use testkit::asn_database::{Dialect, carriers, write};

use super::table::Ask;

/// For what comes by itself: a heartbeat, an expiry.
const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const CHECKOUT: &str = "https://shop.example/buy?tenant={tenant_id}&plan={plan_tier}";
pub(crate) const BILLING_SECRET: [u8; 32] = [7; 32];

pub(crate) struct Stage {
    pub(crate) house: House,
    wire: Wire,
    hurried: Wire,
    given: BTreeMap<&'static str, Row>,
    words: BTreeMap<&'static str, String>,
    recorded: BTreeSet<&'static str>,
    _files: [NamedTempFile; 2],
}

impl Stage {
    /// Two nodes in two regions, and two replicas: on the second one, logins and sessions
    /// are over in a second.
    pub(crate) fn start() -> Self {
        let database = file(&write(Dialect::GeoLite2Asn, &carriers()));
        let secret = file(billing_secret().as_bytes());
        let path = |file: &NamedTempFile| file.path().display().to_string();
        let options = [Service::Api, Service::SecondApi].into_iter().fold(
            Options::default().replicated(),
            |options, api| {
                options
                    .with(api, "FLEET__EXPIRY_PAUSE_SECONDS", "0")
                    .with(api, "BILLING__WEBHOOK_SECRET_FILE", &path(&secret))
                    .with(api, "BILLING__CHECKOUT_URL", CHECKOUT)
            },
        );
        let options = options
            .with(Service::SecondApi, "ACCOUNTS__DEVICE_SECONDS", "1")
            .with(Service::SecondApi, "SESSIONS__MAX_SESSION_SECONDS", "1")
            .with(Service::RelayNode, "ASN_DATABASE", &path(&database));
        let mut house = House::start_with(options).unwrap();
        house.add_node().unwrap();
        let given = streamhaul_contract::given().unwrap();
        let mut stage = Self {
            wire: Wire::new(&house.api_url(Service::Api)),
            hurried: Wire::new(&house.api_url(Service::SecondApi)),
            house,
            given: given.into_iter().map(|row| (row.line, row)).collect(),
            words: BTreeMap::new(),
            recorded: BTreeSet::new(),
            _files: [database, secret],
        };
        let key = std::fs::read_to_string(stage.house.file("secret-service_token")).unwrap();
        stage.keep("service", key.trim());
        stage
    }

    /// What has been recorded.
    pub(crate) const fn recorded(&self) -> &BTreeSet<&'static str> {
        &self.recorded
    }

    pub(crate) fn keep(&mut self, word: &'static str, value: &str) {
        self.words.insert(word, value.to_owned());
    }

    pub(crate) fn word(&self, word: &str) -> &str {
        self.words
            .get(word)
            .unwrap_or_else(|| panic!("nothing was kept as {word}"))
    }

    /// Asks for everything in a table, and records each answer.
    pub(crate) fn play(&mut self, table: &[Ask]) {
        for ask in table {
            let exchange = self.asked(ask);
            self.check(ask, &exchange);
            insta::assert_json_snapshot!(name(ask.line), exchange.recorded());
            assert!(self.recorded.insert(ask.line), "{} twice", ask.line);
        }
    }

    /// Asks without recording: what a scene needs, and others are recorded of.
    pub(crate) fn prepare(&mut self, ask: &Ask) -> Value {
        let exchange = self.asked(ask);
        self.check(ask, &exchange);
        exchange.body
    }

    fn check(&mut self, ask: &Ask, exchange: &Exchange) {
        let Exchange { status, body, .. } = exchange;
        let row = self.row(ask.line);
        assert_eq!(*status, row.status, "{}: {body}", ask.line);
        assert_eq!(body["error"]["code"].as_str(), row.code, "{}", ask.line);
        for (word, place) in ask.keeps {
            let value = body.pointer(place).and_then(Value::as_str);
            let value = value.unwrap_or_else(|| panic!("{}: no {place} in {body}", ask.line));
            self.keep(word, value);
        }
    }

    fn row(&self, line: &str) -> Row {
        *self
            .given
            .get(line)
            .unwrap_or_else(|| panic!("rows.txt has no {line}"))
    }

    fn asked(&self, ask: &Ask) -> Exchange {
        let wire = if ask.hurried {
            &self.hurried
        } else {
            &self.wire
        };
        let once = || wire.ask(self.request(ask)).unwrap();
        let Some(is_it) = ask.awaited else {
            return once();
        };
        let status = self.row(ask.line).status;
        let mut last = None;
        let awaited = wait::until(ask.line, LIMIT, || {
            let exchange = once();
            let is_it = exchange.status == status && is_it(&exchange.body);
            last = Some(exchange.clone());
            is_it.then_some(exchange)
        });
        awaited.unwrap_or_else(|error| panic!("{error}; last: {last:#?}"))
    }

    fn request(&self, ask: &Ask) -> Request {
        let row = self.row(ask.line);
        let request = Request {
            method: row.method,
            path: self.filled(ask.at.unwrap_or(row.path)),
            headers: Vec::new(),
            body: ask
                .body
                .map(|json| serde_json::from_str(&self.filled(json)).unwrap()),
        };
        let request = match ask.by {
            Some(word) => request.by(self.word(word)),
            None => request,
        };
        let headers = ask.headers.iter();
        headers.fold(request, |request, (name, value)| {
            request.with(name, self.filled(value))
        })
    }

    /// A text with each `<word>` replaced by what was kept as it.
    fn filled(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            let (word, after) = after.split_once('>').expect("a word ends with >");
            filled.push_str(before);
            filled.push_str(self.word(word));
            rest = after;
        }
        filled + rest
    }

    /// A user with a script's token, kept as `word`; their identifier is the answer.
    pub(crate) fn user(&mut self, word: &'static str) -> String {
        let made = self.operate("users", &json!({"name": word}));
        self.keep(word, made["token"].as_str().unwrap());
        made["user_id"].as_str().unwrap().to_owned()
    }

    /// Something that an operator makes.
    pub(crate) fn operate(&self, what: &str, body: &Value) -> Value {
        let path = format!("/api/v1/ops/{what}");
        let answer = self.house.api().post(&path, body).unwrap();
        answer.success().unwrap()
    }

    /// Something that an operator sets.
    pub(crate) fn set(&self, what: &str, body: &Value) {
        let path = format!("/api/v1/ops/{what}");
        let answer = self.house.api().put(&path, body).unwrap();
        answer.success().unwrap();
    }
}

/// A plain file name.
fn name(line: &str) -> String {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}

fn file(contents: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(contents).unwrap();
    file
}

fn billing_secret() -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(BILLING_SECRET);
    format!("whsec_{encoded}\n")
}
