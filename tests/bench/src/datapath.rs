//! What a connection, a request and a megabyte cost the guest, in instructions: the appliance beside IPVS as keepalived leaves it,
//! iptables' MASQUERADE, and HAProxy. Must not: render, or judge.

use std::time::Duration;

use serde::Serialize;

use crate::gauge::Span;
use crate::machine::{Clock, Machine, Side};
use crate::system::Parts;
use crate::traffic::{Amounts, Traffic, Unit, Way};
use crate::{Result, configs, say};

/// Two of the whole passes that the appliance makes by itself, and two checks of each server on both sides.
const BACKGROUND: Duration = Duration::from_secs(20);
/// After a change, until the machine is at rest.
const REST: Duration = Duration::from_secs(1);

/// What does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Worker {
    Appliance,
    /// keepalived's IPVS for balanced traffic, iptables' MASQUERADE for the gateway's.
    Reference,
    Haproxy,
}

impl Worker {
    const ALL: [Worker; 3] = [Worker::Appliance, Worker::Reference, Worker::Haproxy];

    fn side(self) -> Side {
        match self {
            Worker::Appliance => Side::Appliance,
            Worker::Reference | Worker::Haproxy => Side::Reference,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Worker::Appliance => "appliance",
            Worker::Reference => "IPVS and iptables",
            Worker::Haproxy => "HAProxy",
        }
    }

    fn ways(self) -> &'static [Way] {
        match self {
            Worker::Haproxy => &[Way::Balanced],
            _ => &Way::ALL,
        }
    }
}

/// What some units of one kind cost.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    pub worker: Worker,
    pub way: Way,
    pub unit: Unit,
    pub amount: u64,
    pub span: Span,
    pub background: Span,
}

impl Cost {
    /// Instructions for each.
    pub fn each(&self) -> f64 {
        self.span.beyond(self.background) / self.amount as f64
    }
}

/// Everything that was measured, in the order in which it was.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Datapath {
    pub costs: Vec<Cost>,
}

impl Datapath {
    /// Inside a cage, with the disks made and the lab there. `only` leaves the other side out.
    pub fn measure(parts: &Parts, amounts: Amounts, only: Option<Side>) -> Result<Datapath> {
        let traffic = Traffic::new()?;
        let mut datapath = Datapath::default();
        let workers = Worker::ALL.into_iter();
        for worker in workers.filter(|worker| only.is_none_or(|side| worker.side() == side)) {
            datapath.costs.extend(of(worker, parts, &traffic, amounts)?);
        }
        Ok(datapath)
    }

    /// Instructions for one unit; `None` when it was not measured.
    pub fn each(&self, worker: Worker, way: Way, unit: Unit) -> Option<f64> {
        let cost = self
            .costs
            .iter()
            .find(|cost| (cost.worker, cost.way, cost.unit) == (worker, way, unit))?;
        Some(cost.each())
    }
}

fn of(worker: Worker, parts: &Parts, traffic: &Traffic, amounts: Amounts) -> Result<Vec<Cost>> {
    say(&format!("datapath: {} boots", worker.as_str()));
    let machine = started(worker, parts)?;
    for way in worker.ways() {
        for unit in Unit::IN_ORDER {
            traffic.run(*way, unit, unit.of(Amounts::WARM))?;
        }
    }
    std::thread::sleep(REST);
    let background = machine.background(BACKGROUND)?;
    let mut costs = Vec::new();
    for unit in Unit::IN_ORDER {
        for way in worker.ways() {
            let amount = unit.of(amounts);
            let before = machine.reading()?;
            traffic.run(*way, unit, amount)?;
            let cost = Cost {
                worker,
                way: *way,
                unit,
                amount,
                span: machine.reading()? - before,
                background,
            };
            say(&format!(
                "datapath: {}, {}: {:.1} k instructions per {}",
                worker.as_str(),
                way.as_str(),
                cost.each() / 1e3,
                unit.as_str()
            ));
            costs.push(cost);
        }
    }
    machine.stop()?;
    Ok(costs)
}

/// Booted, and its servers in the table.
fn started(worker: Worker, parts: &Parts) -> Result<Machine> {
    let files = match worker {
        Worker::Appliance => vec![(configs::LB_TOML, configs::balanced_toml())],
        _ => Vec::new(),
    };
    let machine = Machine::start(parts, worker.side(), Clock::Counting, &files)?;
    match worker {
        Worker::Appliance => wait_for_servers(&machine)?,
        Worker::Reference => {
            machine.wait_until_set_up()?;
            machine.sh("sh /etc/start keepalived")?;
            wait_for_servers(&machine)?;
        }
        Worker::Haproxy => {
            machine.wait_until_set_up()?;
            machine.sh("sh /etc/start haproxy")?;
        }
    }
    Ok(machine)
}

/// Both servers of the service.
fn wait_for_servers(machine: &Machine) -> Result<()> {
    let table = |machine: &Machine| machine.proc("net/ip_vs");
    let both = |table: &str| table.matches("Masq    1").count() == 2;
    machine
        .wait_until("two servers are in the table", table, both)
        .map(drop)
}
