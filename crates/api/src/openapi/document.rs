//! The OpenAPI document.

use std::collections::BTreeMap;

use http::{HeaderName, Method, StatusCode};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::info::InfoBuilder;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi, OpenApiBuilder, Ref, RefOr, Required};

use super::description::{Content, Description, Shape};
use super::security;
use crate::auth::Access;
use crate::error::Envelope;
use crate::limits::{Class, fields};
use crate::routes::{self, Route};

const ABOUT: &str = "The control plane of Streamhaul: accounts, relay sessions, the fleet. Every \
    refusal has one form, every answer an `X-Request-Id`, and every limited one says what is left \
    (`RateLimit`, draft-ietf-httpapi-ratelimit-headers-10). Requests may have no unknown fields; \
    answers get new ones.";
const JSON: &str = "application/json";

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// The description of every route.
#[must_use]
pub fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let envelope = Shape::of::<Envelope<'static>>();
    let refusal = reference(&mut schemas, envelope);
    let mut paths = Paths::new();
    for route in routes::routes() {
        let operation = Writer {
            route: &route,
            refusal: &refusal,
            schemas: &mut schemas,
        }
        .operation();
        // A parameter that may have slashes is one like the others here.
        let path = route.path.replace("{*", "{");
        paths.add_path_operation(path, vec![http_method(&route.method)], operation);
    }
    let components = ComponentsBuilder::new().schemas_from_iter(schemas);
    let info = InfoBuilder::new()
        .title("Streamhaul")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(security::schemes(components).build()))
        .build()
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// Keeps a body's schema and those of its parts under their names.
///
/// # Panics
/// When two types have one name: one of them would be described by the other's schema.
fn reference(schemas: &mut Schemas, shape: Shape) -> Ref {
    let name = (shape.name)().into_owned();
    let mut found = vec![(name.clone(), (shape.schema)())];
    (shape.parts)(&mut found);
    for (name, schema) in found {
        let known = schemas
            .entry(name.clone())
            .or_insert_with(|| schema.clone());
        assert!(*known == schema, "two types are described as {name}");
    }
    Ref::from_schema_name(name)
}

/// Writes one operation.
struct Writer<'a> {
    route: &'a Route,
    refusal: &'a Ref,
    schemas: &'a mut Schemas,
}

impl Writer<'_> {
    fn operation(&mut self) -> Operation {
        let description = self.route.description.clone();
        let operation = OperationBuilder::new()
            .summary(Some(description.summary))
            .operation_id(Some(operation_id(self.route)))
            .tag(tag(self.route.path))
            .securities(security::of(self.route.access))
            .request_body(self.body(&description));
        let operation = parameters(self.route.path, &description)
            .into_iter()
            .fold(operation, OperationBuilder::parameter);
        let operation = description
            .gives
            .iter()
            .fold(operation, |it, (status, content)| {
                let answer = self.answer(*status, *content);
                it.response(status.to_string(), answer)
            });
        let refusals = self.refusals(&description);
        let operation = refusals.into_iter().fold(operation, |it, status| {
            it.response(status.to_string(), self.refused(status))
        });
        operation.build()
    }

    fn body(&mut self, description: &Description) -> Option<RequestBody> {
        let reference = reference(self.schemas, description.takes?);
        let required = if description.may_be_empty {
            Required::False
        } else {
            Required::True
        };
        let content = ContentBuilder::new().schema(Some(reference));
        let body = RequestBodyBuilder::new()
            .content(JSON, content.build())
            .required(Some(required));
        Some(body.build())
    }

    fn answer(&mut self, status: u16, content: Content) -> Response {
        let answer = ResponseBuilder::new().description(reason(status));
        let answer = match content {
            Content::Nothing => answer,
            Content::Json(shape) => {
                let reference = reference(self.schemas, shape);
                answer.content(JSON, ContentBuilder::new().schema(Some(reference)).build())
            }
            Content::Other(media_type) => {
                let text = ObjectBuilder::new().schema_type(Type::String);
                answer.content(media_type, ContentBuilder::new().schema(Some(text)).build())
            }
        };
        self.with_limits(answer).build()
    }

    fn refused(&self, status: u16) -> Response {
        let content = ContentBuilder::new().schema(Some(self.refusal.clone()));
        let answer = ResponseBuilder::new()
            .description(reason(status))
            .content(JSON, content.build());
        let answer = if status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
            let seconds = header(Type::Integer, "Seconds until there is one more.");
            answer.header("Retry-After", seconds.build())
        } else {
            answer
        };
        self.with_limits(answer).build()
    }

    fn with_limits(&self, answer: ResponseBuilder) -> ResponseBuilder {
        if self.route.class == Class::Unlimited {
            return answer;
        }
        let class = self.route.class.as_str();
        let fields: [(HeaderName, String); 2] = [
            (fields::POLICY, format!("The limit of class `{class}`.")),
            (fields::LEFT, "What is left of it.".to_owned()),
        ];
        fields.into_iter().fold(answer, |answer, (name, meaning)| {
            answer.header(name.as_str(), header(Type::String, &meaning).build())
        })
    }

    /// Its own, and those of every route of its kind.
    fn refusals(&self, description: &Description) -> Vec<u16> {
        let mut statuses: Vec<u16> = description.refuses.to_vec();
        let access = self.route.access;
        if !matches!(access, Access::Public | Access::Page) {
            statuses.push(401);
        }
        if matches!(access, Access::Ops(_) | Access::Page) {
            statuses.push(403);
        }
        if self.route.class != Class::Unlimited {
            statuses.push(429);
        }
        if description.takes.is_some() {
            statuses.extend([400, 413]);
        }
        if self.route.path.contains('{') {
            statuses.push(404);
        }
        statuses.push(500);
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status
        .and_then(|it| it.canonical_reason())
        .unwrap_or_default()
}

fn header(of: Type, meaning: &str) -> HeaderBuilder {
    let schema = ObjectBuilder::new().schema_type(of);
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(meaning))
}

/// `post_api_v1_relay_start`.
fn operation_id(route: &Route) -> String {
    let method = route.method.as_str().to_lowercase();
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let id = words.fold(method, |id, word| format!("{id}_{word}"));
    let is_directory = route.path.ends_with('/');
    if is_directory { id + "_slash" } else { id }
}

/// The family: what comes after the version.
fn tag(path: &str) -> &str {
    let rest = path.strip_prefix("/api/v1/").unwrap_or(path);
    rest.split('/')
        .find(|word| !word.is_empty())
        .unwrap_or("pages")
}

fn parameters(path: &str, description: &Description) -> Vec<Parameter> {
    let parameter = |name: &str, place, required, meaning: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String);
        ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(meaning).filter(|it| !it.is_empty()))
            .schema(Some(text))
            .build()
    };
    let mut parameters = Vec::new();
    for part in path.split('/') {
        let name = part.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        let Some(name) = name.map(|it| it.trim_start_matches('*')) else {
            continue;
        };
        parameters.push(parameter(name, ParameterIn::Path, Required::True, ""));
    }
    for (name, meaning) in &description.query {
        parameters.push(parameter(
            name,
            ParameterIn::Query,
            Required::False,
            meaning,
        ));
    }
    for (name, meaning) in &description.headers {
        parameters.push(parameter(
            name,
            ParameterIn::Header,
            Required::False,
            meaning,
        ));
    }
    parameters
}
