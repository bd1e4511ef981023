//! IPVS in the kernel: read the whole table, carry out one step, read what counts. Blocking.
//! Must not: decide, empty the table, or give up on entries that are none of ours.

mod connection;
mod counted;
mod plain;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use lb_core::flat::FlatMap;
use lb_core::model::{RealKey, ServerKey, VirtualKey};
use lb_core::observed::{IpvsTimeouts, Observed, ObservedReal, ServerActivity, ServiceActivity};
use lb_core::plan::Step;
use lb_core::ports::{KernelError, KernelFault};
use lb_wire::ipvs::{
    DestEntry, EntryError, FAMILY_NAME, IpvsAttribute, IpvsMessage, ListedDest, ListedServer, ListedService,
    Service, ServiceEntry, ServiceKey, Timeouts,
};
use netlink_packet_core::ParseableParametrized;
use netlink_packet_generic::GenlHeader;

use crate::fault;
use connection::{Connection, ExchangeError};
use plain::Plain;
pub use table::IpvsTable;

/// How often a list is asked for again while something keeps changing under it.
const DUMP_ATTEMPTS: usize = 5;

/// Changes in one datagram: far from what the socket may queue, and from what it may receive should all be refused.
const ROW: usize = 64;

/// A handle on the IPVS table of this network namespace.
#[derive(Debug)]
pub struct Ipvs {
    /// `None` after an exchange that left the socket in doubt; the next one opens another.
    link: Option<Link>,
    plain: Plain,
}

#[derive(Debug)]
struct Link {
    connection: Connection,
    family: u16,
}

/// A service and its servers, as dumped.
type Entry = (ServiceEntry, Vec<DestEntry>);
pub type ServiceActivities = BTreeMap<VirtualKey, ServiceActivity>;
pub type ServerActivities = BTreeMap<ServerKey, ServerActivity>;

impl Ipvs {
    /// Fails with ENOENT if the kernel has no IPVS.
    pub fn open() -> Result<Ipvs, KernelError> {
        let link = Link::open().map_err(|fault| fault::during("open IPVS", fault))?;
        Ok(Ipvs {
            link: Some(link),
            plain: Plain::default(),
        })
    }

    /// The whole table: one list of services, and one list of servers for each service that can be ours. The kernel does
    /// not say when a service came or went meanwhile; who sees such a gap reads again.
    pub fn dump(&mut self) -> Result<IpvsTable, KernelError> {
        let mut seen = self.services()?;
        for (key, service) in &mut seen.virtual_servers {
            service.servers = self.servers(key)?;
        }
        Ok(seen)
    }

    /// The table without the servers.
    pub fn services(&mut self) -> Result<IpvsTable, KernelError> {
        let mut seen = table::observed(&self.listed_services()?);
        seen.timeouts = Some(self.timeouts()?);
        Ok(seen)
    }

    /// Whether [`services`](Self::services) would tell just what is known.
    pub fn services_are(&mut self, known: &Observed) -> Result<bool, KernelError> {
        let listed = self.listed_services()?;
        Ok(table::services_are(&listed, known) && Some(self.timeouts()?) == known.ipvs_timeouts)
    }

    fn listed_services(&mut self) -> Result<Vec<Service>, KernelError> {
        let listed: Vec<ListedService> = self
            .list(&IpvsMessage::dump_services())
            .map_err(|fault| fault::during("list IPVS", fault))?;
        let listed = listed.into_iter().filter_map(|listed| listed.0);
        Ok(listed
            .filter_map(|service| sensible("service", service))
            .collect())
    }

    /// The servers of one service; none if there is no such service.
    pub fn servers(&mut self, service: &VirtualKey) -> Result<FlatMap<RealKey, ObservedReal>, KernelError> {
        let listed = self
            .list(&IpvsMessage::dump_dests(&table::service_key(service)))
            .map_err(|fault| fault::during(format!("list the servers of {service}"), fault))?;
        let listed = listed.into_iter().filter_map(|ListedServer(listed)| listed);
        let dests = listed.filter_map(|dest| sensible("server", dest));
        Ok(dests.map(|dest| table::observed_real(&dest)).collect())
    }

    /// Whether [`servers`](Self::servers) would tell just what is known.
    pub fn servers_are(
        &mut self,
        service: &VirtualKey,
        known: &FlatMap<RealKey, ObservedReal>,
    ) -> Result<bool, KernelError> {
        match self.plain.servers_are(service, known) {
            Some(answer) => Ok(answer),
            None => Ok(self.servers(service)? == *known),
        }
    }

    /// What every service that can be ours has counted, and the servers of those that are `opened`. The kernel adds up
    /// traffic every two seconds, and not at all while net.ipv4.vs.run_estimation is 0 (ip_vs_est.c).
    pub fn activity(
        &mut self,
        opened: impl Fn(&VirtualKey) -> bool,
    ) -> Result<(ServiceActivities, ServerActivities), KernelError> {
        let opened = |key: &ServiceKey| table::identity(key).is_ok_and(|key| opened(&key));
        let entries = self
            .entries(opened)
            .map_err(|fault| fault::during("list IPVS counters", fault))?;
        Ok((counted::services(&entries), counted::servers(&entries)))
    }

