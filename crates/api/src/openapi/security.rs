//! Who may use a route, in OpenAPI's words.

use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use crate::auth::Access;

const BEARER: &str = "bearer";
const DOCK: &str = "dock_cookie";
const ACCOUNT: &str = "account_cookie";
const SERVICE: &str = "service_token";

pub(super) fn schemes(components: ComponentsBuilder) -> ComponentsBuilder {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "`sh_access_…` of somebody who signed in, `sh_user_…` that an operator gave, or the \
             admin token.",
        ));
    let cookie = |name, whose: &str| {
        let by_https = format!("{whose} By HTTPS its name begins with `__Host-`.");
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            name,
            by_https.as_str(),
        )))
    };
    let service = ApiKeyValue::with_description("X-Plugin-Login-Auth", "Our own services' token.");
    components
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .security_scheme(DOCK, cookie("streamhaul_dock", "A dock's."))
        .security_scheme(
            ACCOUNT,
            cookie("streamhaul_account", "A signed-in browser's."),
        )
        .security_scheme(SERVICE, SecurityScheme::ApiKey(ApiKey::Header(service)))
}

/// The ways in, each enough by itself; none is needed where there is none.
pub(super) fn of(access: Access) -> Option<Vec<SecurityRequirement>> {
    let schemes: &[&str] = match access {
        Access::Public | Access::Page => return None,
        Access::User | Access::Ops(_) => &[BEARER],
        Access::Dock => &[DOCK],
        Access::Viewer => &[BEARER, DOCK],
        Access::Browser => &[ACCOUNT],
        Access::Account => &[BEARER, ACCOUNT],
        Access::Service => &[SERVICE],
    };
    let requirement = |scheme: &&str| SecurityRequirement::new::<_, [&str; 0], &str>(*scheme, []);
    Some(schemes.iter().map(requirement).collect())
}
