//! What the bars of a connection must be in every case.

use crate::findings::Findings;
use crate::sight::Card;

/// What the shares of all active links add up to, with what rounding takes.
const SHARE_SUM_PCT: std::ops::RangeInclusive<f64> = 98.0..=102.0;

/// A bar for each of these carriers and no other, a badge that counts them, shares that
/// are the whole. `when` goes into the names of the figures.
pub(super) fn check(findings: &mut Findings, card: &Card, carriers: &[&str], when: &str) {
    let active: Vec<&str> = card.active().map(|bar| bar.name.as_str()).collect();
    findings.figure(&format!("bars_{when}"), active.len());
    findings.within(
        &format!("share_sum_pct_{when}"),
        card.share_sum_pct(),
        SHARE_SUM_PCT,
    );
    let (mut shown, mut expected) = (active, carriers.to_vec());
    shown.sort_unstable();
    expected.sort_unstable();
    findings.expect(shown == expected, || {
        format!("{when}: bars of {shown:?}, not of {expected:?}")
    });
    let badge = card.badge_links();
    findings.expect(badge == Some(carriers.len()), || {
        format!(
            "{when}: the badge says {:?}, not {} links",
            card.badge,
            carriers.len()
        )
    });
}

/// Whether every active bar has a bitrate.
pub(super) fn all_carry(card: &Card) -> bool {
    card.active()
        .all(|bar| bar.bitrate_bps().is_some_and(|bps| bps > 0.0))
}

#[cfg(test)]
pub(super) mod fake {
    //! Sights that a test makes up.

    use crate::sight::{Bar, Card, Page, Sight};

    pub(in crate::cases) fn bar(name: &str, mbps: f64, share_pct: f64) -> Bar {
        Bar {
            name: name.into(),
            rate: format!("{mbps:.1} Mbit/s"),
            share: format!("{share_pct} %"),
            figures: "48 ms · 0.0 % loss".into(),
            faded: false,
        }
    }

    /// A live connection over these links.
    pub(in crate::cases) fn live(name: &str, at_ms: u64, links: Vec<Bar>) -> Card {
        let active = links.iter().filter(|bar| !bar.faded).count();
        Card {
            name: name.into(),
            state: "live".into(),
            badge: Some(format!("{active} links")),
            figures: vec!["6.0 Mbit/s".into(), "50 ms".into(), "0.9 %".into()],
            newest_at_ms: Some(at_ms as f64),
            meters: vec!["200 / 2000 ms".into()],
            links,
        }
    }

    pub(in crate::cases) fn sight(at_ms: u64, cards: Vec<Card>) -> Sight {
        Sight {
            at_ms,
            page: Page::Dock,
            cards,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_without_its_carrier_is_noticed() {
        let card = fake::live(
            "phone",
            0,
            vec![fake::bar("Cox", 3.0, 50.0), fake::bar("Link 2", 3.0, 50.0)],
        );
        let mut findings = Findings::default();
        check(&mut findings, &card, &["Cox", "Verizon"], "now");
        assert!(findings.failures()[0].contains("Link 2"), "{findings:?}");
        let mut findings = Findings::default();
        check(&mut findings, &card, &["Link 2", "Cox"], "now");
        assert!(findings.pass(), "{findings:?}");
    }

    #[test]
    fn shares_that_are_not_the_whole_are_noticed() {
        let card = fake::live(
            "phone",
            0,
            vec![fake::bar("Cox", 3.0, 50.0), fake::bar("Verizon", 3.0, 40.0)],
        );
        let mut findings = Findings::default();
        check(&mut findings, &card, &["Cox", "Verizon"], "now");
        assert!(!findings.pass());
    }
}
