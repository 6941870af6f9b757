//! Who somebody is, as a provider says.

use anyhow::Context;
use model::Provider;
use serde_json::Value;
use storage::control::linked_accounts;

use super::known::Fields;
use crate::accounts::email::Email;

/// As many characters of a subject as are kept.
const SUBJECT_CHARACTERS_MAX: usize = 255;
const NAME_CHARACTERS_MAX: usize = 64;

/// Who somebody is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// What the provider calls them for ever.
    pub(crate) subject: String,
    /// What they are called there now.
    pub(crate) name: String,
    /// Their address, when the provider has proven that it is theirs.
    pub(crate) email: Option<Email>,
}

impl Identity {
    /// Takes a provider's answer.
    pub(super) fn parse(answer: &Value, fields: &Fields) -> anyhow::Result<Self> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let subject = text(fields.subject).context("the answer names nobody")?;
        let length = subject.chars().count();
        anyhow::ensure!(
            (1..=SUBJECT_CHARACTERS_MAX).contains(&length),
            "a subject of {length} characters"
        );
        let name = fields.names.iter().find_map(|name| text(name));
        let is_verified = match answer.get(fields.email_verified) {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(verified)) => verified == "true",
            _ => false,
        };
        let email = text(fields.email).filter(|_| is_verified);
        Ok(Self {
            subject: subject.to_owned(),
            name: shown(name.unwrap_or(subject)),
            email: email.and_then(|email| Email::parse(email).ok()),
        })
    }

    /// The same as it is kept.
    pub(super) fn at(&self, provider: Provider) -> linked_accounts::Identity<'_> {
        linked_accounts::Identity {
            provider,
            subject: &self.subject,
            name: &self.name,
        }
    }
}

fn shown(name: &str) -> String {
    let shown = name.chars().filter(|one| !one.is_control());
    shown.take(NAME_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::known;
    use super::*;

    fn parse(provider: Provider, answer: &Value) -> anyhow::Result<Identity> {
        Identity::parse(answer, &known::of(provider).fields)
    }

    #[test]
    fn each_provider_says_it_in_its_own_words() {
        let someone = Identity {
            subject: "123".into(),
            name: "Some One".into(),
            email: Some(Email::parse("some@example.com").unwrap()),
        };
        let answers = [
            (
                Provider::Twitch,
                json!({"aud": "x", "sub": "123", "preferred_username": "Some One",
                       "email": "some@example.com", "email_verified": true}),
            ),
            (
                Provider::Google,
                json!({"sub": "123", "name": "Some One", "given_name": "Some",
                       "email": "Some@Example.com", "email_verified": "true"}),
            ),
            (
                Provider::Discord,
                json!({"id": "123", "username": "some", "global_name": "Some One",
                       "email": "some@example.com", "verified": true}),
            ),
        ];
        for (provider, answer) in answers {
            assert_eq!(parse(provider, &answer).unwrap(), someone, "{provider}");
        }
    }

    #[test]
    fn an_address_that_is_not_proven_is_none() {
        for verified in [json!(false), json!("no"), json!(1), Value::Null] {
            let answer = json!({"id": "1", "username": "a", "global_name": null,
                                "email": "a@example.com", "verified": verified});
            let identity = parse(Provider::Discord, &answer).unwrap();
            assert_eq!((identity.name.as_str(), identity.email), ("a", None));
        }
    }

    #[test]
    fn nobody_and_nonsense_are_refused() {
        for subject in [Value::Null, json!(5), json!(""), json!("x".repeat(256))] {
            assert!(parse(Provider::Google, &json!({"sub": subject})).is_err());
        }
        let long = json!({"sub": "1", "name": format!("a\u{7}{}", "b".repeat(100))});
        let name = parse(Provider::Google, &long).unwrap().name;
        assert_eq!(name, format!("a{}", "b".repeat(63)));
    }
}
