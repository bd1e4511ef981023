//! `[[virtual_server.real_server]]`: the servers of one service, and which of them cannot serve it.
//! Must not: look at interfaces but through what they own and reach.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::address::{Purpose, family, unusable};
use super::check::CheckListKeys;
use super::fault::Wrong;
use super::listen::{Listen, endpoint};
use super::model::{RealServer, WhenDown};
use super::reader::{Reader, Section, Value};
use super::shape;
use super::topology::Topology;
use crate::check::{CheckList, CheckParams};
use crate::model::{Forward, Limit, RealKey, Weight};
use crate::pool::Tier;

/// The kernel compares with the sum of two signed counters.
pub(super) const CONNECTIONS: RangeInclusive<u32> = 1..=i32::MAX as u32;
pub(super) const WEIGHT: RangeInclusive<u32> = 0..=Weight::MAX;

/// Checks that are the same are there once, and so are lists of them.
#[derive(Default)]
pub(super) struct Shared {
    checks: HashSet<Arc<CheckParams>>,
    lists: HashSet<CheckList>,
}

impl Shared {
    fn list(&mut self, keys: &CheckListKeys) -> CheckList {
        let mut params = keys.params().map(|params| self.check(params));
        let first = params.next().expect("there is a check, if only the default");
        let list = CheckList::new(first, params);
        if let Some(known) = self.lists.get(&list) {
            return known.clone();
        }
        self.lists.insert(list.clone());
        list
    }

    fn check(&mut self, params: CheckParams) -> Arc<CheckParams> {
        if let Some(known) = self.checks.get(&params) {
            return known.clone();
        }
        let params = Arc::new(params);
        self.checks.insert(params.clone());
        params
    }
}

/// A server's weight, what happens when it is down, and when it takes part.
fn part_of_the_load(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
) -> (Option<Weight>, Option<WhenDown>, Option<Tier>) {
    let weight = match section.value("weight") {
        Some(value) => reader
            .integer(value, WEIGHT)
            .and_then(|n| Weight::new(n.into_inner())),
        None => Some(Weight::ONE),
    };
    let when_down = section.value("when_down");
    let when_down = reader.word_or(when_down, WhenDown::default(), &WhenDown::WORDS, &[]);
    let tier = match section.value("backup").map(|value| reader.flag(value)) {
        None | Some(Some(false)) => Some(Tier::Primary),
        Some(Some(true)) => Some(Tier::Backup),
        Some(None) => None,
    };
    (weight, when_down, tier)
}

/// How many connections it may have.
fn limit(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Limit> {
    let mut number = |key| match section.value(key) {
        Some(value) => reader.integer(value, CONNECTIONS).map(Some),
        None => Some(None),
    };
    let (most, resume) = (number("max_connections"), number("resume_connections"));
    let (most, resume) = (most?, resume?);
    let Some(resume) = resume else {
        let most = most.map_or(0, toml::Spanned::into_inner);
        return Some(Limit { most, resume: 0 });
    };
    let (most, below) = (most.map_or(0, toml::Spanned::into_inner), *resume.get_ref());
    if below < most {
        return Some(Limit { most, resume: below });
    }
    let (message, help) = match most {
        0 => (
            "`resume_connections` without `max_connections`".to_owned(),
            "say when it gets no more: max_connections = 1000".to_owned(),
        ),
        most => (
            format!("`resume_connections` of {below} is not less than the `max_connections` of {most}"),
            format!(
                "allowed here: 1 to {}; without it three quarters of `max_connections`",
                most - 1
            ),
        ),
    };
    reader.fault(resume.span(), message, help);
    None
}

/// What the servers of one service have in common.
pub(super) struct Pool<'t> {
    topology: &'t Topology,
    listen: &'t Listen,
    check: CheckListKeys,
    forward: Forward,
    persistent: bool,
    one_packet: bool,
    /// A server was read whose check would be the default: TCP to the traffic's port.
    unchecked: Cell<bool>,
    /// The same, and it has no port of its own.
    portless: Cell<bool>,
    /// A check was found that lacks something its type needs: said once.
    unfinished: Cell<bool>,
    /// Of the servers without keys of their own.
    checks: OnceCell<CheckList>,
}

