//! api in this process.

use std::path::Path;

use anyhow::Context;
use api::{AccountsConfig, Config, MailConfig, ProvidersConfig};
use service_kit::Running;

use super::{Settings, dns, kit};

pub(super) fn start(settings: &Settings) -> anyhow::Result<Running> {
    let config = Config {
        kit: kit(settings.ports.admin_api),
        listen_http: settings.ports.api_http,
        listen_grpc: settings.ports.api_grpc,
        database_url: settings.database_url.clone(),
        admin_token_file: settings.secrets.admin_token(),
        service_token_file: settings.secrets.service_token(),
        sealing_key_file: settings.secrets.sealing_key(),
        stream_key_secret_file: settings.secrets.stream_key_secret(),
        gateway_http: settings.gateway_http(),
        gateway_grpc: settings.gateway_grpc(),
        default_region: settings.region.clone(),
        public_url: settings.public_url.clone(),
        accounts: accounts(settings)?,
        mail: mail(settings),
        dns: dns::read(settings)?.api,
        ..Config::default()
    };
    Ok(service_kit::launch("api", config, api::run)?)
}

fn accounts(settings: &Settings) -> anyhow::Result<AccountsConfig> {
    let providers = match &settings.providers_file {
        Some(file) => providers(file).with_context(|| format!("{}", file.display()))?,
        None => ProvidersConfig::default(),
    };
    Ok(AccountsConfig {
        providers,
        ..AccountsConfig::default()
    })
}

fn providers(file: &Path) -> anyhow::Result<ProvidersConfig> {
    Ok(toml::from_str(&std::fs::read_to_string(file)?)?)
}

fn mail(settings: &Settings) -> MailConfig {
    let default = MailConfig::default();
    MailConfig {
        smtp_url_file: settings.smtp_url_file.clone(),
        // Until a mail server is set up, letters can be read here.
        directory: Some(settings.state_dir.mail()),
        from: settings.mail_from.clone().unwrap_or(default.from),
        smtp_url: default.smtp_url,
    }
}
