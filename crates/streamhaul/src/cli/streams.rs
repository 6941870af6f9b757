//! Stream slots and their settings.

use clap::Subcommand;

use super::Target;

/// Stream slots.
#[derive(Debug, Subcommand)]
pub enum Streams {
    /// Lists the slots.
    List(Target),
    /// How a stream behaves on its node.
    #[command(subcommand)]
    Settings(Settings),
}

/// How a stream behaves on its node.
#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Shows a stream's settings; what is not set is left to the node.
    Get {
        /// The stream's id or name
        stream: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Changes settings; those that are not named stay.
    ///
    /// The numbers are latency_min_ms, latency_max_ms, rate_bps_max, bytes_max,
    /// players_max and hold_seconds. The words are resume (hold, cut), delivery
    /// (pass_through, buffered), start (newest, keyframe) and encryption (off,
    /// optional, required). The limits, hold_seconds and resume reach a live session
    /// at once; the rest counts for the next caller.
    Set {
        /// The stream's id or name
        stream: String,
        /// Such as `hold_seconds=30`; `resume=default` leaves it to the node again
        #[arg(required = true, value_name = "SETTING=VALUE", value_parser = assignment)]
        settings: Vec<(String, String)>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected SETTING=VALUE, such as hold_seconds=30".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        assert_eq!(
            assignment("resume=cut"),
            Ok(("resume".to_owned(), "cut".to_owned()))
        );
        for text in ["resume", "resume=", "=cut", ""] {
            assert!(assignment(text).is_err(), "{text}");
        }
    }
}
