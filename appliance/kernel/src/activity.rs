//! What counts and ages: IPVS's services and servers, link counters, connection tracking, the processors and the memory,
//! IPVS's connection table. Must not: change anything, or fail as a whole because the kernel lacks one of the sources.

mod connections;
mod link_counters;
mod machine;
mod pools;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::net::IpAddr;

use lb_core::model::{IfName, MacAddress, RealKey, VirtualKey};
use lb_core::observed::{Activity, ConnectionTable, ServerActivity, Wanted, WayBack};
use lb_core::ports::{ActivityPort, KernelError};
use lb_core::ruleset::Rule;
use lb_core::traffic::{LinkCounters, Tracking};

use crate::ask::{holders, stranger};
use crate::fault;
use crate::ipvs::Ipvs;
use crate::nft;
use pools::Pools;

/// One line per link, with all counters in 64 bits (net/core/net-procfs.c).
const NET_DEV: &str = "/proc/net/dev";
/// One line per connection (net/netfilter/ipvs/ip_vs_conn.c).
const IP_VS_CONN: &str = "/proc/net/ip_vs_conn";
/// Services and servers (net/netfilter/ipvs/ip_vs_ctl.c).
const IP_VS: &str = "/proc/net/ip_vs";
const CONNTRACK_COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const CONNTRACK_STAT: &str = "/proc/net/stat/nf_conntrack";
/// 2 while IPVS defends itself; there is none without IPVS.
const DROP_ENTRY: &str = "/proc/sys/net/ipv4/vs/drop_entry";
const SOFTNET_STAT: &str = "/proc/net/softnet_stat";
const STAT: &str = "/proc/stat";
const MEMINFO: &str = "/proc/meminfo";

/// Reads the kernel's counters, over an IPVS socket of its own.
#[derive(Debug, Default)]
pub struct KernelActivity {
    /// `None` until the kernel was found to have IPVS.
    ipvs: Option<Ipvs>,
}

impl KernelActivity {
    pub fn new() -> KernelActivity {
        KernelActivity::default()
    }

    /// `None`: a kernel without IPVS.
    fn ipvs(&mut self) -> Result<Option<&mut Ipvs>, KernelError> {
        if self.ipvs.is_none() {
            match Ipvs::open() {
                Ok(ipvs) => self.ipvs = Some(ipvs),
                Err(error) if error.fault.errno == Some(libc::ENOENT) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.ipvs.as_mut())
    }

    /// Services, and the servers of `of`, or of all.
    fn balanced(
        &mut self,
        activity: &mut Activity,
        of: impl Fn(&VirtualKey) -> bool,
    ) -> Result<(), KernelError> {
        let Some(ipvs) = self.ipvs()? else {
            return Ok(());
        };
        (activity.services, activity.servers) = ipvs.activity(of)?;
        Ok(())
    }

    /// All of it, for the price of one file.
    fn sums(activity: &mut Activity) -> Result<(), KernelError> {
        let pools = pools()?;
        activity.ipvs_buckets = pools.buckets;
        for (key, (active, inactive)) in pools.connections {
            if let Some(service) = activity.services.get_mut(&key) {
                (service.active_connections, service.inactive_connections) = (active, inactive);
            }
        }
        Ok(())
    }
}

impl ActivityPort for KernelActivity {
    fn activity(&mut self, wanted: Wanted) -> Result<Activity, KernelError> {
        let mut activity = Activity {
            links: links()?,
            tracking: tracking()?,
            softnet: machine::softnet(&text(SOFTNET_STAT)?),
            processors: machine::processors(&text(STAT)?),
            memory: machine::memory(&text(MEMINFO)?),
            ipvs_defends: fs::read_to_string(DROP_ENTRY).is_ok_and(|level| level.trim() == "2"),
            ..Activity::default()
        };
        match wanted {
            Wanted::Machine => activity.translated = translated()?,
            Wanted::Services(of) => self.balanced(&mut activity, |key| Some(*key) == of)?,
            Wanted::Servers => self.balanced(&mut activity, |_| true)?,
        }
        // Next to the reading of IPVS's counters, which takes the longest.
        activity.read_at_ms = since_boot_ms();
        if wanted != Wanted::Machine {
            KernelActivity::sums(&mut activity)?;
        }
        Ok(activity)
    }

