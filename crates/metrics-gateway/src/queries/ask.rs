//! What somebody wants to know, and in which steps.

use jiff::{SignedDuration, Timestamp};
use model::UnixMillis;
use storage::telemetry::stats::{By, Of};

use super::parameters::{Fault, Given, seconds};

/// Steps of an answer.
const STEPS_MAX: u32 = 1500;
/// Steps that are made when nobody says how long one is.
const STEPS_WANTED: i64 = 300;
/// How long those are, the shortest first, seconds.
const STEPS: [u32; 6] = [60, 300, 900, 3600, 21_600, DAY];
/// Numbers of an answer: steps times groups.
const NUMBERS_MAX: u32 = 30_000;
const GROUPS_DEFAULT: u32 = 10;
const GROUPS_MAX: u32 = 50;
/// How far events themselves are looked at, seconds.
const EVENTS_SPAN_MAX: i64 = 31 * DAY as i64;
const SPAN_DEFAULT: SignedDuration = SignedDuration::from_secs(DAY as i64);
const MINUTE: u32 = 60;
const DAY: u32 = 86_400;
/// Names of a path into an event's data, and letters of each.
const PATH_NAMES_MAX: usize = 4;
const PATH_NAME_MAX: usize = 64;

/// A question. Two that are equal have the same answer at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ask {
    pub(crate) measure: Measure,
    pub(crate) span: Span,
    pub(crate) by: By,
    pub(crate) groups: u32,
    pub(crate) event_type: Option<String>,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Measure {
    /// Events.
    Count,
    /// Events a second.
    Rate,
    /// Users, or sessions.
    Uniques(Of),
    /// A number at this path of their data.
    Percentiles(Vec<String>),
}

/// Whole steps, which begin at multiples of their length since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    /// Unix seconds.
    pub(crate) from: i64,
    /// Seconds.
    pub(crate) step: u32,
    pub(crate) steps: u32,
}

/// The words that a measure is asked for by.
#[derive(Clone, Copy)]
enum Word {
    Count,
    Rate,
    Uniques,
    Percentiles,
}

impl Ask {
    /// Reads a request's parameters.
    pub(crate) fn read(query: &str, now: UnixMillis) -> Result<Self, Fault> {
        let mut given = Given::read(query)?;
        let measure = measure(&mut given)?;
        let by = given.word(
            "by",
            &[
                ("none", By::Nothing),
                ("type", By::Type),
                ("version", By::Version),
                ("os", By::Os),
            ],
        )?;
        let groups = groups(&mut given, by)?;
        let event_type = given.event_type()?;
        let span = span(&mut given, &measure, now)?;
        given.end()?;
        if span.steps * (groups + 1) > NUMBERS_MAX {
            let expected = format!("steps times groups are {NUMBERS_MAX} at most");
            return Err(Fault::new("step", &expected));
        }
        Ok(Self {
            measure,
            span,
            by,
            groups,
            event_type,
        })
    }
}

impl Span {
    /// The first second after it.
    pub(crate) const fn to(self) -> i64 {
        self.from + self.step as i64 * self.steps as i64
    }

    /// All of `from..to`, in whole steps; none: there are too many.
    fn around(from: i64, to: i64, step: u32) -> Option<Self> {
        let length = i64::from(step);
        let first = from.div_euclid(length);
        let end = (to - 1).div_euclid(length) + 1;
        let steps = u32::try_from(end - first).ok()?;
        (steps <= STEPS_MAX).then_some(Self {
            from: first * length,
            step,
            steps,
        })
    }
}

fn measure(given: &mut Given) -> Result<Measure, Fault> {
    let word = given.word(
        "measure",
        &[
            ("count", Word::Count),
            ("rate", Word::Rate),
            ("uniques", Word::Uniques),
            ("percentiles", Word::Percentiles),
        ],
    )?;
    Ok(match word {
        Word::Count => Measure::Count,
        Word::Rate => Measure::Rate,
        Word::Uniques => {
            let of = given.word("of", &[("user", Of::User), ("session", Of::Session)])?;
            Measure::Uniques(of)
        }
        Word::Percentiles => {
            let field = given.take("field").unwrap_or_default();
            let expected = "a number in the data, such as duration_ms or timing.total_ms";
            Measure::Percentiles(path(&field).ok_or_else(|| Fault::new("field", expected))?)
        }
    })
}

fn path(field: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        (1..=PATH_NAME_MAX).contains(&name.len()) && name.bytes().all(is_plain)
    };
    let names: Vec<&str> = field.split('.').take(PATH_NAMES_MAX + 1).collect();
    let is_path = names.len() <= PATH_NAMES_MAX && names.iter().all(|name| is_name(name));
    is_path.then(|| names.into_iter().map(str::to_owned).collect())
}

fn groups(given: &mut Given, by: By) -> Result<u32, Fault> {
    match given.take("groups") {
        None if by == By::Nothing => Ok(1),
        None => Ok(GROUPS_DEFAULT),
        Some(_) if by == By::Nothing => Err(Fault::new("groups", "only with by")),
        Some(text) => {
            let groups = text.parse().ok();
            let groups = groups.filter(|groups| (1..=GROUPS_MAX).contains(groups));
            groups.ok_or_else(|| Fault::new("groups", "1 to 50"))
        }
    }
}

