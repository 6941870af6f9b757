//! A line of a table: a request, and which answer of the contract it gets.

use serde_json::Value;

/// One request. `<word>` in what it sends stands for what an earlier answer held.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    /// The answer's line in `rows.txt`.
    pub(crate) line: &'static str,
    /// Who asks: the word for a token, or nobody.
    pub(crate) by: Option<&'static str>,
    /// Where, when the line's path is not it.
    pub(crate) at: Option<&'static str>,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// JSON.
    pub(crate) body: Option<&'static str>,
    /// Words for what stands at places in the answer (RFC 6901).
    pub(crate) keeps: &'static [(&'static str, &'static str)],
    /// Asked again until the answer has its status and is this.
    pub(crate) awaited: Option<fn(&Value) -> bool>,
    /// Asked of the replica on which everything is over soon.
    pub(crate) hurried: bool,
}

/// A request of somebody who is signed in.
pub(crate) const fn ask(line: &'static str) -> Ask {
    Ask {
        line,
        by: Some("access"),
        at: None,
        headers: &[],
        body: None,
        keeps: &[],
        awaited: None,
        hurried: false,
    }
}

impl Ask {
    /// As the holder of another token.
    pub(crate) const fn by(self, word: &'static str) -> Self {
        Self {
            by: Some(word),
            ..self
        }
    }

    /// Without a token.
    pub(crate) const fn by_nobody(self) -> Self {
        Self { by: None, ..self }
    }

    pub(crate) const fn at(self, path: &'static str) -> Self {
        Self {
            at: Some(path),
            ..self
        }
    }

    pub(crate) const fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    pub(crate) const fn sends(self, json: &'static str) -> Self {
        Self {
            body: Some(json),
            ..self
        }
    }

    pub(crate) const fn keeps(self, words: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            keeps: words,
            ..self
        }
    }

    /// Again and again until the answer is the one that is meant.
    pub(crate) const fn until(self, is_it: fn(&Value) -> bool) -> Self {
        Self {
            awaited: Some(is_it),
            ..self
        }
    }

    pub(crate) const fn hurried(self) -> Self {
        Self {
            hurried: true,
            ..self
        }
    }
}
