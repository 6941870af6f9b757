//! `Debug` of messages that hold secrets.

use std::fmt;

use crate::fleet::KeyedLease;

/// The lease admits whoever has it, so it is not shown either.
impl fmt::Debug for KeyedLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLease").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::AssignLease;

    #[test]
    fn an_assignment_shows_no_secret() {
        let keyed = KeyedLease {
            stream_key: "secret".into(),
            lease: "secret".into(),
            passphrase: "secret".into(),
        };
        let assign = AssignLease {
            session_id: "ses_1".into(),
            publish: Some(keyed),
            play: None,
        };
        let shown = format!("{assign:?}");
        assert!(
            shown.contains("ses_1") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