fn span(given: &mut Given, measure: &Measure, now: UnixMillis) -> Result<Span, Fault> {
    let to = given.instant(
        "to",
        now,
        Timestamp::from_millisecond(now.0).unwrap_or_default(),
    )?;
    let day_before = to.checked_sub(SPAN_DEFAULT).unwrap_or_default();
    let from = given.instant("from", now, day_before)?;
    if from < Timestamp::UNIX_EPOCH || from >= to {
        return Err(Fault::new("from", "before to, and not before 1970"));
    }
    let length = to.duration_since(from).as_secs();
    let looks_at_events = matches!(measure, Measure::Uniques(_) | Measure::Percentiles(_));
    if looks_at_events && length > EVENTS_SPAN_MAX {
        return Err(Fault::new(
            "from",
            "31 days at most for uniques and percentiles",
        ));
    }
    let step = match given.take("step") {
        Some(text) => {
            let step = seconds(&text).filter(|step| is_step(*step));
            step.ok_or_else(|| Fault::new("step", "whole minutes from 60s to 1d"))?
        }
        None => shortest(length),
    };
    let expected = format!("longer: an answer has {STEPS_MAX} steps at most");
    // What happened in the second that has begun is part of it.
    let end = to.as_second() + i64::from(to.subsec_nanosecond() > 0);
    Span::around(from.as_second(), end, step).ok_or_else(|| Fault::new("step", &expected))
}

const fn is_step(seconds: u32) -> bool {
    seconds >= MINUTE && seconds <= DAY && seconds.is_multiple_of(MINUTE)
}

/// The shortest step of which few are enough.
fn shortest(span: i64) -> u32 {
    let fits = |step: &u32| span <= i64::from(*step) * STEPS_WANTED;
    STEPS.into_iter().find(fits).unwrap_or(DAY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_500);

    fn read(query: &str) -> Result<Ask, String> {
        Ask::read(query, NOW).map_err(|fault| fault.0)
    }

    #[test]
    fn nothing_said_is_a_days_events() {
        let ask = read("").unwrap();
        assert_eq!(
            (ask.measure, ask.by, ask.groups),
            (Measure::Count, By::Nothing, 1)
        );
        assert_eq!((ask.span.step, ask.span.steps), (300, 289));
        assert!(ask.span.from <= NOW.0 / 1000 - 86_400 && NOW.0 / 1000 <= ask.span.to());
    }

    /// Half a second after a step began, what happened in it is asked for.
    #[test]
    fn now_is_part_of_a_span() {
        let begun = UnixMillis(1_760_000_100_500);
        for query in [
            "",
            "to=now&from=-2h",
            "measure=uniques&from=-31d",
            "from=-5h",
        ] {
            let span = Ask::read(query, begun).unwrap().span;
            assert!(span.to() > 1_760_000_100, "{query}: {span:?}");
        }
        assert_eq!(Ask::read("from=-5h", begun).unwrap().span.step, 60);
    }

    #[test]
    fn what_cannot_be_answered_is_told() {
        for (query, word) in [
            ("measure=sum", "measure: count, rate, uniques, percentiles"),
            ("by=user", "by: none, type, version, os"),
            ("of=user", "of: no such parameter"),
            ("measure=uniques&of=host", "of: user, session"),
            ("field=a", "field: no such parameter"),
            ("measure=percentiles", "field: a number"),
            ("measure=percentiles&field=a.b.c.d.e", "field: a number"),
            ("measure=percentiles&field=a..b", "field: a number"),
            ("measure=percentiles&field=a%00", "field: a number"),
            ("measure=uniques&from=-40d", "from: 31 days"),
            ("from=now", "from: before to"),
            ("from=1969-01-01T00:00:00Z", "from: before to"),
            ("step=59s", "step: whole minutes"),
            ("step=90s", "step: whole minutes"),
            ("step=2d", "step: whole minutes"),
            ("step=60s&from=-7d", "step: longer"),
            ("step=60s&by=os&groups=50", "step: steps times groups"),
            ("groups=3", "groups: only with by"),
            ("by=os&groups=0", "groups: 1 to 50"),
            ("type=", "type: 1 to 256"),
            ("type=%00", "type: 1 to 256"),
            ("step=1h&step=1h", "step: once"),
        ] {
            let told = read(query).unwrap_err();
            assert!(told.starts_with(word), "{query}: {told}");
        }
    }

    proptest! {
        /// Whatever is asked for is in the steps, they are no more than may be, and none is for nothing.
        #[test]
        fn steps_cover_what_was_asked(from in 0_i64..4_000_000_000, length in 1_i64..200_000_000, step in 1_u32..=1440) {
            let (to, step) = (from + length, step * MINUTE);
            match Span::around(from, to, step) {
                Some(span) => {
                    prop_assert!(span.from <= from && from < span.from + i64::from(step));
                    prop_assert!(to <= span.to() && span.to() - i64::from(step) < to);
                    prop_assert!(span.from % i64::from(step) == 0 && span.steps <= STEPS_MAX);
                }
                None => prop_assert!(length / i64::from(step) + 2 > i64::from(STEPS_MAX)),
            }
        }

        #[test]
        fn a_step_of_our_choice_is_one_and_there_are_not_too_many(length in 1_i64..=100_000_000) {
            let step = shortest(length);
            prop_assert!(is_step(step));
            prop_assert!(Span::around(0, length, step).is_some());
        }

        #[test]
        fn no_query_panics(query in "[a-z=&%0-9.+-]{0,120}") {
            let _ = Ask::read(&query, NOW);
        }
    }
}
