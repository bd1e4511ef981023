//! A kernel in memory for tests: it keeps what it is told and refuses what Linux refuses, with Linux's errno.
//! Must not: be used by the product, or be kinder than the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::Route;
use crate::flat::FlatMap;
use crate::link_kind::{ETHERNET_MTU, LinkKind};
use crate::model::{IfName, MacAddress, RealKey, VirtualKey};
use crate::observed::{
    Activity, ConnectionTable, IpvsTimeouts, Observed, ObservedLink, ObservedReal, ObservedVirtual,
    ServerActivity, SysctlName, Wanted, WayBack,
};
use crate::own_mtu::OwnMtus;
use crate::plan::Step;
use crate::ports::{ActivityPort, KernelError, KernelFault, KernelPort, RehearsalPort};
use crate::rehearsal::StandIn;

#[derive(Debug, Clone, Default)]
pub struct FakeKernel {
    pub state: Observed,
    /// Every step that was carried out, in order.
    pub applied: Vec<Step>,
    /// What its cards came with.
    pub own: OwnMtus,
}

type Errno = &'static str;

impl FakeKernel {
    /// A machine after power-on: these links, switched off, with their cables in.
    pub fn with_links(names: &[&str]) -> FakeKernel {
        let mut kernel = FakeKernel::default();
        for (index, name) in names.iter().enumerate() {
            let link = ObservedLink {
                index: u32::try_from(index).expect("few links in a test") + 2,
                mac: format!("52:54:00:00:00:{:02x}", index + 1).parse().ok(),
                permanent_mac: format!("52:54:00:00:00:{:02x}", index + 1).parse().ok(),
                carrier: true,
                mtu: ETHERNET_MTU,
                ..ObservedLink::default()
            };
            kernel
                .state
                .links
                .insert(name.parse().expect("a test names links as the kernel does"), link);
        }
        kernel.own.see(&kernel.state.links);
        kernel.state.hostname = "(none)".to_owned();
        // The kernel's own (ip_vs_proto_tcp.c, ip_vs_proto_udp.c).
        kernel.state.ipvs_timeouts = Some(IpvsTimeouts {
            tcp_s: 900,
            tcp_fin_s: 120,
            udp_s: 300,
        });
        kernel
    }

    fn link(&mut self, name: &IfName) -> Result<&mut ObservedLink, Errno> {
        self.state.links.get_mut(name).ok_or("ENODEV")
    }

    fn virtual_server(&self, key: &VirtualKey) -> Result<&ObservedVirtual, Errno> {
        self.state.virtual_servers.get(key).ok_or("ESRCH")
    }

    /// What Linux refuses, and by which errno.
    fn judge(&mut self, step: &Step) -> Result<(), Errno> {
        match step {
            Step::SetSysctl { name, .. } => there(self.state.sysctls.contains_key(name), "ENOENT"),
            // NFT_NETDEVICE_MAX.
            Step::ReplaceRuleset(rules) => there(rules.fast.offload.len() <= 256, "EFBIG"),
            Step::DeleteRuleset => there(self.state.ruleset.is_some(), "ENOENT"),
            Step::CreateLink { link, kind } => self.judge_new(link, kind),
            Step::ChangeLink { link, kind } => {
                let link = self.link(link)?;
                there(
                    link.kind.as_ref().is_some_and(|seen| seen.can_become(kind)),
                    "EPERM",
                )
            }
            Step::DeleteLink(link) => there(self.link(link)?.kind.is_some(), "EOPNOTSUPP"),
            Step::SetMaster { link, master } => self.judge_member(link, master),
            Step::SetLinkUp(link) => self.judge_up(link),
            Step::SetMtu { link, mtu } => self.judge_mtu(link, *mtu),
            Step::ClaimLink(link)
            | Step::ReleaseLink(link)
            | Step::SetLinkDown(link)
            | Step::Announce { link, .. } => self.link(link).map(drop),
            Step::AddAddress { link, address } => absent(self.link(link)?.addresses.contains(address)),
            Step::DeleteAddress { link, address } => {
                there(self.link(link)?.addresses.contains(address), "EADDRNOTAVAIL")
            }
            Step::AddRoute { link, route } => self.judge_route(link, route),
            Step::DeleteRoute { link, route } => there(self.link(link)?.routes.contains(route), "ESRCH"),
            Step::AddVirtual { service, .. } => absent(self.virtual_server(service).is_ok()),
            Step::EditVirtual { service, .. } | Step::DeleteVirtual(service) => {
                self.virtual_server(service).map(drop)
            }
            Step::AddReal { service, server, .. } => {
                absent(self.virtual_server(service)?.servers.contains_key(server))
            }
            Step::EditReal { service, server, .. } | Step::DeleteReal { service, server } => {
                let known = self.virtual_server(service)?.servers.contains_key(server);
                there(known, "ENOENT")
            }
            Step::DeleteForeign(foreign) => there(self.state.foreign_services.contains(foreign), "ESRCH"),
            Step::SetHostname(_) | Step::SetIpvsTimeouts(_) => Ok(()),
        }
    }

