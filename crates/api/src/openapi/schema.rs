//! Schemas of types that know nothing of this API.

use model::lease_key::LeaseKeyState;
use model::node::NodeState;
use model::session::SessionState;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

pub(crate) fn node_state() -> Object {
    words(NodeState::ALL.iter().map(|it| it.as_str()))
}

pub(crate) fn session_state() -> Object {
    words(SessionState::ALL.iter().map(|it| it.as_str()))
}

pub(crate) fn lease_key_state() -> Object {
    words(LeaseKeyState::ALL.iter().map(|it| it.as_str()))
}

fn words(words: impl Iterator<Item = &'static str>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}
