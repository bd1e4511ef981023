//! The kernel as the agent's one writer sees it: everything read back, or one step carried out, each by its own part.
//! Must not: choose, retry a change, or know more of a step than which part it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lb_core::flat::FlatMap;
use lb_core::model::{IfName, RealKey, VirtualKey};
use lb_core::observed::{Observed, ObservedLink, ObservedReal, SysctlName};
use lb_core::plan::Step;
use lb_core::ports::{KernelError, KernelFault, KernelPort, apply_one_by_one};
use lb_core::rehearsal::StandIn;
use lb_core::ruleset::Ruleset;

use crate::fault::{self, during};
use crate::ipvs::{Ipvs, IpvsTable};
use crate::links::Links;
use crate::{announce, nft, sysctl};
use nft::Filter;

/// What of the kernel is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Without it the table of IPVS reads as empty, and steps that change it fail.
    pub ipvs: bool,
}

/// Belongs to the network namespace of the thread that opened it, which is to use it as well. Neither opened, used nor
/// dropped inside an asynchronous runtime: it has its own.
#[derive(Debug)]
pub struct Kernel {
    links: Links,
    filter: Filter,
    ipvs: Option<Ipvs>,
}

impl Kernel {
    pub fn open(parts: Parts) -> Result<Kernel, KernelError> {
        Ok(Kernel {
            links: Links::open().map_err(|fault| during("open rtnetlink", fault))?,
            filter: Filter::default(),
            ipvs: parts.ipvs.then(Ipvs::open).transpose()?,
        })
    }

    /// Makes a link in a card's place.
    pub(crate) fn stand_in(&mut self, card: &StandIn) -> Result<(), KernelError> {
        let made = self.links.stand_in(card);
        made.map_err(|fault| during(format!("make a link in the place of {}", card.name), fault))
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), KernelFault> {
        match step {
            Step::SetHostname(name) => sysctl::set_hostname(name),
            Step::SetSysctl { name, value } => sysctl::write(name, value),
            Step::ReplaceRuleset(rules) => nft::replace(rules),
            Step::DeleteRuleset => nft::delete(),
            Step::CreateLink { link, kind } => self.links.create(link, kind),
            Step::ChangeLink { link, kind } => self.links.change(link, kind),
            Step::ClaimLink(link) => self.links.claim(link),
            Step::DeleteLink(link) => self.links.delete(link),
            Step::SetMaster { link, master } => self.links.set_master(link, master),
            Step::ReleaseLink(link) => self.links.release(link),
            Step::SetLinkUp(link) => self.links.set_up(link),
            Step::SetLinkDown(link) => self.links.set_down(link),
            Step::SetMtu { link, mtu } => self.links.set_mtu(link, *mtu),
            Step::AddAddress { link, address } => self.links.add_address(link, *address),
            Step::DeleteAddress { link, address } => self.links.delete_address(link, *address),
            Step::AddRoute { link, route } => self.links.add_route(link, *route),
            Step::DeleteRoute { link, route } => self.links.delete_route(link, *route),
            Step::Announce { link, address } => match self.links.identity(link)? {
                (index, Some(mac)) => announce::announce(index, mac, *address),
                // Nobody to tell: such a link has no neighbours that resolve addresses.
                (_, None) => Ok(()),
            },
            Step::SetIpvsTimeouts(_)
            | Step::AddVirtual { .. }
            | Step::EditVirtual { .. }
            | Step::DeleteVirtual(_)
            | Step::AddReal { .. }
            | Step::EditReal { .. }
            | Step::DeleteReal { .. }
            | Step::DeleteForeign(_) => self.change_ipvs(step),
        }
    }

    fn links(&mut self) -> Result<BTreeMap<IfName, ObservedLink>, KernelError> {
        let links = self.links.observe();
        links.map_err(|fault| during("list links, addresses and routes", fault))
    }

    fn ruleset(&mut self) -> Result<Option<Arc<Ruleset>>, KernelError> {
        self.filter
            .read()
            .map_err(|fault| during("read table inet lb", fault))
    }

    fn change_ipvs(&mut self, step: &Step) -> Result<(), KernelFault> {
        match &mut self.ipvs {
            Some(ipvs) => ipvs.apply(step).map_err(|error| error.fault),
            None => Err(fault::plain("opened without IPVS")),
        }
    }
}

impl KernelPort for Kernel {
    fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        let links = self.links()?;
        let ruleset = self.ruleset()?;
        let ipvs = match &mut self.ipvs {
            Some(ipvs) => ipvs.services()?,
            None => IpvsTable::default(),
        };
        Ok(Observed {
            hostname: sysctl::hostname(),
            sysctls: read_sysctls(sysctls)?,
            links,
            ruleset,
            virtual_servers: ipvs.virtual_servers,
            ipvs_timeouts: ipvs.timeouts,
            foreign_services: ipvs.foreign_services,
        })
    }

    fn observe_servers(
        &mut self,
        service: &VirtualKey,
    ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError> {
        match &mut self.ipvs {
            Some(ipvs) => ipvs.servers(service).map(Some),
            None => Ok(None),
        }
    }

    fn frame_is(&mut self, sysctls: &BTreeSet<SysctlName>, known: &Observed) -> Result<bool, KernelError> {
        let is_known = self.links()? == known.links
            && self.ruleset()? == known.ruleset
            && sysctl::hostname() == known.hostname
            && read_sysctls(sysctls)? == known.sysctls;
        match &mut self.ipvs {
            Some(ipvs) if is_known => ipvs.services_are(known),
            Some(_) => Ok(false),
            None => Ok(is_known && IpvsTable::default().is_of(known)),
        }
    }

    fn servers_are(
        &mut self,
        service: &VirtualKey,
        known: &FlatMap<RealKey, ObservedReal>,
    ) -> Result<bool, KernelError> {
        match &mut self.ipvs {
            Some(ipvs) => ipvs.servers_are(service, known),
            None => Ok(false),
        }
    }

    fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        self.carry_out(step).map_err(|fault| during(step, fault))
    }

    fn apply_services(&mut self, steps: &[Step]) -> Vec<(usize, KernelError)> {
        match &mut self.ipvs {
            Some(ipvs) => ipvs.apply_each(steps),
            None => apply_one_by_one(self, steps),
        }
    }
}

fn read_sysctls(names: &BTreeSet<SysctlName>) -> Result<BTreeMap<SysctlName, String>, KernelError> {
    let mut values = BTreeMap::new();
    for name in names {
        let value = sysctl::read(name).map_err(|fault| during(format!("read sysctl {name}"), fault))?;
        if let Some(value) = value {
            values.insert(name.clone(), value);
        }
    }
    Ok(values)
}
