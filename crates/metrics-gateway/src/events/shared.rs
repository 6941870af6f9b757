//! What events share, by its number.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;
use storage::telemetry::intake::Context;

use super::event::Fault;
use super::wire::{Wire, optional};

/// A [`Context`] as it stands in the request: most are known already, and never copied.
pub(super) struct Shared<'a> {
    /// A hash of all that follows.
    pub(super) id: i64,
    service: &'a str,
    service_version: &'a str,
    language: &'a str,
    language_version: Option<&'a str>,
    sdk_version: Option<&'a str>,
    os: &'a str,
    os_version: Option<&'a str>,
    arch: Option<&'a str>,
    ci: Option<bool>,
    shell: Option<&'a str>,
    user_id: &'a str,
    session_id: Option<&'a str>,
}

impl<'a> Shared<'a> {
    /// Of an event.
    pub(super) fn of(wire: &'a Wire<'_>) -> Result<Self, Fault> {
        let (service, environment) = (&wire.service, &wire.environment);
        let sdk_version = wire
            .metadata
            .as_ref()
            .and_then(|it| it.sdk_version.as_ref());
        let mut shared = Self {
            id: 0,
            service: service.name.required()?,
            service_version: service.version.required()?,
            language: service.language.required()?,
            language_version: optional(service.language_version.as_ref())?,
            sdk_version: optional(sdk_version)?,
            os: environment.os.required()?,
            os_version: optional(environment.os_version.as_ref())?,
            arch: optional(environment.arch.as_ref())?,
            ci: environment.ci,
            shell: optional(environment.shell.as_ref())?,
            user_id: wire.user_id.required()?,
            session_id: optional(wire.session_id.as_ref())?,
        };
        shared.id = number(&shared);
        Ok(shared)
    }

    /// For good.
    pub(super) fn context(&self, app_id: i32) -> Context {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Context {
            app_id,
            id: self.id,
            service: self.service.to_owned(),
            service_version: self.service_version.to_owned(),
            language: self.language.to_owned(),
            language_version: owned(self.language_version),
            sdk_version: owned(self.sdk_version),
            os: self.os.to_owned(),
            os_version: owned(self.os_version),
            arch: owned(self.arch),
            ci: self.ci,
            shell: owned(self.shell),
            user_id: self.user_id.to_owned(),
            session_id: owned(self.session_id),
        }
    }
}

/// A hash of all that a context says: SipHash-2-4 with the key 0, the same in every gateway and
/// for good. Two contexts of one app that meet in 64 bits are counted as one.
fn number(shared: &Shared<'_>) -> i64 {
    let mut hasher = SipHasher24::new();
    let texts = [
        Some(shared.service),
        Some(shared.service_version),
        Some(shared.language),
        shared.language_version,
        shared.sdk_version,
        Some(shared.os),
        shared.os_version,
        shared.arch,
        shared.shell,
        Some(shared.user_id),
        shared.session_id,
    ];
    for text in texts {
        hash_text(&mut hasher, text.map(str::as_bytes));
    }
    hasher.write_u8(shared.ci.map_or(2, u8::from));
    i64::from_ne_bytes(hasher.finish().to_ne_bytes())
}

/// With its length, so that no two lists of texts are the same bytes.
fn hash_text(hasher: &mut SipHasher24, text: Option<&[u8]>) {
    let length = text.map_or(u32::MAX, |text| text.len() as u32);
    hasher.write(&length.to_le_bytes());
    hasher.write(text.unwrap_or_default());
}
