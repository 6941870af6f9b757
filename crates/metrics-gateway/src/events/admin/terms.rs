//! What is set for an app, as it is asked for.

use ipnet::IpNet;
use model::app::Tier;
use proto::telemetry as pb;
use serde_json::{Value, json};
use storage::telemetry::apps::Terms;
use tonic::Status;

/// Letters of an organisation's or an app's name.
const NAME_LENGTH_MAX: usize = 128;
/// Networks, and origins, of one app.
const LIST_MAX: usize = 64;
const ORIGIN_LENGTH_MAX: usize = 256;
const RETENTION_DAYS_MAX: u32 = 3650;

/// What an app is made with.
pub(super) fn of_new(request: &pb::CreateAppRequest) -> Result<Terms, Status> {
    let tier = match request.tier.as_str() {
        "" => Tier::Free,
        word => word.parse().map_err(|error| invalid("tier", &error))?,
    };
    let retention_days = match request.retention_days {
        0 => tier.retention_days(),
        days => retention(days)?,
    };
    Ok(Terms {
        tier,
        quota_events: bound("quota_events", request.quota_events, tier.quota_events())?,
        rate_events: bound("rate_events", request.rate_events, tier.rate_events())?,
        retention_days,
        networks: networks(&request.networks)?,
        origins: origins(&request.origins)?,
        counts_for_slis: request.counts_for_slis,
    })
}

/// What an app has after a change: what is not given stays, but what was the old tier's becomes
/// the new one's.
pub(super) fn changed(before: &Terms, request: &pb::ChangeAppRequest) -> Result<Terms, Status> {
    let old = before.tier;
    let tier = match &request.tier {
        None => old,
        Some(word) => word.parse().map_err(|error| invalid("tier", &error))?,
    };
    let follows = |was, of_old, of_new| if was == of_old { of_new } else { was };
    let quota = follows(before.quota_events, old.quota_events(), tier.quota_events());
    let rate = follows(before.rate_events, old.rate_events(), tier.rate_events());
    let retention_days = match request.retention_days {
        None if before.retention_days == old.retention_days() => tier.retention_days(),
        None => before.retention_days,
        Some(days) => retention(days)?,
    };
    let lists = (&request.networks, &request.origins);
    Ok(Terms {
        tier,
        quota_events: bound("quota_events", request.quota_events, quota)?,
        rate_events: bound("rate_events", request.rate_events, rate)?,
        retention_days,
        networks: match lists.0 {
            None => before.networks.clone(),
            Some(given) => networks(&given.texts)?,
        },
        origins: match lists.1 {
            None => before.origins.clone(),
            Some(given) => origins(&given.texts)?,
        },
        counts_for_slis: request.counts_for_slis.unwrap_or(before.counts_for_slis),
    })
}

/// What was set before and after, for the record.
pub(super) fn difference(before: &Terms, after: &Terms) -> Value {
    let (before, after) = (details(before), details(after));
    let names = after.as_object().into_iter().flatten();
    let moved = names.filter(|(name, value)| before[name.as_str()] != **value);
    let shown = moved.map(|(name, value)| {
        let change = json!({ "from": before[name.as_str()], "to": value });
        (name.clone(), change)
    });
    Value::Object(shown.collect())
}

fn retention(days: u32) -> Result<u32, Status> {
    if (1..=RETENTION_DAYS_MAX).contains(&days) {
        return Ok(days);
    }
    Err(Status::invalid_argument("retention_days: 1 to 3650"))
}

/// What was asked for, or what else it is; 0 is no bound.
fn bound(
    name: &'static str,
    asked: Option<u64>,
    else_is: Option<u64>,
) -> Result<Option<u64>, Status> {
    match asked {
        None => Ok(else_is),
        Some(0) => Ok(None),
        Some(asked) if i64::try_from(asked).is_ok() => Ok(Some(asked)),
        Some(_) => Err(Status::invalid_argument(format!("{name}: too large"))),
    }
}

fn networks(texts: &[String]) -> Result<Vec<String>, Status> {
    if texts.len() > LIST_MAX {
        return Err(Status::invalid_argument("networks: at most 64"));
    }
    let network = |text: &String| {
        let network: IpNet = text.parse().map_err(|error| invalid("networks", &error))?;
        Ok(network.trunc().to_string())
    };
    texts.iter().map(network).collect()
}

/// An origin is what a browser sends: a scheme, a host and perhaps a port, nothing after.
fn origins(texts: &[String]) -> Result<Vec<String>, Status> {
    let is_origin = |text: &String| {
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let is_host = |host: &str| {
            let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'*' | b'?');
            !host.is_empty() && host.bytes().all(plain)
        };
        text.len() <= ORIGIN_LENGTH_MAX && host.is_some_and(is_host)
    };
    if texts.len() <= LIST_MAX && texts.iter().all(is_origin) {
        Ok(texts.to_vec())
    } else {
        Err(Status::invalid_argument(
            "origins: at most 64, such as https://app.example.com",
        ))
    }
}

/// Names stand in a path as they are: SDKs do not escape them.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), Status> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    let is_dots = matches!(name, "." | "..");
    if (1..=NAME_LENGTH_MAX).contains(&name.len()) && name.bytes().all(is_plain) && !is_dots {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "{what}: 1 to 128 letters, digits and -._~!$&'()*+,;=:@"
    )))
}

/// What is set, for the record.
pub(super) fn details(terms: &Terms) -> Value {
    json!({
        "tier": terms.tier, "quota_events": terms.quota_events, "rate_events": terms.rate_events,
        "retention_days": terms.retention_days, "networks": terms.networks,
        "origins": terms.origins, "counts_for_slis": terms.counts_for_slis,
    })
}

fn invalid(name: &'static str, error: &impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(tier: Tier) -> Terms {
        Terms {
            tier,
            quota_events: tier.quota_events(),
            rate_events: tier.rate_events(),
            retention_days: tier.retention_days(),
            networks: vec!["192.0.2.0/24".to_owned()],
            origins: Vec::new(),
            counts_for_slis: false,
        }
    }

    #[test]
    fn what_was_the_tiers_becomes_the_new_ones_and_the_rest_stays() {
        let before = Terms {
            rate_events: Some(7),
            ..terms(Tier::Free)
        };
        let request = pb::ChangeAppRequest {
            tier: Some("pro".to_owned()),
            ..Default::default()
        };
        let after = changed(&before, &request).unwrap();
        let expected = Terms {
            rate_events: Some(7),
            ..terms(Tier::Pro)
        };
        assert_eq!(after, expected);
        let moved = difference(&before, &after);
        let names: Vec<&String> = moved.as_object().unwrap().keys().collect();
        assert_eq!(names, ["quota_events", "retention_days", "tier"]);
        assert_eq!(moved["tier"], json!({ "from": "free", "to": "pro" }));
    }

    #[test]
    fn lists_are_given_whole_and_bounds_taken_away_by_zero() {
        let before = terms(Tier::Free);
        let request = pb::ChangeAppRequest {
            quota_events: Some(0),
            networks: Some(pb::Texts::default()),
            ..Default::default()
        };
        let after = changed(&before, &request).unwrap();
        assert_eq!((after.quota_events, after.networks.len()), (None, 0));
        assert_eq!(after.rate_events, before.rate_events);
        let same = changed(&before, &pb::ChangeAppRequest::default()).unwrap();
        assert_eq!(same, before);
        for days in [0, 3651] {
            let request = pb::ChangeAppRequest {
                retention_days: Some(days),
                ..Default::default()
            };
            assert!(changed(&before, &request).is_err());
        }
    }
}