    /// What the servers of one service have counted; none if there is no such service.
    pub fn counted(&mut self, service: &VirtualKey) -> Result<Vec<(RealKey, ServerActivity)>, KernelError> {
        let listed = self
            .list(&IpvsMessage::dump_dests(&table::service_key(service)))
            .map_err(|fault| fault::during(format!("list the servers of {service}"), fault))?;
        Ok(listed
            .into_iter()
            .filter_map(dest_entry)
            .map(|entry| counted::server(&entry))
            .collect())
    }

    /// Carries out a step that concerns IPVS.
    pub fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        let mut refused = self.apply_each(std::slice::from_ref(step));
        refused.pop().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Carries out steps that concern IPVS, one after the other, whatever becomes of those before; the refused, by position.
    pub fn apply_each(&mut self, steps: &[Step]) -> Vec<(usize, KernelError)> {
        let mut refused = Vec::new();
        for (number, row) in steps.chunks(ROW).enumerate() {
            let errors = self.apply_row(row).into_iter();
            refused.extend(errors.map(|(at, fault)| (number * ROW + at, fault::during(&row[at], fault))));
        }
        refused
    }

    /// Of steps with which nobody knows what became of them, it is said that they were refused.
    fn apply_row(&mut self, row: &[Step]) -> Vec<(usize, KernelFault)> {
        let Some(requests) = row.iter().map(table::request).collect::<Option<Vec<_>>>() else {
            let foreign = || fault::plain("not a change of IPVS");
            return (0..row.len()).map(|at| (at, foreign())).collect();
        };
        let mut refused = Vec::new();
        let outcome = self.exchange(|link| link.connection.execute(&requests, link.family, &mut refused));
        if let Err(error) = outcome {
            let fault = KernelFault::from(error);
            let known: BTreeSet<usize> = refused.iter().map(|(at, _)| *at).collect();
            let unknown = (0..row.len()).filter(|at| !known.contains(at));
            refused.extend(unknown.map(|at| (at, fault.clone())));
            refused.sort_by_key(|(at, _)| *at);
        }
        refused
    }

    fn timeouts(&mut self) -> Result<IpvsTimeouts, KernelError> {
        let answer = self.exchange(|link| link.connection.ask(IpvsMessage::get_config(), link.family));
        let answer = answer.map_err(|error| fault::during("read IPVS timeouts", error.into()))?;
        let timeouts = answer.first().map(Timeouts::from_message).unwrap_or_default();
        Ok(IpvsTimeouts {
            tcp_s: timeouts.tcp_s,
            tcp_fin_s: timeouts.tcp_fin_s,
            udp_s: timeouts.udp_s,
        })
    }

    /// All services, and servers of those that are `opened`.
    fn entries(&mut self, opened: impl Fn(&ServiceKey) -> bool) -> Result<Vec<Entry>, KernelFault> {
        let services: Vec<IpvsMessage> = self.list(&IpvsMessage::dump_services())?;
        let services = services.iter().filter_map(service_entry);
        services
            .map(|service| {
                let servers = match opened(&service.service.key) {
                    true => self.list(&IpvsMessage::dump_dests(&service.service.key))?,
                    false => Vec::new(),
                };
                Ok((service, servers.into_iter().filter_map(dest_entry).collect()))
            })
            .collect()
    }

    fn list<A>(&mut self, request: &IpvsMessage) -> Result<Vec<A>, KernelFault>
    where
        A: ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        let mut attempt = 1;
        loop {
            match self.exchange(|link| link.connection.dump(request.clone(), link.family)) {
                Err(error) if error.is_passing() && attempt < DUMP_ATTEMPTS => {
                    log::debug!("IPVS: asking again after: {error}");
                    attempt += 1;
                }
                outcome => return outcome.map_err(KernelFault::from),
            }
        }
    }

    /// Runs an exchange on a socket on which nothing is outstanding.
    fn exchange<T>(
        &mut self,
        run: impl FnOnce(&mut Link) -> Result<T, ExchangeError>,
    ) -> Result<T, ExchangeError> {
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(Link::open().map_err(ExchangeError::Refused)?),
        };
        let outcome = run(link);
        if let Err(error) = &outcome
            && !error.leaves_nothing_behind()
        {
            self.link = None;
        }
        outcome
    }
}

impl Link {
    fn open() -> Result<Link, KernelFault> {
        let mut connection = Connection::open()?;
        let family = connection.family(FAMILY_NAME).map_err(|error| {
            let mut fault = KernelFault::from(error);
            if fault.errno == Some(libc::ENOENT) {
                fault.text = format!("{} (this kernel has no IPVS)", fault.text);
            }
            fault
        })?;
        Ok(Link { connection, family })
    }
}

fn service_entry(message: &IpvsMessage) -> Option<ServiceEntry> {
    let entry = message.attributes.iter().find_map(|attribute| match attribute {
        IpvsAttribute::Service(attributes) => Some(ServiceEntry::from_attributes(attributes)),
        _ => None,
    })?;
    sensible("service", entry)
}

fn dest_entry(listed: ListedDest) -> Option<DestEntry> {
    sensible("server", listed.0?)
}

/// One entry without sense must not hide the others.
fn sensible<T>(what: &str, entry: Result<T, EntryError>) -> Option<T> {
    entry
        .map_err(|error| log::warn!("IPVS: left out a {what} {error}"))
        .ok()
}
