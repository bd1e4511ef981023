//! What counts and ages: IPVS's connections per server, link counters, connection tracking, IPVS's connection table.
//! Must not: change anything, or fail as a whole because the kernel lacks one of the sources.

mod connections;
mod link_counters;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};

use lb_core::model::{IfName, ServerKey};
use lb_core::observed::{Activity, ConnectionTable, LinkCounters, ServerActivity};
use lb_core::ports::{ActivityPort, KernelError};
use lb_core::ruleset::Rule;

use crate::fault;
use crate::ipvs::Ipvs;
use crate::nft;

/// One line per link, with all counters in 64 bits (net/core/net-procfs.c).
const NET_DEV: &str = "/proc/net/dev";
/// One line per connection (net/netfilter/ipvs/ip_vs_conn.c).
const IP_VS_CONN: &str = "/proc/net/ip_vs_conn";
const CONNTRACK_COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

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

    /// A kernel without IPVS has no servers.
    fn servers(&mut self) -> Result<BTreeMap<ServerKey, ServerActivity>, KernelError> {
        let ipvs = match &mut self.ipvs {
            Some(ipvs) => ipvs,
            none => match Ipvs::open() {
                Ok(ipvs) => none.insert(ipvs),
                Err(error) if error.fault.errno == Some(libc::ENOENT) => return Ok(BTreeMap::new()),
                Err(error) => return Err(error),
            },
        };
        ipvs.activity()
    }
}

impl ActivityPort for KernelActivity {
    fn activity(&mut self) -> Result<Activity, KernelError> {
        Ok(Activity {
            servers: self.servers()?,
            links: links()?,
            translated: translated()?,
            conntrack_count: number(CONNTRACK_COUNT)?,
            conntrack_max: number(CONNTRACK_MAX)?,
        })
    }

    /// Fails without IPVS: no table is not an empty table.
    fn connections(&mut self, limit: usize) -> Result<ConnectionTable, KernelError> {
        let read = || connections::read(BufReader::new(File::open(IP_VS_CONN)?), limit);
        read().map_err(|error| reading(IP_VS_CONN, &error))
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
    fn a_missing_file_is_zero_and_a_bad_one_is_a_fault() {
        assert_eq!(number("/proc/sys/net/netfilter/nothing-of-this-name").unwrap(), 0);
        let error = number("/proc/sys/kernel/ostype").unwrap_err();
        assert_eq!(
            error.to_string(),
            "read /proc/sys/kernel/ostype: `Linux` is not a number"
        );
    }
}
