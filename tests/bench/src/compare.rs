//! `bench compare`: the parts that were asked for, one after another, and everything that they yield.
//! Must not: render, or judge against goals.

use lb_lab::cage;
use lb_lab::vm::Accel;
use serde::Serialize;

use crate::boot::Bench;
use crate::boots::Boots;
use crate::checks::{Amount, Checks, Row};
use crate::datapath::Datapath;
use crate::machine::Side;
use crate::packages::Packages;
use crate::reload::Reload;
use crate::system::{Parts, System};
use crate::traffic::Amounts;
use crate::{BenchError, Result, figures};

/// One part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Instructions per connection, request and megabyte
    Datapath,
    /// Start, reload and memory with many services
    Reload,
    /// Checks: a port that refuses, their times, what they cost over HTTP and HTTPS, and memory
    Checks,
    /// Power-on to the first answer, and memory
    Boot,
}

/// How much is measured.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    pub parts: Vec<Part>,
    pub amounts: Amounts,
    pub checks: Amount,
    /// Of [`Part::Checks`].
    pub rows: Vec<Row>,
    /// The other side is left out.
    pub only: Option<Side>,
}

impl Plan {
    /// What [`Part::Boot`] boots.
    fn systems(&self) -> &'static [System] {
        match self.only {
            None => &System::PRODUCTS,
            Some(Side::Appliance) => &[System::Appliance],
            Some(Side::Reference) => &[System::Keepalived],
        }
    }
}

/// Everything measured, with each sample.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub plan: Plan,
    pub kernel: String,
    pub qemu: String,
    /// Debian's versions of what the reference is made of.
    pub versions: Vec<(String, String)>,
    /// What emulates or runs the machines that do not count.
    pub accel: &'static str,
    pub datapath: Option<Datapath>,
    pub reload: Option<Reload>,
    pub checks: Option<Checks>,
    pub boots: Option<Boots>,
}

impl Comparison {
    /// Inside a cage, with the disks made.
    pub fn measure(plan: Plan, parts: &Parts, packages: &Packages, scenario: &str) -> Result<Comparison> {
        let bench = Bench::new(parts.clone())?;
        let versions = ["keepalived", "haproxy", "iptables"]
            .iter()
            .map(|package| Ok(((*package).to_owned(), packages.version(package)?)))
            .collect::<Result<_>>()?;
        let mut comparison = Comparison {
            kernel: lb_image::kernel::version(&parts.kernel)
                .map_err(|source| BenchError::Kernel { source })?,
            qemu: figures::qemu_version()?,
            versions,
            accel: Accel::choose(&cage::scratch("accel")?).as_str(),
            datapath: None,
            reload: None,
            checks: None,
            boots: None,
            plan,
        };
        for part in comparison.plan.parts.clone() {
            let plan = &comparison.plan;
            match part {
                Part::Datapath => {
                    let measured = Datapath::measure(parts, plan.amounts, plan.only)?;
                    comparison.datapath = Some(measured);
                }
                Part::Reload => comparison.reload = Some(Reload::measure(parts, plan.only)?),
                Part::Checks => {
                    let measured = Checks::measure(parts, (plan.checks, &plan.rows), plan.only, scenario)?;
                    comparison.checks = Some(measured);
                }
                Part::Boot => comparison.boots = Some(Boots::measure(&bench, plan.systems())?),
            }
        }
        Ok(comparison)
    }

    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|source| BenchError::Json {
            what: "the comparison".into(),
            source,
        })
    }
}
