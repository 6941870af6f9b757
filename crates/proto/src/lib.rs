//! The gRPC contracts and their conversion to the domain's words.
