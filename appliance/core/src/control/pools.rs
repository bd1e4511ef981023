//! What pools, checks, drains, events and the doctor are reported as. Must not: format for humans.

use serde::{Deserialize, Serialize};

use super::{HealthWord, LastCheckReport};
use crate::pool::Tier;

/// What else there is to know of how a server stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StandingReport {
    /// `primary`, `backup`, `sorry`, `leaving`: no longer in the file.
    #[serde(default)]
    pub role: Tier,
    /// What of `drains` sets it aside: `172.16.0.11`, `172.16.0.11:80 of nginx`.
    #[serde(default)]
    pub drained_by: Option<String>,
    /// A server that leaves keeps its connections for so long, at most.
    #[serde(default)]
    pub leaves_in_ms: Option<u64>,
    /// So long it is not up again, though it passes.
    #[serde(default)]
    pub held_for_ms: Option<u64>,
    /// A server that starts slowly has so much of its weight.
    #[serde(default)]
    pub starts_with_percent: Option<u32>,
    /// Failures in a row, of `failures_needed` that make it down.
    #[serde(default)]
    pub failures: u32,
    #[serde(default)]
    pub failures_needed: u32,
    /// Passes in a row while it is down, of `passes_needed`.
    #[serde(default)]
    pub passes: u32,
    #[serde(default)]
    pub passes_needed: u32,
    /// `null`: it is being checked now, or never.
    #[serde(default)]
    pub next_check_in_ms: Option<u64>,
    /// How often it went down in `flaps_over_ms`.
    #[serde(default)]
    pub flaps: u32,
    #[serde(default)]
    pub flaps_over_ms: u64,
    /// How many servers of services the same check speaks for; 0: it is never checked.
    #[serde(default)]
    pub check_shared_by: u32,
}

/// What is checked: each target once, however many servers it speaks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct TargetsReport {
    pub checks: Vec<TargetReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Where the check goes: `172.16.0.11:30080`.
    pub target: String,
    /// `tcp`, `https`: the word of the file; of a preset, what it stands for.
    #[serde(rename = "type")]
    pub kind: String,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub health: HealthWord,
    pub since_ms: u64,
    pub last_check: Option<LastCheckReport>,
    /// `172.16.0.11:30080 of nginx`.
    pub servers: Vec<String>,
    #[serde(flatten)]
    pub standing: StandingReport,
}

/// What the doctor has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DoctorReport {
    /// Of the machine as a whole.
    pub machine: Vec<FindingReport>,
    pub services: Vec<DiagnosisReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosisReport {
    pub service: String,
    pub findings: Vec<FindingReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingReport {
    pub word: FindingWord,
    pub what: String,
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingWord {
    Good,
    /// It cannot be told from here.
    Unknown,
    Doubtful,
    Bad,
}

/// What has happened, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct EventsReport {
    pub events: Vec<EventReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReport {
    /// Seconds since 1970 (UTC), by the appliance's clock.
    pub unix_s: u64,
    /// `error`, `warning`, `info`.
    pub level: String,
    pub text: String,
}

/// What the operator has set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DrainsReport {
    pub drains: Vec<DrainReport>,
    /// The servers that were set aside or taken back just now, `172.16.0.11:30080 of nginx`.
    #[serde(default)]
    pub servers: Vec<String>,
    /// It was an `undrain`.
    #[serde(default)]
    pub undone: bool,
    /// What the change that was asked for has brought about, one sentence each.
    pub warnings: Vec<String>,
    /// Why the change would not survive a reboot.
    pub persist_fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainReport {
    /// `172.16.0.11:30080`, or `172.16.0.11` for all ports of a machine.
    pub server: String,
    /// `null`: in all services.
    pub service: Option<String>,
    pub since_unix_s: u64,
    /// Servers of lb.toml that it is about.
    pub servers: u64,
    /// That these still have, in every state.
    pub connections: u64,
    /// At the pace since somebody first looked; `null`: not known yet.
    pub empty_in_s: Option<u64>,
}