    fn servers(&mut self, service: &VirtualKey) -> Result<Vec<(RealKey, ServerActivity)>, KernelError> {
        match self.ipvs()? {
            Some(ipvs) => ipvs.counted(service),
            None => Ok(Vec::new()),
        }
    }

    fn others_with(
        &mut self,
        index: u32,
        own: MacAddress,
        address: IpAddr,
    ) -> Result<Vec<String>, KernelError> {
        let asking =
            |error: io::Error| fault::during(format!("ask who has {address}"), fault::from_io(&error));
        let others = holders::others(index, own, address).map_err(asking)?;
        Ok(others.iter().map(ToString::to_string).collect())
    }

    fn ways_back(
        &mut self,
        stranger: IpAddr,
        servers: &[RealKey],
    ) -> Result<BTreeMap<RealKey, WayBack>, KernelError> {
        stranger::ways_back(stranger, servers).map_err(|error| {
            let action = format!("ask {} servers as {stranger}", servers.len());
            fault::during(action, fault::from_io(&error))
        })
    }

    /// Fails without IPVS: no table is not an empty table.
    fn connections(&mut self, limit: usize) -> Result<ConnectionTable, KernelError> {
        let read = || connections::read(BufReader::new(File::open(IP_VS_CONN)?), limit);
        read().map_err(|error| reading(IP_VS_CONN, &error))
    }
}

/// Counts on while the machine is suspended, and starts at 0 only with the kernel, as its counters do.
pub(crate) fn since_boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

fn pools() -> Result<Pools, KernelError> {
    match File::open(IP_VS) {
        Ok(file) => {
            pools::read(BufReader::with_capacity(64 << 10, file)).map_err(|error| reading(IP_VS, &error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pools::default()),
        Err(error) => Err(reading(IP_VS, &error)),
    }
}

fn tracking() -> Result<Tracking, KernelError> {
    Ok(Tracking {
        count: number(CONNTRACK_COUNT)?,
        max: number(CONNTRACK_MAX)?,
        ..machine::tracking(&text(CONNTRACK_STAT)?)
    })
}

/// Empty where the kernel has no such file.
fn text(path: &str) -> Result<String, KernelError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|error| reading(path, &error)),
    }
}

fn translated() -> Result<Vec<(Rule, u64)>, KernelError> {
    nft::translated()
        .map_err(|fault| fault::during("read the counters of the table inet lb".to_owned(), fault))
}

fn links() -> Result<BTreeMap<IfName, LinkCounters>, KernelError> {
    let text = fs::read_to_string(NET_DEV).map_err(|error| reading(NET_DEV, &error))?;
    Ok(link_counters::parse(&text))
}

/// 0 without connection tracking.
fn number(path: &str) -> Result<u64, KernelError> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let text = format!("`{}` is not a number", text.trim());
            fault::during(format!("read {path}"), fault::plain(text))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(reading(path, &error)),
    }
}

fn reading(path: &str, error: &io::Error) -> KernelError {
    fault::during(format!("read {path}"), fault::from_io(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_a_loopback() {
        let links = links().unwrap();
        assert!(links.contains_key(&"lo".parse().unwrap()), "{links:?}");
    }

    #[test]
    fn every_machine_has_processors_and_memory() {
        let activity = KernelActivity::new().activity(Wanted::Services(None)).unwrap();
        assert!(activity.processors.iter().any(|p| p.busy_ms > 0), "{activity:?}");
        let memory = activity.memory;
        assert!(
            memory.available_kb > 0 && memory.available_kb < memory.total_kb,
            "{memory:?}"
        );
        assert!(activity.read_at_ms > 0 && activity.translated.is_empty());
    }

    #[test]
    fn a_missing_file_is_zero_and_a_bad_one_is_a_fault() {
        assert_eq!(number("/proc/sys/net/netfilter/nothing-of-this-name").unwrap(), 0);
        let error = number("/proc/sys/kernel/ostype").unwrap_err();
        assert_eq!(
            error.to_string(),
            "read /proc/sys/kernel/ostype: `Linux` is not a number"
        );
    }
}
