//! Who else knows the people that sign in.

use crate::words::words;

words! {
    /// A provider of identities: people sign in with their account there.
    pub enum Provider {
        /// Twitch.
        Twitch = "twitch",
        /// Google.
        Google = "google",
        /// Discord.
        Discord = "discord",
    }
}
