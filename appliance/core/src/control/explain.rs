//! What lb.toml may say, as `explain` tells it.

use serde::Serialize;

/// Tables and keys that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ExplainReport {
    pub tables: Vec<TableReport>,
    pub keys: Vec<KeyReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// `virtual_server.check`; empty for the top level.
    pub path: String,
    pub about: String,
    /// The names of its keys.
    pub keys: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// `virtual_server.check.interval`.
    pub path: String,
    pub about: String,
    /// `duration (ms, s, m, h)`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// In words, with values as code between backticks.
    pub allowed: String,
    /// Each word that is allowed, with what it does, where they need it.
    pub meanings: Vec<MeaningReport>,
    pub needed: bool,
    /// What holds without it, written as `allowed`; empty where nothing does.
    pub default: String,
    /// Types of check for which it means something else, or has another default.
    pub by_type: Vec<ByTypeReport>,
    /// The types of check that it belongs to; empty: to all, or it is of no check.
    pub types: Vec<String>,
    /// Where else it may stand.
    pub also_at: Vec<String>,
    /// keepalived's word for it, and whether it is accepted.
    pub keepalived: Option<String>,
    pub accepted: bool,
    /// The version that had it first.
    pub since: String,
    /// Lines that parse.
    pub example: String,
    /// The names of its keys, if it is a table.
    pub keys: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeaningReport {
    pub word: String,
    pub about: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ByTypeReport {
    #[serde(rename = "type")]
    pub kind: String,
    pub about: Option<String>,
    pub default: Option<String>,
}
