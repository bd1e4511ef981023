//! Addresses and routes: `vrrp_instance`, `static_ipaddress`, `static_routes`, and `global_defs`.
//! Must not: know services.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::draft::Draft;
use super::super::machine::{is_interface_name, is_named_by_place};
use super::super::remarks::{Place, Remarks, shown};
use super::super::values;
use super::tree::Statement;
use super::words;

/// So many words are named in one remark.
const MOST_NAMED: usize = 20;

/// What is there after all addresses are known.
#[derive(Debug, Default)]
pub(super) struct Later {
    /// Addresses without a length, and the interface that is to have them.
    hosts: Vec<(usize, IpAddr, Place)>,
    routes: Vec<(Statement, Option<String>)>,
}

pub(super) fn vrrp_instance(
    statement: &Statement,
    later: &mut Later,
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    let interface = statement
        .statements()
        .iter()
        .rev()
        .find(|inner| inner.word() == "interface");
    let interface = interface.and_then(|inner| inner.argument(0));
    let mut words = Vec::new();
    for inner in statement.statements() {
        match inner.word() {
            "interface" => {}
            "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
                addresses(inner, interface, later, draft, remarks)
            }
            "virtual_routes" => routes(inner, interface, later),
            word => words.push(shown(word)),
        }
    }
    words.dedup();
    if words.len() > MOST_NAMED {
        words.truncate(MOST_NAMED);
        words.push("and others".to_owned());
    }
    let name = shown(statement.argument(0).unwrap_or_default());
    let rest = if words.is_empty() {
        String::new()
    } else {
        format!("; nothing stands for {}", words.join(", "))
    };
    remarks.dropped(
        statement.place,
        format!("vrrp_instance {name}: there is no VRRP here, this one machine has the addresses{rest}"),
    );
}

pub(super) fn static_addresses(
    statement: &Statement,
    later: &mut Later,
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    addresses(statement, None, later, draft, remarks);
}

pub(super) fn routes(statement: &Statement, interface: Option<&str>, later: &mut Later) {
    for inner in statement.statements() {
        later.routes.push((inner.clone(), interface.map(str::to_owned)));
    }
}

fn after<'s>(statement: &'s Statement, word: &str) -> Option<&'s str> {
    let at = statement.words.iter().position(|known| known == word)?;
    statement.words.get(at + 1).map(String::as_str)
}

/// `ADDRESS[/LENGTH] [brd ADDRESS] [dev NAME] [scope SCOPE] [label LABEL]`.
fn addresses(
    block: &Statement,
    interface: Option<&str>,
    later: &mut Later,
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    for inner in block.statements() {
        let place = inner.place;
        let name = after(inner, "dev").or(interface).unwrap_or("eth0");
        let index = match is_interface_name(name) {
            true => {
                if is_named_by_place(name) && !draft.machine.is_own_name(name) {
                    remarks.fault(
                        place,
                        format!(
                            "{} is what the other machine calls its card; here cards are eth0, eth1 and so on, and `interfaces` tells \
                             them by their MAC addresses",
                            shown(name)
                        ),
                    );
                }
                draft.machine.interface(name)
            }
            false => {
                let first = draft.machine.first();
                let used = draft.machine.interfaces()[first].name.clone();
                remarks.fault(
                    place,
                    format!(
                        "{} is no interface that can have addresses here; {used} is taken",
                        shown(name)
                    ),
                );
                first
            }
        };
        let given = inner.word();
        let net = given.parse::<IpNet>().ok();
        let address = given.parse::<IpAddr>().ok().or(net.map(|net| net.addr()));
        match (address, net) {
            (None, _) => remarks.fault(place, format!("{} is no address; it is left out", shown(given))),
            (Some(address), None) => later.hosts.push((index, address, place)),
            (Some(address), Some(net)) if net.prefix_len() == net.max_prefix_len() => {
                later.hosts.push((index, address, place))
            }
            (Some(_), Some(net)) => {
                if !draft.machine.own(index, net, place) {
                    let message = format!(
                        "{net} cannot be an address of {}: it is no host, or its network is that of another interface; it is left \
                         out",
                        draft.machine.interfaces()[index].name
                    );
                    remarks.fault(place, message);
                }
                elsewhere(index, net.addr(), place, draft, remarks);
            }
        }
    }
}

/// Tells of an address that another interface has than the one that was to have it.
fn elsewhere(index: usize, address: IpAddr, place: Place, draft: &Draft, remarks: &mut Remarks) {
    let interfaces = draft.machine.interfaces();
    let owner = draft.machine.owner(address).filter(|owner| *owner != index);
    if let Some(owner) = owner {
        let message = format!(
            "{address} is an address of {} here, and not of {}: a network is on one interface",
            interfaces[owner].name, interfaces[index].name
        );
        remarks.differs(place, message);
    }
}

