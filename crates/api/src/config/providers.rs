//! Providers of identities: where people have an account already.

use std::path::PathBuf;

use model::Provider;
use serde::{Deserialize, Serialize};

/// The providers that people can sign in with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvidersConfig {
    /// Twitch: an application of <https://dev.twitch.tv/console/apps>.
    pub twitch: Option<ProviderConfig>,
    /// Google: an OAuth client of <https://console.cloud.google.com/apis/credentials>.
    pub google: Option<ProviderConfig>,
    /// Discord: an application of <https://discord.com/developers/applications>.
    pub discord: Option<ProviderConfig>,
}

/// What a provider knows this instance by. It must allow redirects to
/// `{public_url}/api/v1/auth/providers/{provider}/callback`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// The client's id.
    pub client_id: String,
    /// A file that holds the client's secret.
    pub client_secret_file: PathBuf,
    /// Where browsers go, instead of the provider's own page.
    pub authorize_url: Option<String>,
    /// Where codes become tokens, instead of the provider's own.
    pub token_url: Option<String>,
    /// Where a token tells whose it is, instead of the provider's own.
    pub identity_url: Option<String>,
}

impl ProvidersConfig {
    /// What is set of a provider.
    pub(crate) const fn get(&self, provider: Provider) -> Option<&ProviderConfig> {
        match provider {
            Provider::Twitch => self.twitch.as_ref(),
            Provider::Google => self.google.as_ref(),
            Provider::Discord => self.discord.as_ref(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        for provider in Provider::ALL {
            if let Some(config) = self.get(*provider) {
                let named = |wrong| format!("accounts.providers.{provider}.{wrong}");
                config.validate().map_err(named)?;
            }
        }
        Ok(())
    }
}

impl ProviderConfig {
    fn validate(&self) -> Result<(), &'static str> {
        if self.client_id.is_empty() {
            return Err("client_id: set it");
        }
        let urls = [&self.authorize_url, &self.token_url, &self.identity_url];
        if urls.into_iter().flatten().all(|url| is_private(url)) {
            Ok(())
        } else {
            Err("authorize_url, token_url, identity_url: an HTTPS URL, or HTTP on this machine")
        }
    }
}

/// Whether nobody on the way reads what is sent there.
fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let here = ["127.0.0.1", "[::1]", "localhost"];
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => here.contains(&host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_nowhere_in_the_clear() {
        let config = |url: &str| ProvidersConfig {
            discord: Some(ProviderConfig {
                client_id: "id".into(),
                client_secret_file: "/secret".into(),
                authorize_url: None,
                token_url: Some(url.into()),
                identity_url: None,
            }),
            ..ProvidersConfig::default()
        };
        for good in ["https://id.example/token", "http://127.0.0.1:9/token"] {
            assert_eq!(config(good).validate(), Ok(()), "{good}");
        }
        for bad in ["http://id.example/token", "id.example", "file:///token", ""] {
            let wrong = config(bad).validate().unwrap_err();
            assert!(wrong.starts_with("accounts.providers.discord."), "{wrong}");
        }
    }
}
