//! Who and what is shut out.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::{Target, duration};

/// Who and what is shut out: tenants, users, addresses, stream keys.
#[derive(Debug, Subcommand)]
pub enum Bans {
    /// Shuts somebody or something out at once; live streams of it are cut.
    Add {
        /// What is banned
        kind: BanKind,
        /// A tenant's id; a user's id, e-mail address or name; an address or a prefix such as
        /// 203.0.113.0/24; a stream key as it is pasted into an encoder
        subject: String,
        /// Why, for the audit and for whoever looks at it later
        #[arg(long)]
        reason: String,
        /// Ends by itself after this time, such as 30m, 12h or 7d
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        lasting: Option<Duration>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lists the bans that are in force.
    List {
        /// Those that ended instead
        #[arg(long)]
        ended: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lifts a ban.
    Remove {
        /// The ban's id, as `streamhaul bans list` shows it
        ban: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}

/// What a ban is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BanKind {
    /// Everybody of a tenant.
    Tenant,
    /// One person.
    User,
    /// Addresses that nodes answer no longer.
    Prefix,
    /// One key of a stream; new keys are not banned.
    StreamKey,
}

impl BanKind {
    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Prefix => "prefix",
            Self::StreamKey => "stream_key",
        }
    }
}