impl<'t> Pool<'t> {
    pub fn new(
        topology: &'t Topology,
        listen: &'t Listen,
        check: CheckListKeys,
        forward: Forward,
        persistent: bool,
        one_packet: bool,
    ) -> Pool<'t> {
        Pool {
            topology,
            listen,
            check,
            forward,
            persistent,
            one_packet,
            unchecked: Cell::new(false),
            portless: Cell::new(false),
            unfinished: Cell::new(false),
            checks: OnceCell::new(),
        }
    }

    pub fn has_default_check(&self) -> bool {
        self.unchecked.get()
    }

    pub fn has_portless_default(&self) -> bool {
        self.portless.get()
    }

    /// With the places of their addresses. `checks`: those that were read so far.
    pub fn read(
        &self,
        reader: &mut Reader<'_>,
        section: &Section<'_, '_>,
        checks: &mut Shared,
    ) -> (Vec<RealServer>, BTreeMap<RealKey, Range<usize>>) {
        let help =
            "write [[virtual_server.real_server]] on a line of its own, and its keys on the lines below";
        let mut seen = BTreeMap::new();
        let sections = reader.tables(section, "real_server", &shape::REAL_SERVER, help);
        let mut servers = Vec::with_capacity(sections.len());
        servers.extend(
            sections
                .iter()
                .filter_map(|section| self.real_server(reader, section, None, &mut seen, checks)),
        );
        let sorry = section.value("sorry_server");
        let written = "write sorry_server = { address = \"172.16.0.20:80\" }";
        if let Some(sorry) = sorry.and_then(|value| reader.table(value, &shape::SORRY_SERVER, written)) {
            servers.extend(self.real_server(reader, &sorry, Some(Tier::Sorry), &mut seen, checks));
        }
        (servers, seen)
    }

    fn real_server(
        &self,
        reader: &mut Reader<'_>,
        section: &Section<'_, '_>,
        tier: Option<Tier>,
        seen: &mut BTreeMap<RealKey, Range<usize>>,
        checks: &mut Shared,
    ) -> Option<RealServer> {
        let address = self.address(reader, section, seen);
        let (weight, when_down, tier) = match tier {
            Some(tier) => (Some(Weight::ONE), Some(WhenDown::Remove), Some(tier)),
            None => part_of_the_load(reader, section),
        };
        let limit = match tier {
            Some(Tier::Sorry) => Some(Limit::default()),
            _ => limit(reader, section),
        };
        let own = section
            .value("check")
            .map(|value| CheckListKeys::read(reader, Some(value), self.topology));
        let says_anything = own.as_ref().is_some_and(CheckListKeys::says_anything);
        let merged = own.map(|own| own.over(reader, &self.check));
        let check = merged.as_ref().unwrap_or(&self.check);
        if check.looks_at_tcp_by_default() {
            self.unchecked.set(true);
        }
        if check.needs_the_port() && address.is_some_and(|address| address.port == 0) {
            self.portless.set(true);
        }
        if says_anything {
            check.judge(reader);
        }
        if !self.unfinished.get() {
            self.unfinished
                .set(check.judge_whole(reader, address.map(|address| address.address)));
        }
        Some(RealServer {
            address: address?,
            weight: weight?,
            forward: self.forward,
            when_down: when_down?,
            limit: limit?,
            tier: tier?,
            checks: match &merged {
                Some(check) => checks.list(check),
                None => self.checks.get_or_init(|| checks.list(&self.check)).clone(),
            },
        })
    }

    fn address(
        &self,
        reader: &mut Reader<'_>,
        section: &Section<'_, '_>,
        seen: &mut BTreeMap<RealKey, Range<usize>>,
    ) -> Option<RealKey> {
        let value = reader.required(
            section,
            "address",
            "add where the server is: address = \"172.16.0.11:80\"",
        )?;
        let key = self.server(reader, value)?;
        let wrong = self.misplaced(key.address);
        let wrong = wrong
            .or_else(|| self.misported(key))
            .or_else(|| self.misforwarded(key));
        if let Some(wrong) = wrong {
            reader.faults.add(value.span(), wrong);
        }
        // IPVS could tell two ports of one server apart; clients of several ports could not.
        let identity = RealKey {
            port: if self.listen.group { 0 } else { key.port },
            ..key
        };
        if let Some(first) = seen.get(&identity) {
            let help = format!(
                "first given on {}; for more of the load, give it a higher `weight`",
                reader.line(first)
            );
            reader.fault(
                value.span(),
                format!("the server {identity} is there twice"),
                help,
            );
        } else {
            seen.insert(identity, value.span());
        }
        Some(key)
    }

    /// `ADDRESS:PORT`, and for a service of several ports also `ADDRESS`.
    fn server(&self, reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<RealKey> {
        let bare = value.text().filter(|_| self.listen.group);
        let Some(address) = bare.and_then(|text| text.parse::<IpAddr>().ok()) else {
            let socket: SocketAddr = endpoint(reader, value, Purpose::Server)?;
            return Some(RealKey {
                address: socket.ip(),
                port: socket.port(),
            });
        };
        if let Some(wrong) = unusable(address, Purpose::Server) {
            reader.faults.add(value.span(), wrong);
            return None;
        }
        Some(RealKey { address, port: 0 })
    }

    /// Where a server of several ports cannot have all of them mapped to one.
    fn misported(&self, key: RealKey) -> Option<Wrong> {
        if !self.listen.group || key.port == 0 {
            return None;
        }
        let reason = if self.forward != Forward::Nat {
            format!(
                "with forward = \"{}\" packets arrive as they are",
                self.forward.as_str()
            )
        } else if self.persistent {
            // ip_vs_sched_persist: of a mark's service only a port that equals the service's, which is 0, is mapped.
            "with `persistence` IPVS maps no ports of such a service".to_owned()
        } else if self.one_packet {
            "with `one_packet` answers do not tell which of these ports was asked".to_owned()
        } else {
            return None;
        };
        let message = format!(
            "`{key}` cannot have the ports of its service mapped to {}",
            key.port
        );
        let help = format!("{reason}; give the address without a port: \"{}\"", key.address);
        Some(Wrong::new(message, help))
    }

    /// What a server cannot do that answers its clients by itself.
    fn misforwarded(&self, key: RealKey) -> Option<Wrong> {
        let forward = self.forward;
        if forward == Forward::Nat {
            return None;
        }
        if let Some(listen) = self.listen.endpoint().filter(|listen| listen.port != key.port) {
            let message = format!(
                "`{key}` has another port than its service, which listens on {}",
                listen.port
            );
            let help = format!(
                "with forward = \"{}\" packets arrive as they are; give the port {}",
                forward.as_str(),
                listen.port
            );
            return Some(Wrong::new(message, help));
        }
        if forward == Forward::Direct && self.topology.networks_of(key.address).next().is_none() {
            let message = format!("`{}` is on no network of the appliance", key.address);
            let help =
                "with forward = \"direct\" a server is reached by its MAC address; use \"tunnel\" or \"nat\"";
            return Some(Wrong::new(message, help));
        }
        None
    }

    /// Why traffic for this service cannot go to this address.
    fn misplaced(&self, address: IpAddr) -> Option<Wrong> {
        if let Some(interface) = self.topology.owner(address) {
            let message = format!("`{address}` is the appliance's own address");
            let help = format!(
                "it is one of {}; a server is another machine",
                self.topology.names[interface]
            );
            return Some(Wrong::new(message, help));
        }
        if let Some((what, network)) = self.topology.not_a_host(address) {
            let message = format!("`{address}` is {what} of {network}");
            return Some(Wrong::new(message, "give the address of the server itself"));
        }
        let listen = self.listen.address;
        let listen = listen.filter(|listen| listen.is_ipv4() != address.is_ipv4())?;
        let (ours, theirs) = (family(listen), family(address));
        let message = format!("`{address}` is {theirs}, and its service listens on {ours}");
        Some(Wrong::new(
            message,
            format!("a service stays within one family; give an {ours} address"),
        ))
    }
}
