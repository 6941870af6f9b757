//! `streamhaul nodes budget`: what a provider offers, and what is left of it.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::nodes;
use crate::cli::{Budget, Offer, OfferKind, Target};
use crate::client::Client;
use crate::print;

pub(super) fn run(command: &Budget) -> anyhow::Result<()> {
    match command {
        Budget::Show { node, target } => show(node, target),
        Budget::Set {
            node,
            offer,
            target,
        } => set(node, offer, target),
        Budget::Reconcile {
            node,
            used,
            restricted,
            target,
        } => reconcile(node, *used, *restricted, target),
    }
}

fn show(node: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let budget = client.get(&path(&client, node)?)?;
    report(&budget, target);
    Ok(())
}

fn set(node: &str, offer: &Offer, target: &Target) -> anyhow::Result<()> {
    let policy = match &offer.file {
        Some(file) => read(file)?,
        None if offer.none => Value::Null,
        None => policy(offer)?,
    };
    let client = Client::of(target)?;
    let request = json!({ "policy": policy });
    let answer = client.post(&path(&client, node)?, &request, None)?;
    if answer.is_null() && !target.json {
        print::line(&format!(
            "{node} has no byte budget: it is never out of bytes"
        ));
    } else {
        report(&answer, target);
    }
    Ok(())
}

fn reconcile(
    node: &str,
    used: Option<u64>,
    restricted: Option<bool>,
    target: &Target,
) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("{}/reconcile", path(&client, node)?);
    let reading = json!({"used_bytes": used, "restricted": restricted});
    let budget = client.post(&path, &reading, None)?;
    report(&budget, target);
    Ok(())
}

fn path(client: &Client, node: &str) -> anyhow::Result<String> {
    let id = nodes::find(client, node)?;
    Ok(format!("/api/v1/ops/nodes/{id}/budget"))
}

/// An offer from a file: TOML, or JSON when it begins like that.
fn read(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let parsed: anyhow::Result<Value> = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(Into::into)
    } else {
        toml::from_str(&text).map_err(Into::into)
    };
    parsed.with_context(|| format!("{}: neither TOML nor JSON", file.display()))
}

/// An offer from flags; the instance checks the numbers.
fn policy(offer: &Offer) -> anyhow::Result<Value> {
    let mut policy = json!({
        "port_bps": bps(offer.port_mbps.context("--port-mbps: the port's speed is needed")?),
        "counts": offer.counts,
        "confidence": offer.confidence,
        "price_per_month": offer.price,
        "co_located": offer.co_located,
        "allowance": allowance(offer)?,
    });
    if let Some(after) = after(offer) {
        policy["after"] = after;
    }
    Ok(policy)
}

fn allowance(offer: &Offer) -> anyhow::Result<Value> {
    let anchor = json!({"day": offer.day, "time_zone": offer.time_zone});
    let limit = || offer.limit.context("--limit: how many bytes there are");
    let price = || {
        offer
            .price_per_tb
            .context("--price-per-tb: what a terabyte costs")
    };
    Ok(match offer.kind.context("--kind: what is offered")? {
        OfferKind::MonthlyCap => {
            json!({"kind": "monthly_cap", "limit_bytes": limit()?, "anchor": anchor})
        }
        OfferKind::RollingCap => {
            json!({"kind": "rolling_cap", "limit_bytes": limit()?, "hours": offer.hours})
        }
        OfferKind::FairShare => json!({
            "kind": "fair_share",
            "bps_per_gib": bps(offer.mbps_per_gib),
            "gib": offer.gib,
        }),
        OfferKind::Unmetered => json!({"kind": "unmetered"}),
        OfferKind::Metered => json!({
            "kind": "metered",
            "free_bytes": offer.limit.unwrap_or(0),
            "price_per_tb": price()?,
            "budget_bytes": offer.budget,
            "anchor": anchor,
        }),
        OfferKind::Percentile95 => json!({
            "kind": "percentile95",
            "commit_bps": bps(offer.commit_mbps.context("--commit-mbps: the rate that is paid for")?),
            "price_per_mbps": offer.price_per_mbps.context("--price-per-mbps: what is above costs")?,
            "anchor": anchor,
        }),
    })
}