    /// register_vlan_device, and the names that are taken.
    fn judge_new(&mut self, link: &IfName, kind: &LinkKind) -> Result<(), Errno> {
        absent(self.state.links.contains_key(link))?;
        if let Some(parent) = kind.parent() {
            self.link(parent)?;
            let vlans = self.state.links.values().filter_map(|link| link.kind.as_ref());
            absent(
                vlans
                    .filter(|vlan| vlan.parent().is_some())
                    .any(|vlan| vlan == kind),
            )?;
        }
        Ok(())
    }

    /// bond_enslave and br_add_if.
    fn judge_member(&mut self, link: &IfName, master: &IfName) -> Result<(), Errno> {
        let kind = self.link(master)?.kind.clone();
        let member = self.link(link)?;
        match kind {
            Some(LinkKind::Bond(_)) => there(!member.admin_up, "EPERM")?,
            Some(LinkKind::Bridge(_)) => {
                there(!matches!(member.kind, Some(LinkKind::Bridge(_))), "ELOOP")?;
            }
            _ => return Err("EOPNOTSUPP"),
        }
        there(member.master.is_none(), "EBUSY")?;
        there(link != master, "ELOOP")
    }

    /// vlan_dev_open.
    fn judge_up(&mut self, link: &IfName) -> Result<(), Errno> {
        let kind = self.link(link)?.kind.clone();
        match kind.as_ref().and_then(LinkKind::parent) {
            Some(parent) => there(self.link(parent)?.admin_up, "ENETDOWN"),
            None => Ok(()),
        }
    }

    /// vlan_dev_change_mtu.
    fn judge_mtu(&mut self, link: &IfName, mtu: u32) -> Result<(), Errno> {
        let kind = self.link(link)?.kind.clone();
        match kind.as_ref().and_then(LinkKind::parent) {
            Some(parent) => there(mtu <= self.link(parent)?.mtu, "ERANGE"),
            None => Ok(()),
        }
    }

    /// fib_create_info and fib_table_insert, ip6_route_check_nh.
    fn judge_route(&mut self, link: &IfName, route: &Route) -> Result<(), Errno> {
        let v4 = route.to.addr().is_ipv4();
        let connected = |link: &ObservedLink| link.addresses.iter().any(|a| a.trunc() == route.to);
        absent(v4 && self.state.links.values().any(connected))?;
        let link = self.link(link)?;
        let to_hop = |known: &Route| known.to.contains(&route.via) && known.to.prefix_len() == 128;
        there(!link.routes.iter().any(to_hop), "EHOSTUNREACH")?;
        if !link.admin_up {
            return Err("ENETDOWN");
        }
        there(
            link.addresses.iter().any(|a| a.contains(&route.via)),
            "ENETUNREACH",
        )?;
        absent(link.routes.iter().any(|r| r.to == route.to))
    }
}

