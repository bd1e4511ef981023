//! Resident memory, as each system tells it: the appliance by `status --json`, keepalived's VM by /proc. Both are VmRSS, which
//! counts a page once for each process that maps it. Must not: add up what does not belong together.

use std::collections::BTreeMap;

use lb_core::control::StatusReport;
use lb_lab::{LabError, Vm};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{BenchError, Result};

/// Resident kB, by the name of the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resident(pub BTreeMap<String, u64>);

impl Resident {
    /// Of the programs named, together.
    pub fn sum(&self, programs: &[&str]) -> u64 {
        programs.iter().filter_map(|program| self.0.get(*program)).sum()
    }
}

/// From the document of `saboteur weigh`: the same for both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    pub init: Weight,
    pub daemon: Weight,
}

impl Weights {
    pub fn sum(&self, field: fn(&Weight) -> u64) -> u64 {
        field(&self.init) + field(&self.daemon)
    }
}

/// kB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// A page counts once for each process that maps it.
    #[serde(rename = "VmRSS")]
    pub resident_kb: u64,
    #[serde(rename = "VmHWM")]
    pub peak_kb: u64,
    /// A page counts by halves for two, also for the consoles of the appliance.
    #[serde(rename = "Pss")]
    pub pss_kb: u64,
    /// Nobody else's, and not as any file has them.
    #[serde(rename = "Private_Dirty")]
    pub private_dirty_kb: u64,
    #[serde(rename = "Anonymous")]
    pub anonymous_kb: u64,
}

/// What the appliance says about itself.
pub fn status(vm: &Vm) -> Result<StatusReport> {
    let value = vm.json("status")?;
    serde_json::from_value(value).map_err(|source| BenchError::Json {
        what: "status --json".into(),
        source,
    })
}

pub fn of_appliance(vm: &Vm) -> Result<Resident> {
    let agent = status(vm)?.agent;
    Ok(Resident(BTreeMap::from([
        ("init".to_owned(), agent.init_resident_kb),
        ("agent".to_owned(), agent.resident_kb),
    ])))
}

pub fn of_keepalived(vm: &Vm) -> Result<Resident> {
    let shown = vm.command("sh /etc/resident")?;
    let resident = parse(&shown);
    if resident.0.contains_key("keepalived") {
        return Ok(resident);
    }
    Err(LabError::Unexpected(format!("no keepalived among the processes:\n{shown}")).into())
}

/// From the document of `saboteur resident`: now, and at the most.
pub fn of_watched_appliance(said: &str) -> Result<(Resident, Resident)> {
    let document: BTreeMap<String, Option<u64>> =
        serde_json::from_str(said).map_err(|source| BenchError::Json {
            what: "the saboteur's answer".into(),
            source,
        })?;
    let of = |suffix: &str| {
        let programs = ["init", "agent"].map(|program| {
            let kilobytes = document.get(&format!("{program}{suffix}"));
            (program.to_owned(), kilobytes.copied().flatten().unwrap_or(0))
        });
        Resident(BTreeMap::from(programs))
    };
    Ok((of("_kb"), of("_peak_kb")))
}

/// Lines of guest/reference/resident; processes with one name are added up.
pub fn parse(shown: &str) -> Resident {
    let line = Regex::new(r"(?m)^resident (\S+) \d+ (\d+)$").expect("the pattern is constant");
    let mut resident = Resident::default();
    for found in line.captures_iter(shown) {
        let kilobytes: u64 = found[2].parse().unwrap_or(0);
        *resident.0.entry(found[1].to_owned()).or_default() += kilobytes;
    }
    resident
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_saboteur_tells_now_and_the_most() {
        let said = r#"{"agent_kb":9000,"agent_peak_kb":21000,"init_kb":1500,"init_peak_kb":null}"#;
        let (now, peak) = of_watched_appliance(said).unwrap();
        assert_eq!(now.sum(&["init", "agent"]), 10_500);
        assert_eq!(peak.sum(&["init", "agent"]), 21_000);
        assert!(of_watched_appliance("no agent").is_err());
    }

    #[test]
    fn processes_of_one_program_are_added_up() {
        let shown = "resident init 1 1448\nresident keepalived 72 8232\nnoise\nresident keepalived 90 3000\n";
        let resident = parse(shown);
        assert_eq!(resident.sum(&["keepalived"]), 11232);
        assert_eq!(resident.sum(&["init", "keepalived", "absent"]), 12680);
    }
}
