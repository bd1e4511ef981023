//! How a configuration is changed: on which terms, on trial or for good, what it would change, and what was in force before.
//! Must not: format for humans, or know files.

use serde::{Deserialize, Serialize};

use super::CheckReport;

/// On which terms a configuration is put in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// It returns to the one before by itself after so long, unless it is confirmed.
    #[serde(default)]
    pub confirm_ms: Option<u64>,
    /// Why, in the words of who does it.
    #[serde(default)]
    pub comment: Option<String>,
    /// How the text was made, as the history says it: `setup`, `add interface: name=eth5`. A pasted one has none.
    #[serde(default)]
    pub made: Option<String>,
    /// Who does it: `console ttyS0`, `program`.
    #[serde(default)]
    pub by: String,
    /// The fingerprint of the lb.toml that was changed to make the text: it is put only in that one's place.
    #[serde(default)]
    pub over: Option<u64>,
    /// The kernel is not asked before what it thinks of it.
    #[serde(default)]
    pub without_rehearsal: bool,
}

/// How a change has ended, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeState {
    /// It is in force, for good.
    #[default]
    Applied,
    /// It is in force until its deadline.
    Pending,
    /// What was pending is in force for good.
    Confirmed,
    /// The configuration before is in force again.
    Returned,
}

/// A configuration that is in force on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReport {
    /// It returns then.
    pub left_ms: u64,
    pub window_ms: u64,
    pub by: String,
    pub why: String,
    /// The keys of `[confirm]` that it gives: what confirms it without a person; none: only a person does.
    #[serde(default)]
    pub asserted: Vec<String>,
    /// What was found of these, once it was looked at.
    pub assertions: Vec<AssertionReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionReport {
    /// `servers_up = 1: nginx has 0 up of 1 needed (2 were up before)`.
    pub text: String,
    pub holds: bool,
}

/// One configuration of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// From 1, never given twice.
    pub number: u64,
    /// By the appliance's clock.
    pub unix_s: u64,
    pub by: String,
    pub why: String,
    pub sha256: String,
    pub bytes: u64,
    /// Whether this text is in force.
    #[serde(default)]
    pub in_force: bool,
}

/// The newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HistoryReport {
    pub entries: Vec<HistoryEntry>,
    /// What could not be read or written, one sentence each with the remedy.
    pub problems: Vec<String>,
}

/// What would change, and what it costs; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffReport {
    /// `in force`, `12`.
    pub from: String,
    /// `lb.toml`, `14`.
    pub to: String,
    /// The verdict on `to`; with faults there is nothing else.
    pub check: CheckReport,
    /// Sentences with their costs. Empty between two entries of the history, of which neither is in force.
    pub changes: Vec<ChangeReport>,
    /// The steps that would be carried out at once, as lines.
    pub steps: Vec<String>,
    /// The steps that would bring the kernel back to what is in force; `null`: it could not be read, or was not asked.
    pub drift: Option<Vec<String>>,
    /// The unified difference of the texts, lines without their ends; empty if they are the same.
    pub text: Vec<String>,
    /// Why there is no difference of the texts, or only a part of it.
    pub text_fault: Option<String>,
}

impl DiffReport {
    /// Of which nothing but the verdict is known yet.
    pub fn between(from: &str, to: &str, check: CheckReport) -> DiffReport {
        DiffReport {
            from: from.to_owned(),
            to: to.to_owned(),
            check,
            changes: Vec::new(),
            steps: Vec::new(),
            drift: None,
            text: Vec::new(),
            text_fault: None,
        }
    }
}

/// One thing that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    pub sign: Sign,
    /// `server 172.16.0.11:30080 of nginx: 143 connections drain for up to 300 s`.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sign {
    #[serde(rename = "+")]
    Added,
    #[serde(rename = "-")]
    Removed,
    #[serde(rename = "~")]
    Changed,
}

impl Sign {
    pub fn as_str(self) -> &'static str {
        match self {
            Sign::Added => "+",
            Sign::Removed => "-",
            Sign::Changed => "~",
        }
    }
}
