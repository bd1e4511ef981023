//! What the wire says when it is asked: who else has an address of ours, and whether servers' answers to strangers come back through here.
//! Must not: judge what that means.

pub(crate) mod holders;
pub(crate) mod stranger;
