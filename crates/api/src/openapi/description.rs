//! What an endpoint takes and gives.

use std::borrow::Cow;

use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// A body's type, by its schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(super) name: fn() -> Cow<'static, str>,
    pub(super) schema: fn() -> RefOr<Schema>,
    /// Of the types that it is made of.
    pub(super) parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Shape {
    pub(super) fn of<T: ToSchema>() -> Self {
        Self {
            name: T::name,
            schema: T::schema,
            parts: T::schemas,
        }
    }
}

/// What is in an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    Nothing,
    Json(Shape),
    /// Of this media type.
    Other(&'static str),
}

/// What an endpoint does, takes and gives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Description {
    pub(super) summary: &'static str,
    pub(super) takes: Option<Shape>,
    pub(super) may_be_empty: bool,
    /// Parameters of the query, with what they mean.
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// Header fields that mean something to it.
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// By status.
    pub(super) gives: Vec<(u16, Content)>,
    pub(super) refuses: &'static [u16],
}

impl Description {
    pub(crate) fn new(summary: &'static str) -> Self {
        Self {
            summary,
            ..Self::default()
        }
    }

    /// A JSON body.
    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Shape::of::<T>());
        self
    }

    /// Whose body may be absent.
    pub(crate) const fn or_nothing(mut self) -> Self {
        self.may_be_empty = true;
        self
    }

    pub(crate) fn query(mut self, name: &'static str, meaning: &'static str) -> Self {
        self.query.push((name, meaning));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, meaning: &'static str) -> Self {
        self.headers.push((name, meaning));
        self
    }

    /// A JSON answer.
    pub(crate) fn gives<T: ToSchema>(self, status: u16) -> Self {
        self.answers(status, Content::Json(Shape::of::<T>()))
    }

    /// An answer without a body.
    pub(crate) fn says(self, status: u16) -> Self {
        self.answers(status, Content::Nothing)
    }

    /// An answer that is no JSON.
    pub(crate) fn sends(self, media_type: &'static str) -> Self {
        self.answers(200, Content::Other(media_type))
    }

    /// Statuses of refusals besides those of every route of its kind.
    pub(crate) const fn refuses(mut self, statuses: &'static [u16]) -> Self {
        self.refuses = statuses;
        self
    }

    fn answers(mut self, status: u16, content: Content) -> Self {
        self.gives.push((status, content));
        self
    }
}
