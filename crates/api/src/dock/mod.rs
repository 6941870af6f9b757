//! The streamer's dock: its page, its sign-in, its connections.
//!
//! A dock holds a cookie that scripts cannot read, got once for the code of a link.
//! It may do what the page does and nothing else: no endpoint for bearer tokens takes
//! the cookie. It is given for the code of a link ([`sign_in::with_link`]) or once a
//! signed-in browser confirmed the dock ([`sign_in::of_user`]).

pub(crate) mod page;
pub(crate) mod ready;
pub(crate) mod sign_in;
