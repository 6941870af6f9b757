//! How people get accounts and sign in.

use serde::{Deserialize, Serialize};
use service_kit::config::check_positive;

use super::providers::ProvidersConfig;

/// Who may have an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Whom the operator invites.
    Invite,
    /// Whoever has an address: they invite themselves.
    Open,
}

/// How people get accounts and sign in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// Who may have an account.
    pub registration: Registration,
    /// Passwords hashed or checked at the same time; each takes 19 MiB and a core.
    pub password_checks_max: usize,
    /// How long an invitation is good.
    pub invite_seconds: u32,
    /// How long a link that proves an address is good.
    pub verify_seconds: u32,
    /// How long a link that sets a new password is good.
    pub reset_seconds: u32,
    /// How long a browser stays signed in.
    pub browser_seconds: u32,
    /// How long a device may ask to be signed in.
    pub device_seconds: u32,
    /// Between two times that a device asks.
    pub device_poll_seconds: u32,
    /// How long an access token is good.
    pub access_token_seconds: u32,
    /// How long a refresh token is good, from one use to the next.
    pub refresh_token_seconds: u32,
    /// Where else people have accounts that they can sign in with.
    pub providers: ProvidersConfig,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            registration: Registration::Invite,
            password_checks_max: 2,
            invite_seconds: 7 * 24 * 3600,
            verify_seconds: 24 * 3600,
            reset_seconds: 3600,
            browser_seconds: 30 * 24 * 3600,
            device_seconds: 600,
            device_poll_seconds: 3,
            access_token_seconds: 900,
            refresh_token_seconds: 30 * 24 * 3600,
            providers: ProvidersConfig::default(),
        }
    }
}

impl AccountsConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        if !(1..=64).contains(&self.password_checks_max) {
            return Err("accounts.password_checks_max: 1 to 64".to_owned());
        }
        self.providers.validate()?;
        check_positive(&[
            ("accounts.invite_seconds", self.invite_seconds),
            ("accounts.verify_seconds", self.verify_seconds),
            ("accounts.reset_seconds", self.reset_seconds),
            ("accounts.browser_seconds", self.browser_seconds),
            ("accounts.device_seconds", self.device_seconds),
            ("accounts.device_poll_seconds", self.device_poll_seconds),
            ("accounts.access_token_seconds", self.access_token_seconds),
            ("accounts.refresh_token_seconds", self.refresh_token_seconds),
        ])
    }
}
