//! `streamhaul dock-url`: a link that signs a dock in, once.

use serde_json::json;

use crate::cli::Target;
use crate::client::Client;
use crate::print;

pub(super) fn run(origin: Option<&str>, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let made = client.post("/api/v1/dock/links", &json!({}), None)?;
    let origin = origin.unwrap_or(client.base()).trim_end_matches('/');
    let url = format!("{origin}{}", print::text(&made["path"]));
    if target.json {
        print::json(&json!({"url": url, "expires_at": made["expires_at"]}));
    } else {
        print::line(&url);
    }
    Ok(())
}
