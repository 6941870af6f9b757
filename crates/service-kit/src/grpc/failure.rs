//! Why a service was not reached, in words that say what to do.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use tonic::Status;

/// An error with its causes in one line, and what to do where it is about TLS.
#[must_use]
pub fn why(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        // Some errors say what their cause says.
        if !text.ends_with(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = error.source();
    }
    if let Some(advice) = tls_error(error).and_then(advice) {
        text.push_str(": ");
        text.push_str(advice);
    }
    text
}

/// The same of a call's outcome: its causes where the call was never made, else its message.
#[must_use]
pub fn why_not(status: &Status) -> String {
    status
        .source()
        .map_or_else(|| status.message().to_owned(), why)
}

/// What rustls found, however deep it is wrapped.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let found = error.downcast_ref::<rustls::Error>();
    found.or_else(|| {
        // An I/O error's source is that of what it wraps, which is left out.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(|io| io.get_ref());
        match wrapped {
            Some(wrapped) => tls_error(wrapped),
            None => tls_error(error.source()?),
        }
    })
}

const fn advice(error: &rustls::Error) -> Option<&'static str> {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        UnknownIssuer,
    };
    match error {
        // The signature is bad where another authority has the name of ours.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => Some(
            "kit.grpc.ca_file (or, without it, the public authorities) does not vouch for its \
             certificate",
        ),
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            Some("its certificate is for another name than the one it is called by here")
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            Some("its certificate has to be renewed, or a clock is wrong")
        }
        rustls::Error::InvalidMessage(_) => {
            Some("it does not speak TLS: set kit.grpc.cert_file there, or use http://")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_found_however_deep() {
        let rustls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, rustls));
        let words = why(&wrapped);
        assert!(words.starts_with("invalid peer certificate: UnknownIssuer: "));
        assert!(words.contains("kit.grpc.ca_file"), "{words}");
    }

    #[test]
    fn a_cause_is_said_once_and_a_refusal_in_its_own_words() {
        let refused = io::Error::other("nobody listens");
        assert_eq!(why(&refused), "nobody listens");
        assert_eq!(why_not(&Status::unavailable("later")), "later");
    }
}