/// What happens when the allowance is used up, unless the instance's default says it.
fn after(offer: &Offer) -> Option<Value> {
    let is_cap = matches!(
        offer.kind,
        Some(OfferKind::MonthlyCap | OfferKind::RollingCap)
    );
    if offer.ticket {
        let floor_bps = bps(offer.floor_mbps.unwrap_or(0.0));
        return Some(json!({"kind": "support_ticket", "floor_bps": floor_bps}));
    }
    if let Some(floor) = offer.floor_mbps {
        return Some(json!({"kind": "floor", "floor_bps": bps(floor)}));
    }
    let price = offer.price_per_tb.filter(|_| is_cap)?;
    Some(json!({"kind": "bill", "price_per_tb": price}))
}

fn bps(mbps: f64) -> u64 {
    (mbps * 1e6).round() as u64
}

fn report(budget: &Value, target: &Target) {
    if target.json {
        print::json(budget);
        return;
    }
    let number = |name: &str| budget[name].as_f64().unwrap_or(0.0);
    print::line(&format!(
        "offer      {}",
        sentence(&budget["policy"]["allowance"])
    ));
    print::line(&format!(
        "after      {}",
        sentence(&budget["policy"]["after"])
    ));
    print::line(&format!("used       {:.3} TB", number("used_bytes") / 1e12));
    print::line(&format!(
        "held       {:.3} TB for live sessions",
        number("held_bytes") / 1e12
    ));
    print::line(&format!(
        "projected  {:.0} % of what is planned with, at the window's end",
        number("projected_ratio") * 100.0
    ));
    print::line(&format!(
        "provider   {}",
        print::text(&budget["restriction"])
    ));
    let events = budget["events"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = events.map(event).collect();
    print::table(
        &["at", "what", "by", "details"],
        &rows,
        "nothing was done to it",
    );
}

fn event(event: &Value) -> Vec<String> {
    vec![
        print::text(&event["at"]),
        print::text(&event["kind"]),
        print::text(&event["user_id"]),
        sentence(&event["details"]),
    ]
}

/// An object's fields in one line: `monthly_cap limit_bytes=…`.
fn sentence(value: &Value) -> String {
    let empty = Map::new();
    let fields = value.as_object().unwrap_or(&empty);
    let kind = fields.get("kind").map(print::text);
    let others = fields
        .iter()
        .filter(|(name, value)| *name != "kind" && !value.is_null())
        .map(|(name, value)| match value {
            Value::Object(_) => format!("{name}=({})", sentence(value)),
            value => format!("{name}={}", print::text(value)),
        });
    kind.into_iter().chain(others).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, Nodes};

    fn offered(arguments: &str) -> anyhow::Result<Value> {
        let line = format!("streamhaul nodes budget set kc1 {arguments}");
        let cli = Cli::try_parse_from(line.split_whitespace())?;
        let Command::Nodes(Nodes::Budget(Budget::Set { offer, .. })) = cli.command else {
            panic!("not a set");
        };
        policy(&offer)
    }

    #[test]
    fn flags_become_the_document_that_a_file_would_hold() {
        let kc1 = offered(
            "--kind monthly-cap --port-mbps 1000 --limit 32TB --floor-mbps 1 --price 8 --co-located",
        );
        let kc1 = kc1.unwrap();
        assert_eq!(kc1["allowance"]["limit_bytes"], 32_000_000_000_000_u64);
        assert_eq!(
            kc1["after"],
            json!({"kind": "floor", "floor_bps": 1_000_000})
        );
        assert_eq!(kc1["port_bps"], 1_000_000_000);
        let lv1 = offered("--kind fair-share --port-mbps 1000 --ticket --confidence rumour");
        assert_eq!(lv1.unwrap()["after"]["kind"], "support_ticket");
        let billed = offered("--kind monthly-cap --port-mbps 1000 --limit 1TB --price-per-tb 5");
        assert_eq!(billed.unwrap()["after"]["kind"], "bill");
    }

    #[test]
    fn what_an_offer_lacks_is_said() {
        let error = offered("--kind rolling-cap --port-mbps 2500").unwrap_err();
        assert!(error.to_string().contains("--limit"), "{error}");
        let error = offered("--kind metered --port-mbps 2500").unwrap_err();
        assert!(error.to_string().contains("--price-per-tb"), "{error}");
    }
}
