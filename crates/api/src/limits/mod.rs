//! How often a caller may ask, by the class of what they ask for.
//!
//! Every route states its [`Class`]; the layer counts, answers 429 beyond the class's
//! rule, and says on every response what is left (draft-ietf-httpapi-ratelimit-headers-10).

pub(crate) mod buckets;
mod class;
pub(crate) mod fields;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::UserId;

use crate::auth::Caller;
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::token::{self, Hash};
use buckets::{Buckets, Key, Left, Rule};
use service_kit::client_address::ClientAddress;

pub use class::Class;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Principal {
    /// A user, whichever of their tokens they show.
    User(Hash),
    /// Everybody who has this address, where nobody signs in.
    Address(IpAddr),
    /// Everybody in the network that begins with this address.
    Network(IpAddr),
    /// All users that found no place of their own.
    OtherUsers,
    /// All strangers that found none.
    Others,
}

impl From<&UserId> for Principal {
    fn from(user: &UserId) -> Self {
        Self::User(token::hash(user.as_str()))
    }
}

impl Principal {
    const fn is_user(self) -> bool {
        matches!(self, Self::User(_) | Self::OtherUsers)
    }

    fn rule(self, rule: Rule) -> Rule {
        match self {
            Self::Network(_) => rule.of_network(),
            _ => rule,
        }
    }
}

type Counted = (Class, Principal);

impl Key for Counted {
    fn shared(self) -> Self {
        let others = match self.1.is_user() {
            true => Principal::OtherUsers,
            false => Principal::Others,
        };
        (self.0, others)
    }

    fn is_ours(self) -> bool {
        self.1.is_user()
    }
}

/// Who a request is counted for: a user, or all that an address may be one of.
#[derive(Debug, Clone, Copy)]
enum Asker {
    User(Principal),
    Stranger(ClientAddress),
}

impl Asker {
    fn counted(self, class: Class, rule: Rule) -> Vec<(Counted, Rule)> {
        let principals = match self {
            Self::User(user) => vec![user],
            Self::Stranger(address) => vec![
                Principal::Address(address.subscriber()),
                Principal::Network(address.network()),
            ],
        };
        let counted = principals.into_iter();
        counted.map(|one| ((class, one), one.rule(rule))).collect()
    }
}

/// Who asked lately.
#[derive(Default)]
pub(crate) struct RateLimits(Buckets<Counted>);

impl RateLimits {
    /// Whether an address showed so many wrong tokens that no more of its are looked up.
    ///
    /// # Errors
    /// 429, with the time to wait.
    pub(crate) fn check_wrong_tokens(
        &self,
        app: &App,
        address: ClientAddress,
    ) -> Result<(), ApiError> {
        let class = Class::WrongToken;
        let Some(rule) = app.config.http.rate_limits.rule(class) else {
            return Ok(());
        };
        let counted = Asker::Stranger(address).counted(class, rule);
        self.0.look(&counted, app.now()).map_err(too_often)
    }

    /// Counts a token that was nobody's.
    pub(crate) fn count_wrong_token(&self, app: &App, address: ClientAddress) {
        let class = Class::WrongToken;
        if let Some(rule) = app.config.http.rate_limits.rule(class) {
            // Who has none left is refused before the next one is looked up.
            let counted = Asker::Stranger(address).counted(class, rule);
            let _ = self.0.take(&counted, app.now());
        }
    }
}

/// Counts a request once it is known who asks, and says on the response what is left.
pub(crate) async fn limit(
    State((app, class)): State<(Arc<App>, Class)>,
    request: Request,
    next: Next,
) -> Response {
    let Some((class, asker)) = counted(class, &request) else {
        return next.run(request).await;
    };
    let Some(rule) = app.config.http.rate_limits.rule(class) else {
        return next.run(request).await;
    };
    let counted = asker.counted(class, rule);
    let taken = app.rate_limits.0.take(&counted, app.now());
    let (mut response, left) = match taken {
        Ok(left) => (next.run(request).await, left),
        Err(wait) => {
            let left = Left {
                remaining: 0,
                whole_in: rule.span(),
            };
            (too_often(wait).into_response(), left)
        }
    };
    fields::write(response.headers_mut(), class, rule, left);
    response
}

/// Who is counted in which class. An operator is counted as one, whatever they ask for;
/// who shows nothing, by their address.
fn counted(class: Class, request: &Request) -> Option<(Class, Asker)> {
    let extensions = request.extensions();
    if let Some(caller) = extensions.get::<Caller>() {
        let class = if caller.is_admin { Class::Ops } else { class };
        return Some((class, Asker::User((&caller.account.user_id).into())));
    }
    let address = extensions.get::<ClientAddress>()?;
    Some((class, Asker::Stranger(*address)))
}

/// 429: there will be one again in `wait`.
pub(crate) fn too_often(wait: Duration) -> ApiError {
    let seconds = fields::whole_seconds(wait).max(1);
    let message = format!("this was tried too often; try again in {seconds} s");
    ApiError::new(Code::RateLimited, message)
        .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
}
