//! The bodies of errors as every Streamhaul service writes them.

use serde::Serialize;

/// `{"error":{"code":…,"message":…,"request_id":…}}`, with `retry_after` if waiting helps.
#[derive(Serialize)]
pub(crate) struct ErrorBody<'a> {
    error: Told<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Told<'a> {
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
}

impl<'a> ErrorBody<'a> {
    pub(crate) fn new(code: &'a str, message: &'a str, request_id: &'a str) -> Self {
        let error = Told {
            code,
            message,
            request_id,
        };
        Self {
            error,
            retry_after: None,
        }
    }

    /// Tells to wait so many seconds.
    pub(crate) fn with_wait(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}
