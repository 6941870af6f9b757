//! The schema `control`: who may do what, which nodes there are, which session is
//! where. Owner: `api`.
