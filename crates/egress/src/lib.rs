//! Every outgoing byte that a tenant can cause.
