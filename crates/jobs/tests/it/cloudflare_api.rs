//! Cloudflare's DNS records, as far as its documentation says how they behave.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde_json::{Value, json};

pub(crate) const ZONE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
pub(crate) const TOKEN: &str = "a-token-of-the-tests";

#[derive(Default)]
struct Inner {
    records: Vec<Value>,
    made: u32,
    /// What was asked, such as `GET`.
    calls: Vec<String>,
    /// Answered instead of the next call's answer: status, headers, body.
    instead: Vec<(u16, &'static str, String)>,
}

#[derive(Clone)]
pub(crate) struct Cloudflare {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

struct Call {
    method: String,
    path: String,
    query: String,
    authorization: String,
    body: Value,
}

impl Cloudflare {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            inner: Arc::default(),
        };
        let serving = fake.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serving.serve(&stream.unwrap());
            }
        });
        fake
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/client/v4", self.address)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Puts a record there behind everybody's back.
    pub(crate) fn put(&self, name: &str, kind: &str, content: &str, comment: Option<&str>) {
        let mut inner = self.lock();
        let record = json!({"name": name, "type": kind, "content": content, "ttl": 60,
            "proxied": false, "comment": comment});
        inner.insert(record);
    }

    /// Type, content and TTL of what a name has.
    pub(crate) fn records(&self, name: &str) -> Vec<(String, String, u64)> {
        let inner = self.lock();
        let found = inner.records.iter().filter(|record| record["name"] == name);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        found
            .map(|it| {
                assert_eq!(it["proxied"], false, "the proxy passes no UDP");
                (
                    text(&it["type"]),
                    text(&it["content"]),
                    it["ttl"].as_u64().unwrap(),
                )
            })
            .collect()
    }

    /// The methods of the calls since it was asked last.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    pub(crate) fn answer_once(&self, status: u16, headers: &'static str, body: &Value) {
        let body = body.to_string();
        self.lock().instead.push((status, headers, body));
    }

    fn serve(&self, stream: &TcpStream) {
        let Some(call) = read(stream) else { return };
        let (status, headers, body) = self.answer(&call);
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        let mut stream = stream;
        stream.write_all(text.as_bytes()).unwrap();
    }

    fn answer(&self, call: &Call) -> (u16, &'static str, String) {
        let mut inner = self.lock();
        inner.calls.push(call.method.clone());
        if let Some(instead) = inner.instead.pop() {
            return instead;
        }
        let (status, body) = if call.authorization == format!("Bearer {TOKEN}") {
            inner.records_answer(call)
        } else {
            failed(403, 9109, "Invalid access token")
        };
        (status, "", body.to_string())
    }
}

impl Inner {
    fn records_answer(&mut self, call: &Call) -> (u16, Value) {
        let all = format!("/client/v4/zones/{ZONE_ID}/dns_records");
        let Some(rest) = call.path.strip_prefix(&all) else {
            return failed(404, 7003, "Could not route to the zone");
        };
        let id = rest.trim_start_matches('/');
        match (call.method.as_str(), id) {
            ("GET", "") => {
                let name = call
                    .query
                    .split('&')
                    .find_map(|it| it.strip_prefix("name.exact="));
                let is_it = |record: &&Value| name.is_none_or(|name| record["name"] == name);
                let found: Vec<&Value> = self.records.iter().filter(is_it).collect();
                done(&json!(found))
            }
            ("POST", "") => self.make(&call.body),
            ("PUT", id) => self.overwrite(id, &call.body),
            ("DELETE", id) => self.remove(id),
            other => panic!("{other:?} is not asked for"),
        }
    }

    fn insert(&mut self, mut record: Value) -> Value {
        self.made += 1;
        record["id"] = format!("{:032x}", self.made).into();
        self.records.push(record.clone());
        record
    }

    fn make(&mut self, record: &Value) -> (u16, Value) {
        if let Some(refused) = self.refused(record, "") {
            return refused;
        }
        done(&self.insert(record.clone()))
    }

    fn overwrite(&mut self, id: &str, record: &Value) -> (u16, Value) {
        if let Some(refused) = self.refused(record, id) {
            return refused;
        }
        let Some(found) = self.records.iter_mut().find(|it| it["id"] == id) else {
            return failed(404, 81_044, "Record does not exist.");
        };
        *found = record.clone();
        found["id"] = id.into();
        done(&found.clone())
    }

    fn remove(&mut self, id: &str) -> (u16, Value) {
        let before = self.records.len();
        self.records.retain(|it| it["id"] != id);
        if self.records.len() == before {
            return failed(404, 81_044, "Record does not exist.");
        }
        done(&json!({"id": id}))
    }

    /// What the API says of records that cannot be beside others.
    fn refused(&self, record: &Value, except: &str) -> Option<(u16, Value)> {
        let ttl = record["ttl"].as_u64().unwrap();
        assert!(ttl == 1 || (30..=86_400).contains(&ttl));
        assert!(record["comment"].as_str().unwrap().len() <= 100);
        let mut same = self.records.iter();
        let clash = same.find(|it| it["id"] != except && it["name"] == record["name"])?;
        if clash["type"] == record["type"] && clash["content"] == record["content"] {
            return Some(failed(400, 81_058, "An identical record already exists."));
        }
        let has_alias = clash["type"] == "CNAME" || record["type"] == "CNAME";
        has_alias.then(|| failed(400, 81_053, "A record with that host already exists."))
    }
}

fn done(result: &Value) -> (u16, Value) {
    (
        200,
        json!({"success": true, "errors": [], "messages": [], "result": result}),
    )
}

pub(crate) fn failed(status: u16, code: u32, message: &str) -> (u16, Value) {
    let errors = json!([{"code": code, "message": message}]);
    let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
    (status, body)
}

fn read(stream: &TcpStream) -> Option<Call> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "authorization" => value.clone_into(&mut authorization),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Call {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        authorization,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}
