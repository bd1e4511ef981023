//! What the wire says when it is asked: echoes, hops, who else has an address of ours, and whether servers' answers to strangers come back through here.
//! Must not: judge what that means.

pub(crate) mod echo;
pub(crate) mod holders;
pub(crate) mod hop;
mod said;
pub(crate) mod stranger;
