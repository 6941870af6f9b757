//! What we and a provider say to each other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::header::{ACCEPT, AUTHORIZATION};
use model::Provider;
use oauth2::basic::BasicTokenIntrospectionResponse;
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenType};
use oauth2::{
    AccessToken, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, Scope, StandardRevocableToken, TokenResponse, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use ureq::Agent;

use super::identity::Identity;
use super::known::{self, Known};
use crate::config::{ProviderConfig, ProvidersConfig};

/// Providers that are asked at the same time; each takes a thread.
const EXCHANGES_MAX: usize = 16;
/// The longest that one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The providers that are set up.
pub(crate) struct Providers {
    all: Vec<(Provider, Arc<Application>)>,
    agent: Agent,
    places: Arc<Semaphore>,
}

/// This instance, as a provider knows it.
struct Application {
    known: &'static Known,
    client: ProviderClient,
    identity_url: String,
}

type ProviderClient = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// As much of a provider's answer as we need: providers do not agree on the form of the
/// rest (Twitch's scopes are an array, RFC 6749, section 5.1, has a text).
#[derive(Debug, Serialize, Deserialize)]
struct Tokens {
    access_token: AccessToken,
    #[serde(deserialize_with = "oauth2::helpers::deserialize_untagged_enum_case_insensitive")]
    token_type: BasicTokenType,
}

impl TokenResponse for Tokens {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

impl Providers {
    /// Reads the secrets of those that are configured.
    pub(crate) fn new(config: &ProvidersConfig) -> anyhow::Result<Self> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .new_agent();
        let set_up = Provider::ALL.iter().filter_map(|provider| {
            let config = config.get(*provider)?;
            let application = Application::new(*provider, config);
            let named = application.with_context(|| format!("accounts.providers.{provider}"));
            Some(named.map(|application| (*provider, Arc::new(application))))
        });
        Ok(Self {
            all: set_up.collect::<anyhow::Result<_>>()?,
            agent,
            places: Arc::new(Semaphore::new(EXCHANGES_MAX)),
        })
    }

    /// Which there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = Provider> {
        self.all.iter().map(|(provider, _)| *provider)
    }

    /// Where a browser goes to say who it is.
    pub(super) fn authorize_url(
        &self,
        provider: Provider,
        redirect: &str,
        state: String,
        verifier: String,
    ) -> Option<String> {
        let application = self.find(provider)?;
        let redirect = RedirectUrl::new(redirect.to_owned()).ok()?;
        let verifier = PkceCodeVerifier::new(verifier);
        let mut request = application
            .client
            .authorize_url(|| CsrfToken::new(state))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        for scope in application.known.scopes {
            request = request.add_scope(Scope::new((*scope).to_owned()));
        }
        for (name, value) in application.known.extra {
            request = request.add_extra_param(*name, *value);
        }
        Some(request.url().0.into())
    }

    /// Who came back with a code.
    pub(super) async fn identity(
        &self,
        provider: Provider,
        redirect: String,
        code: SecretString,
        verifier: String,
    ) -> anyhow::Result<Identity> {
        let application = self.find(provider).context("it is not set up any more")?;
        let (application, agent) = (application.clone(), self.agent.clone());
        let place = self.places.clone().acquire_owned().await?;
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let redirect = RedirectUrl::new(redirect)?;
            let code = AuthorizationCode::new(code.expose_secret().to_owned());
            let token = application.redeem(&agent, redirect, code, verifier)?;
            application.ask(&agent, &token)
        });
        asked.await?
    }

    fn find(&self, provider: Provider) -> Option<&Arc<Application>> {
        let mut all = self.all.iter();
        all.find_map(|(name, application)| (*name == provider).then_some(application))
    }
}

impl Application {
    fn new(provider: Provider, config: &ProviderConfig) -> anyhow::Result<Self> {
        let known = known::of(provider);
        let secret = service_kit::secret::read_file(&config.client_secret_file)?;
        let or = |set: &Option<String>, known: &str| set.clone().unwrap_or_else(|| known.into());
        let client = Client::new(ClientId::new(config.client_id.clone()))
            .set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            .set_auth_uri(AuthUrl::new(or(
                &config.authorize_url,
                known.authorize_url,
            ))?)
            .set_token_uri(TokenUrl::new(or(&config.token_url, known.token_url))?)
            .set_auth_type(AuthType::RequestBody);
        Ok(Self {
            known,
            client,
            identity_url: or(&config.identity_url, known.identity_url),
        })
    }

    fn redeem(
        &self,
        agent: &Agent,
        redirect: RedirectUrl,
        code: AuthorizationCode,
        verifier: String,
    ) -> anyhow::Result<AccessToken> {
        let tokens = self
            .client
            .exchange_code(code)
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request(&|request: HttpRequest| answer(agent, request))
            .context("the code was not taken")?;
        ensure!(
            tokens.token_type == BasicTokenType::Bearer,
            "the token is not a bearer token"
        );
        Ok(tokens.access_token)
    }

    fn ask(&self, agent: &Agent, token: &AccessToken) -> anyhow::Result<Identity> {
        let request = http::Request::get(&self.identity_url)
            .header(AUTHORIZATION, format!("Bearer {}", token.secret()))
            .header(ACCEPT, "application/json")
            .body(Vec::new())?;
        let answer = answer(agent, request).context("the token was not taken")?;
        ensure!(answer.status().is_success(), "status {}", answer.status());
        Identity::parse(&serde_json::from_slice(answer.body())?, &self.known.fields)
    }
}

fn answer(agent: &Agent, request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let (parts, mut body) = if request.method() == http::Method::GET {
        agent.run(request.map(|_| ()))?.into_parts()
    } else {
        agent.run(request)?.into_parts()
    };
    let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(http::Response::from_parts(parts, body))
}
