//! What was chosen at the boot menu, from init, who asks, to the agent, who carries it out. Must not: ask.

use serde::{Deserialize, Serialize};

/// Ctrl-O ("options"): nothing that a terminal answers by itself, and no key of a boot ROM or of a terminal program.
pub const KEY: u8 = 0x0f;

/// In the runtime directory; a [`Choice`], which the agent removes.
pub const CHOICE: &str = "boot-choice.json";

/// This boot starts with a configuration of the history, which becomes lb.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub number: u64,
}
