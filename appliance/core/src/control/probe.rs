//! What one check, made by hand, has found step by step. Must not: format for humans.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::HealthWord;
use crate::neighbours::RouteTo;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// `https`, as `type` has it.
    pub kind: String,
    /// `172.16.0.1:6443`; `172.16.0.1` where a port means nothing.
    pub target: String,
    /// Whose check it is; `null`: one that is not in lb.toml.
    pub service: Option<String>,
    pub server: Option<String>,
    /// Which of how many checks of that server it is, from 1: `[1, 2]`; not of a server with one check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_several: Option<(usize, usize)>,
    /// What the agent holds of this server, which a probe does not change.
    pub health: Option<HealthWord>,
    /// For the whole check.
    pub timeout_ms: u64,
    /// From where it comes; `null`: the kernel has no way.
    pub source: Option<IpAddr>,
    /// The link that the check is bound to.
    pub bound_to: Option<String>,
    /// The way that the kernel has chosen; `null`: it was not asked.
    #[serde(default)]
    pub route: Option<RouteTo>,
    pub steps: Vec<ProbeStep>,
    pub verdict: ProbeVerdict,
    /// `answered as it should`, `no answer within 2s`.
    pub reason: String,
    /// From its start to the verdict.
    pub took_ms: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeStep {
    /// When it was over, since the start.
    pub at_ms: f64,
    /// `connect`, `tls`, `certificate`, `request`, `answer`, `body` ...
    pub what: String,
    /// What was seen, a line each.
    pub lines: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeVerdict {
    Pass,
    Fail,
    /// It says nothing of the server: the fault is on this side.
    CannotCheck,
}
