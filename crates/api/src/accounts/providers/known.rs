//! What is particular to each provider.

use model::Provider;

/// How a provider is spoken to, and where its answer says who somebody is.
pub(super) struct Known {
    pub(super) authorize_url: &'static str,
    pub(super) token_url: &'static str,
    pub(super) identity_url: &'static str,
    pub(super) scopes: &'static [&'static str],
    /// Besides what RFC 6749 has.
    pub(super) extra: &'static [(&'static str, &'static str)],
    pub(super) fields: Fields,
}

/// The names of fields in a provider's answer.
pub(super) struct Fields {
    pub(super) subject: &'static str,
    /// The first that is there.
    pub(super) names: &'static [&'static str],
    pub(super) email: &'static str,
    pub(super) email_verified: &'static str,
}

/// OpenID Connect Core 1.0, section 5.1.
const STANDARD: Fields = Fields {
    subject: "sub",
    names: &["name", "preferred_username"],
    email: "email",
    email_verified: "email_verified",
};

/// <https://dev.twitch.tv/docs/authentication/getting-tokens-oidc/>
const TWITCH: Known = Known {
    authorize_url: "https://id.twitch.tv/oauth2/authorize",
    token_url: "https://id.twitch.tv/oauth2/token",
    identity_url: "https://id.twitch.tv/oauth2/userinfo",
    scopes: &["openid", "user:read:email"],
    extra: &[(
        "claims",
        r#"{"userinfo":{"email":null,"email_verified":null,"preferred_username":null}}"#,
    )],
    fields: STANDARD,
};

/// <https://developers.google.com/identity/openid-connect/openid-connect>
const GOOGLE: Known = Known {
    authorize_url: "https://accounts.google.com/o/oauth2/v2/auth",
    token_url: "https://oauth2.googleapis.com/token",
    identity_url: "https://openidconnect.googleapis.com/v1/userinfo",
    scopes: &["openid", "email", "profile"],
    extra: &[],
    fields: STANDARD,
};

/// <https://discord.com/developers/docs/topics/oauth2>
const DISCORD: Known = Known {
    authorize_url: "https://discord.com/oauth2/authorize",
    token_url: "https://discord.com/api/oauth2/token",
    identity_url: "https://discord.com/api/users/@me",
    scopes: &["identify", "email"],
    extra: &[],
    fields: Fields {
        subject: "id",
        names: &["global_name", "username"],
        email: "email",
        email_verified: "verified",
    },
};

pub(super) const fn of(provider: Provider) -> &'static Known {
    match provider {
        Provider::Twitch => &TWITCH,
        Provider::Google => &GOOGLE,
        Provider::Discord => &DISCORD,
    }
}
