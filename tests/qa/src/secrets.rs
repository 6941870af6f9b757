//! Where secrets must not be.

use std::path::Path;

use serde_json::Value;

use crate::dock::{Holdings, Snapshot};
use crate::findings::Findings;

/// Words that no field told to the page may have in its name: secrets have these names
/// in the protocol of the OBS plugin, which the page does not speak.
const NAMES_FORBIDDEN: [&str; 7] = [
    "token",
    "pair_token",
    "relay_ws_token",
    "stream_key",
    "play_key",
    "passphrase",
    "secret",
];

/// The names of all fields in JSON, at any depth, and the texts in it.
#[derive(Debug, Default)]
struct Contents {
    names: Vec<String>,
    texts: Vec<String>,
}

impl Contents {
    fn take(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.names.push(name.clone());
                    self.take(value);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.take(value)),
            Value::String(text) => self.texts.push(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What the server tells the page has no field of a secret and no key as a value.
pub(crate) fn check_snapshot(findings: &mut Findings, snapshot: &Snapshot, keys: &[&str]) {
    let mut contents = Contents::default();
    contents.take(&snapshot.list);
    for events in snapshot.live.values() {
        let data = events.lines().filter_map(|line| line.strip_prefix("data:"));
        let values = data.filter_map(|data| serde_json::from_str(data).ok());
        values.for_each(|value| contents.take(&value));
    }
    contents.names.sort_unstable();
    contents.names.dedup();
    findings.figure("snapshot_fields", contents.names.len());
    findings.figure(
        "snapshot_live_views",
        snapshot
            .live
            .values()
            .filter(|events| !events.is_empty())
            .count(),
    );
    let is_secret = |name: &&String| NAMES_FORBIDDEN.iter().any(|word| name.contains(word));
    let secret: Vec<_> = contents.names.iter().filter(is_secret).collect();
    findings.expect(secret.is_empty(), || format!("the page is told {secret:?}"));
    let told = contents.texts.iter().any(|text| has_key(text, keys));
    findings.expect(!told, || "the page is told a stream key".to_owned());
}

/// The page keeps nothing, and shows no key while none is asked for.
pub(crate) fn check_holdings(findings: &mut Findings, holdings: &Holdings, keys: &[&str]) {
    for (place, kept, empty) in [
        ("local storage", &holdings.local_storage, "{}"),
        ("session storage", &holdings.session_storage, "{}"),
        ("databases", &holdings.databases, "[]"),
        ("caches", &holdings.caches, "[]"),
        ("cookies for scripts", &holdings.script_cookies, ""),
    ] {
        findings.expect(kept == empty, || {
            format!("the page keeps something in its {place}")
        });
    }
    for (place, text) in [("history", &holdings.history), ("document", &holdings.html)] {
        findings.expect(!has_key(text, keys), || {
            format!("a stream key is in the page's {place}")
        });
    }
    let cookies = (holdings.http_only_cookies, holdings.cookies);
    findings.expect(cookies == (1, 1), || {
        format!(
            "{} cookies, {} of them out of scripts' reach",
            cookies.1, cookies.0
        )
    });
}

fn has_key(text: &str, keys: &[&str]) -> bool {
    keys.iter().any(|key| text.contains(key))
}

/// How many files below a folder hold one of the keys.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn files_with(folder: &Path, keys: &[&str]) -> anyhow::Result<usize> {
    let mut found = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found += files_with(&entry.path(), keys)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path())?;
            found += usize::from(keys.iter().any(|key| contains(&bytes, key.as_bytes())));
        }
    }
    Ok(found)
}

fn contains(bytes: &[u8], key: &[u8]) -> bool {
    bytes.windows(key.len()).any(|window| window == key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "0af3";

    fn snapshot(list: Value, event: &str) -> Snapshot {
        Snapshot {
            list,
            live: [("ses_1".to_owned(), event.to_owned())].into(),
        }
    }

    fn judged(snapshot: &Snapshot) -> Findings {
        let mut findings = Findings::default();
        check_snapshot(&mut findings, snapshot, &[KEY]);
        findings
    }

    #[test]
    fn secrets_are_found_at_any_depth() {
        let clean = json!({"connections": [{"name": "phone", "session": {"status": "active"}}]});
        let findings = judged(&snapshot(
            clean.clone(),
            "event: sample\ndata: {\"publishing\": true}",
        ));
        assert!(findings.pass(), "{findings:?}");
        assert_eq!(findings.figures()["snapshot_fields"], 5);
        let named = json!({"connections": [{"session": {"pair_token": ""}}]});
        assert!(!judged(&snapshot(named, "")).pass());
        assert!(!judged(&snapshot(clean.clone(), "data: {\"relay_ws_token\": \"\"}")).pass());
        assert!(
            !judged(&snapshot(
                clean,
                "data: [{\"url\": \"srt://x?streamid=live_0af3\"}]"
            ))
            .pass()
        );
    }

    #[test]
    fn a_page_that_keeps_something_fails() {
        let clean = Holdings {
            local_storage: "{}".into(),
            session_storage: "{}".into(),
            databases: "[]".into(),
            caches: "[]".into(),
            html: "<p>live_•••</p>".into(),
            http_only_cookies: 1,
            cookies: 1,
            ..Holdings::default()
        };
        let judged = |holdings: &Holdings| {
            let mut findings = Findings::default();
            check_holdings(&mut findings, holdings, &[KEY]);
            findings.pass()
        };
        assert!(judged(&clean));
        for change in [
            |holdings: &mut Holdings| holdings.html.push_str(KEY),
            |holdings: &mut Holdings| holdings.session_storage = "{\"a\":1}".into(),
            |holdings: &mut Holdings| holdings.cookies = 2,
        ] {
            let mut holdings = clean.clone();
            change(&mut holdings);
            assert!(!judged(&holdings), "{holdings:?}");
        }
    }

    #[test]
    fn a_key_is_found_in_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/cache"), b"\0\x01live_0af3\xff").unwrap();
        assert_eq!(files_with(folder.path(), &[KEY]).unwrap(), 1);
        assert_eq!(files_with(folder.path(), &["other"]).unwrap(), 0);
    }
}
