//! A kernel in memory for tests: it keeps what it is told and refuses what Linux refuses, with Linux's errno.
//! Must not: be used by the product, or be kinder than the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::Route;
use crate::model::{IfName, RealKey, VirtualKey};
use crate::observed::{IpvsTimeouts, Observed, ObservedLink, ObservedReal, ObservedVirtual, SysctlName};
use crate::plan::Step;
use crate::ports::{KernelError, KernelFault, KernelPort};

#[derive(Debug, Clone, Default)]
pub struct FakeKernel {
    pub state: Observed,
    /// Every step that was carried out, in order.
    pub applied: Vec<Step>,
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
                loopback: false,
                admin_up: false,
                carrier: true,
                mtu: 1500,
                addresses: BTreeSet::new(),
                routes: BTreeSet::new(),
            };
            kernel
                .state
                .links
                .insert(name.parse().expect("a test names links as the kernel does"), link);
        }
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

    fn virtual_server(&mut self, key: &VirtualKey) -> Result<&mut ObservedVirtual, Errno> {
        self.state.virtual_servers.get_mut(key).ok_or("ESRCH")
    }

    fn real(&mut self, service: &VirtualKey, server: &RealKey) -> Result<&mut ObservedReal, Errno> {
        self.virtual_server(service)?
            .servers
            .get_mut(server)
            .ok_or("ENOENT")
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), Errno> {
        match step {
            Step::SetHostname(name) => self.state.hostname.clone_from(name),
            Step::SetSysctl { name, value } => {
                *self.state.sysctls.get_mut(name).ok_or("ENOENT")? = value.clone();
            }
            Step::ReplaceRuleset(rules) => self.state.ruleset = Some(rules.clone()),
            Step::DeleteRuleset => drop(self.state.ruleset.take().ok_or("ENOENT")?),
            Step::SetLinkUp(name) => self.link(name)?.admin_up = true,
            Step::SetLinkDown(name) => {
                let link = self.link(name)?;
                link.admin_up = false;
                link.routes.clear();
            }
            Step::SetMtu { link, mtu } => self.link(link)?.mtu = *mtu,
            Step::AddAddress { link, address } => {
                self.link(link)?
                    .addresses
                    .insert(*address)
                    .then_some(())
                    .ok_or("EEXIST")?;
            }
            Step::DeleteAddress { link, address } => self.delete_address(link, address)?,
            Step::AddRoute { link, route } => self.add_route(link, route)?,
            Step::DeleteRoute { link, route } => {
                self.link(link)?
                    .routes
                    .remove(route)
                    .then_some(())
                    .ok_or("ESRCH")?;
            }
            Step::Announce { link, .. } => drop(self.link(link)?),
            other => self.carry_out_ipvs(other)?,
        }
        Ok(())
    }

    fn carry_out_ipvs(&mut self, step: &Step) -> Result<(), Errno> {
        match step {
            Step::AddVirtual { service, scheduler } => {
                if self.state.virtual_servers.contains_key(service) {
                    return Err("EEXIST");
                }
                let fresh = ObservedVirtual {
                    scheduler: Some(*scheduler),
                    extra_flags: false,
                    servers: Default::default(),
                };
                self.state.virtual_servers.insert(*service, fresh);
            }
            Step::EditVirtual { service, scheduler } => {
                let seen = self.virtual_server(service)?;
                seen.scheduler = Some(*scheduler);
                seen.extra_flags = false;
            }
            Step::SetIpvsTimeouts(timeouts) => self.state.ipvs_timeouts = Some(*timeouts),
            Step::DeleteVirtual(service) => drop(self.state.virtual_servers.remove(service).ok_or("ESRCH")?),
            Step::AddReal {
                service,
                server,
                weight,
                forward,
            } => {
                let servers = &mut self.virtual_server(service)?.servers;
                if servers.contains_key(server) {
                    return Err("EEXIST");
                }
                servers.insert(
                    *server,
                    ObservedReal {
                        weight: *weight,
                        forward: Some(*forward),
                        thresholds: false,
                    },
                );
            }
            Step::EditReal {
                service,
                server,
                weight,
                forward,
            } => {
                *self.real(service, server)? = ObservedReal {
                    weight: *weight,
                    forward: Some(*forward),
                    thresholds: false,
                };
            }
            Step::DeleteReal { service, server } => {
                let servers = &mut self.virtual_server(service)?.servers;
                servers.remove(server).map(|_| ()).ok_or("ENOENT")?;
            }
            Step::DeleteForeign(foreign) => {
                self.state
                    .foreign_services
                    .remove(foreign)
                    .then_some(())
                    .ok_or("ESRCH")?;
            }
            _ => unreachable!("the other steps are carried out before"),
        }
        Ok(())
    }

    /// The kernel drops the routes whose next hop is no longer on the link.
    fn delete_address(&mut self, link: &IfName, address: &ipnet::IpNet) -> Result<(), Errno> {
        let link = self.link(link)?;
        link.addresses
            .remove(address)
            .then_some(())
            .ok_or("EADDRNOTAVAIL")?;
        let addresses = link.addresses.clone();
        link.routes.retain(|route| on_link(&addresses, route.via));
        Ok(())
    }

    fn add_route(&mut self, link: &IfName, route: &Route) -> Result<(), Errno> {
        let link = self.link(link)?;
        if !link.admin_up {
            return Err("ENETDOWN");
        }
        if !on_link(&link.addresses, route.via) {
            return Err("ENETUNREACH");
        }
        if link.routes.iter().any(|r| r.to == route.to) {
            return Err("EEXIST");
        }
        link.routes.insert(*route);
        Ok(())
    }
}

fn on_link(addresses: &BTreeSet<ipnet::IpNet>, via: IpAddr) -> bool {
    addresses.iter().any(|a| a.contains(&via))
}

impl KernelPort for FakeKernel {
    /// A fake kernel has every sysctl that it is asked for, at first with the value `0`.
    fn observe(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        for name in sysctls {
            self.state
                .sysctls
                .entry(name.clone())
                .or_insert_with(|| "0".to_owned());
        }
        Ok(self.state.clone())
    }

    fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
        match self.carry_out(step) {
            Ok(()) => {
                self.applied.push(step.clone());
                Ok(())
            }
            Err(name) => Err(KernelError {
                action: step.to_string(),
                fault: KernelFault {
                    errno: None,
                    text: name.to_owned(),
                },
            }),
        }
    }
}