fn there(holds: bool, otherwise: Errno) -> Result<(), Errno> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn absent(known: bool) -> Result<(), Errno> {
    there(!known, "EEXIST")
}

impl KernelPort for FakeKernel {
    /// A fake kernel has every sysctl that it is asked for, at first with the value `0`.
    fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        for name in sysctls {
            self.state
                .sysctls
                .entry(name.clone())
                .or_insert_with(|| "0".to_owned());
        }
        let services = self.state.virtual_servers.iter().map(|(key, seen)| {
            let seen = ObservedVirtual {
                settings: seen.settings,
                servers: FlatMap::new(),
            };
            (*key, seen)
        });
        Ok(Observed {
            hostname: self.state.hostname.clone(),
            sysctls: self.state.sysctls.clone(),
            links: self.state.links.clone(),
            ruleset: self.state.ruleset.clone(),
            virtual_servers: services.collect(),
            ipvs_timeouts: self.state.ipvs_timeouts,
            foreign_services: self.state.foreign_services.clone(),
        })
    }

    fn observe_servers(
        &mut self,
        service: &VirtualKey,
    ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError> {
        let seen = self.state.virtual_servers.get(service);
        Ok(seen.map(|seen| seen.servers.clone()))
    }

    fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        match self.judge(step) {
            Ok(()) => {
                self.state.assume(step);
                self.applied.push(step.clone());
                Ok(())
            }
            Err(name) => Err(KernelError {
                action: step.to_string(),
                fault: KernelFault {
                    errno: Some(number(name)),
                    text: name.to_owned(),
                },
            }),
        }
    }
}

/// As Linux numbers them (asm-generic/errno.h).
fn number(name: Errno) -> i32 {
    match name {
        "EPERM" => 1,
        "ENOENT" => 2,
        "ESRCH" => 3,
        "EBUSY" => 16,
        "EEXIST" => 17,
        "ENODEV" => 19,
        "EFBIG" => 27,
        "ERANGE" => 34,
        "ELOOP" => 40,
        "EOPNOTSUPP" => 95,
        "EADDRNOTAVAIL" => 99,
        "ENETDOWN" => 100,
        "ENETUNREACH" => 101,
        "EHOSTUNREACH" => 113,
        _ => 22,
    }
}

/// Networks in memory: a machine after power-on with these cards.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeNetworks;

impl RehearsalPort for FakeNetworks {
    fn enter(&self, cards: &[StandIn]) -> Result<Box<dyn KernelPort>, KernelError> {
        let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
        let mut kernel = FakeKernel::with_links(&names);
        for card in cards {
            let link = kernel.state.links.get_mut(&card.name);
            let link = link.expect("it was just made");
            (link.mac, link.permanent_mac, link.mtu) = (Some(card.mac), None, card.mtu);
        }
        Ok(Box::new(kernel))
    }
}

/// A kernel that has counted nothing.
#[derive(Debug, Clone, Copy)]
pub struct Uncounted;

impl ActivityPort for Uncounted {
    fn activity(&mut self, _wanted: Wanted) -> Result<Activity, KernelError> {
        Ok(Activity::default())
    }

    fn servers(&mut self, _service: &VirtualKey) -> Result<Vec<(RealKey, ServerActivity)>, KernelError> {
        Ok(Vec::new())
    }

    fn others_with(
        &mut self,
        _index: u32,
        _own: MacAddress,
        _address: IpAddr,
    ) -> Result<Vec<String>, KernelError> {
        Ok(Vec::new())
    }

    fn ways_back(
        &mut self,
        _stranger: IpAddr,
        _servers: &[RealKey],
    ) -> Result<BTreeMap<RealKey, WayBack>, KernelError> {
        Ok(BTreeMap::new())
    }

    fn connections(&mut self, _limit: usize) -> Result<ConnectionTable, KernelError> {
        Ok(ConnectionTable::default())
    }
}
