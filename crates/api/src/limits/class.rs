//! What is asked for, as far as limits go.

use http::Method;

use crate::auth::Access;

/// The class of a route. Each has its own limit for each principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Begins a session.
    Start,
    /// Ends one.
    Stop,
    /// Looks at sessions: each connection of a plugin asks every 2 or 3 seconds.
    Active,
    /// Says that a session is still wanted.
    Health,
    /// Looks at usage and at the fleet.
    Usage,
    /// Looks at anything else of one's own.
    Read,
    /// Changes anything else of one's own.
    Write,
    /// Opens a live view.
    Live,
    /// Whatever an operator does.
    Ops,
    /// Signs in, or gets there: anybody may.
    SignIn,
    /// Pages, their files, and what else is for everybody.
    Page,
    /// Shows a token that is nobody's, on any route.
    WrongToken,
    /// Is not counted: health checks and our own services.
    Unlimited,
}

impl Class {
    /// Every class.
    pub const ALL: &'static [Self] = &[
        Self::Start,
        Self::Stop,
        Self::Active,
        Self::Health,
        Self::Usage,
        Self::Read,
        Self::Write,
        Self::Live,
        Self::Ops,
        Self::SignIn,
        Self::Page,
        Self::WrongToken,
        Self::Unlimited,
    ];

    /// Its word in header fields and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Active => "active",
            Self::Health => "health",
            Self::Usage => "usage",
            Self::Read => "read",
            Self::Write => "write",
            Self::Live => "live",
            Self::Ops => "ops",
            Self::SignIn => "sign_in",
            Self::Page => "page",
            Self::WrongToken => "wrong_token",
            Self::Unlimited => "unlimited",
        }
    }

    /// The class of a route that states none.
    pub(crate) fn usual(access: Access, method: &Method) -> Self {
        match access {
            Access::Service => Self::Unlimited,
            Access::Ops(_) => Self::Ops,
            Access::Public | Access::Page if method.is_safe() => Self::Page,
            Access::Public | Access::Page => Self::SignIn,
            _ if method.is_safe() => Self::Read,
            _ => Self::Write,
        }
    }
}
