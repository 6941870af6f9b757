//! What an outside billing system may tell us, and where plans are bought.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What stands in `checkout_url` for the tenant that buys.
pub(crate) const TENANT: &str = "{tenant_id}";
/// What stands in it for the plan that is wanted.
pub(crate) const PLAN: &str = "{plan_tier}";

/// What an outside billing system may tell us, and where plans are bought.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BillingConfig {
    /// A file that holds the secrets by which the billing system signs what it tells us,
    /// `whsec_…`, one a line: a new one beside the old one while it is replaced. None: nobody
    /// may.
    pub webhook_secret_file: Option<PathBuf>,
    /// For how long a plan counts that is past due.
    pub past_due_seconds: u32,
    /// The page where plans are bought, with `{tenant_id}` in it, and `{plan_tier}` if it
    /// likes; none: nowhere.
    pub checkout_url: Option<String>,
}

impl Default for BillingConfig {
    fn default() -> Self {
        Self {
            webhook_secret_file: None,
            past_due_seconds: 48 * 3600,
            checkout_url: None,
        }
    }
}

impl BillingConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        let Some(url) = &self.checkout_url else {
            return Ok(());
        };
        let filled = url.replace(TENANT, "ten_1").replace(PLAN, "standard");
        let is_page = filled.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some() && !filled.contains('{')
        });
        if is_page && url.contains(TENANT) {
            return Ok(());
        }
        Err("billing.checkout_url: such as https://shop.example/buy?tenant={tenant_id}".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_page_is_told_who_buys_and_in_private() {
        let config = |url: &str| BillingConfig {
            checkout_url: Some(url.to_owned()),
            ..BillingConfig::default()
        };
        assert_eq!(BillingConfig::default().validate(), Ok(()));
        for good in [
            "https://shop.example/buy?tenant={tenant_id}",
            "https://shop.example/{plan_tier}?tenant={tenant_id}",
        ] {
            assert_eq!(config(good).validate(), Ok(()), "{good}");
        }
        for bad in [
            "https://shop.example/buy",
            "http://shop.example/buy?tenant={tenant_id}",
            "https://shop.example/buy?tenant={tenant_id}&user={user_id}",
            "/buy?tenant={tenant_id}",
        ] {
            assert!(config(bad).validate().is_err(), "{bad}");
        }
    }
}