impl Later {
    /// Gives the interfaces what had to wait for the networks.
    pub fn settle(self, draft: &mut Draft, remarks: &mut Remarks) {
        for (index, address, place) in self.hosts {
            if !draft.machine.adopt(index, address, place) {
                remarks.fault(
                    place,
                    format!("{address} can be no address of an interface; it is left out"),
                );
            }
            elsewhere(index, address, place, draft, remarks);
        }
        for (statement, interface) in self.routes {
            if route(&statement, interface.as_deref(), draft).is_some() {
                options_of_route(&statement, remarks);
            } else {
                let message = format!(
                    "the route {} is left out: a route leads by `via` to a router in a network of one interface, once to each network, and is \
                     in the main table",
                    shown(&statement.words.join(" "))
                );
                remarks.dropped(statement.place, message);
            }
        }
    }
}

/// What a route that is taken over says beside where it leads.
fn options_of_route(statement: &Statement, remarks: &mut Remarks) {
    const WITH_VALUE: [&str; 8] = [
        "src", "metric", "scope", "proto", "protocol", "mtu", "advmss", "weight",
    ];
    const SWITCHES: [&str; 2] = ["onlink", "track_group"];
    let valued = WITH_VALUE
        .iter()
        .filter_map(|word| Some(format!("{word} {}", shown(after(statement, word)?))));
    let is_said = |word: &&&str| statement.words.iter().any(|said| said == **word);
    let switches = SWITCHES.iter().filter(is_said).map(|word| (*word).to_owned());
    let named: Vec<String> = valued.chain(switches).collect();
    if !named.is_empty() {
        let message = format!(
            "{}: a route has a network and a gateway here, and nothing else",
            named.join(", ")
        );
        remarks.dropped(statement.place, message);
    }
}

/// `[src ADDRESS] [to] NETWORK via [inet|inet6] ADDRESS [dev NAME]`, or `default`. One of another table is none, and one of
/// several hops.
fn route(statement: &Statement, interface: Option<&str>, draft: &mut Draft) -> Option<usize> {
    let is_main = after(statement, "table").is_none_or(|table| ["main", "254"].contains(&table));
    if !is_main || statement.words.iter().any(|word| word == "nexthop") {
        return None;
    }
    let via = ["via", "gw"].iter().find_map(|word| after(statement, word))?;
    let via = match via {
        family @ ("inet" | "inet6") => after(statement, family)?,
        via => via,
    };
    let via: IpAddr = via.parse().ok()?;
    let to = match after(statement, "to") {
        Some(to) => to,
        None if statement.word() == "src" => statement.argument(1)?,
        None => statement.word(),
    };
    let to = match to {
        "default" if via.is_ipv4() => IpNet::V4(Ipv4Net::default()),
        "default" => IpNet::V6(Ipv6Net::default()),
        to => to
            .parse::<IpNet>()
            .ok()
            .or_else(|| to.parse::<IpAddr>().ok().map(IpNet::from))?,
    };
    let name = after(statement, "dev").or(interface);
    let index = match name {
        Some(name) if draft.machine.is_own_name(name) => Some(draft.machine.interface(name)),
        Some(_) => return None,
        None => None,
    };
    draft.machine.route(to, via, index)
}

/// `lvs_timeouts [tcp SECS] [tcpfin SECS] [udp SECS]` and what stands for nothing.
pub(super) fn global_defs(statement: &Statement, draft: &mut Draft, remarks: &mut Remarks) {
    for inner in statement.statements() {
        if inner.word() != "lvs_timeouts" {
            words::drop_with_reason(inner, remarks);
            continue;
        }
        for (word, key) in [("tcp", "tcp"), ("tcpfin", "tcp_fin"), ("udp", "udp")] {
            let Some(given) = after(inner, word) else {
                continue;
            };
            match given.parse::<u64>() {
                Ok(seconds) => {
                    let within = seconds.clamp(10, 168 * 3600);
                    if within != seconds {
                        remarks.differs(
                            inner.place,
                            format!("{word} {seconds} s becomes {within} s: 10 s to 168 h"),
                        );
                    }
                    draft.timeouts.put(key, values::time(Duration::from_secs(within)));
                }
                Err(_) => remarks.fault(inner.place, format!("{} is no number of seconds", shown(given))),
            }
        }
    }
}
