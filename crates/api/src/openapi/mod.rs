//! The API's description, made of the route table: `/api/openapi.json` (OpenAPI 3.1) and
//! `/api/docs` for people.
//!
//! A route says what it takes and gives ([`Description`]); who may use it, its limits and
//! what every route of its kind refuses follow from the table.

mod description;
mod document;
mod page;
pub(crate) mod schema;
mod security;

pub(crate) use description::Description;
pub use document::document;
pub(crate) use page::{docs, json, style};
