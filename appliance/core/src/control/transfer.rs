//! What leaves a machine as one file. Must not: know its form.

use serde::{Deserialize, Serialize};

/// The whole state as one text; see [`crate::export`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportReport {
    /// `lb.export`.
    pub name: String,
    pub bytes: usize,
    pub sha256: String,
    /// `lb.toml`, `drains of 2 servers`, `certificate ca.pem`, `key client.key`.
    pub holds: Vec<String>,
    /// What in it lets somebody in who has it.
    pub secrets: Vec<String>,
    /// What is not in it, and why, one sentence each.
    pub remarks: Vec<String>,
    pub text: String,
}
