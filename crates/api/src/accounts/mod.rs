//! People: how they come to have an account, prove who they are, and sign in.
//!
//! ```text
//! invite ─▶ letter ─▶ accept (name, password) ─▶ account, signed in
//! forgot ─▶ letter ─▶ reset  (password)       ─▶ every sign-in ended, signed in
//! device ─▶ code on both sides ─▶ confirmed in a signed-in browser ─▶ tokens, or a cookie
//! ```
//! Answers to strangers never tell whether an address has an account: what depends on
//! that happens later, in [`errands`], and a password is always checked against one.

pub(crate) mod device;
pub(crate) mod email;
pub(crate) mod errands;
pub(crate) mod known_browser;
pub(crate) mod links;
pub(crate) mod membership;
pub(crate) mod password;
pub(crate) mod providers;
pub(crate) mod sign_in;
pub(crate) mod slots;
pub(crate) mod standing;
pub(crate) mod tokens;
pub(crate) mod tries;
