//! The table `inet lb` read back. Everything in it that is not just as we would write it becomes a foreign rule in the chain
//! where it acts (else in `input`), so that a comparison with the wanted rules sees it.

use std::collections::{BTreeMap, BTreeSet};

use lb_core::model::IfName;
use lb_core::ports::KernelFault;
use lb_core::ruleset::{Chain, ChainKind, Hook, Rule, Ruleset, TABLE};

use super::canonical::{SeenRule, packets};
use super::fast;
use super::maps::Map;
use super::message::{ATTR_TABLE, Attributes, Get};
use super::read_sets;
use super::socket::Socket;
use crate::fault;

// include/uapi/linux/netfilter/nf_tables.h
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_CHAIN_FLAGS: u16 = 10;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFT_CHAIN_BASE: u32 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFTA_GEN_ID: u16 = 1;
/// NFTA_OBJ_NAME and NFTA_FLOWTABLE_NAME.
const OBJECT_NAME: u16 = 2;

/// A table that changes between the parts of the dump is read again, this many times.
const ATTEMPTS: usize = 50;

/// The table as it is, and how far its frame is ours.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub rules: Ruleset,
    /// Our chains that are there and are as made, with rules or without.
    pub chains: BTreeSet<Chain>,
    pub maps: Vec<Map>,
    /// Something is not as made that is neither a rule in one of our chains nor an element: a chain, a set, a stray element,
    /// the table's flags.
    pub is_bent: bool,
}

pub(super) fn table(socket: &mut Socket) -> Result<Option<Held>, KernelFault> {
    Ok(table_at(socket)?.1)
}

/// The table, and the generation of which it is.
pub(super) fn table_at(socket: &mut Socket) -> Result<(u32, Option<Held>), KernelFault> {
    for _ in 0..ATTEMPTS {
        let before = generation(socket)?;
        let seen = attempt(socket);
        if generation(socket)? == before {
            return Ok((before, seen?));
        }
    }
    Err(fault::plain("nf_tables kept changing while it was read"))
}

/// The number of transactions so far, in this network namespace.
pub(super) fn generation(socket: &mut Socket) -> Result<u32, KernelFault> {
    let mut generation = 0;
    socket.ask(Get::Generation, None, |message| {
        generation = Attributes::of_message(message.payload)?.number(NFTA_GEN_ID);
        Ok(())
    })?;
    Ok(generation)
}

fn attempt(socket: &mut Socket) -> Result<Option<Held>, KernelFault> {
    let mut flags = 0;
    let asked = socket.ask(Get::Table, None, |message| {
        flags = Attributes::of_message(message.payload)?.number(NFTA_TABLE_FLAGS);
        Ok(())
    });
    match asked {
        Err(fault) if fault.errno == Some(libc::ENOENT) => return Ok(None),
        other => other?,
    }
    let mut seen = Held::default();
    if flags != 0 {
        seen.foreign(Chain::Input, format!("table flags {flags:#x}"));
    }
    read_rules(socket, &mut seen)?;
    read_chains(socket, &mut seen)?;
    read_sets::read(socket, &mut seen)?;
    for_ours(socket, Get::Objects, |attributes| {
        let name = attributes.text(OBJECT_NAME);
        seen.foreign(Chain::Input, format!("object {name}"));
        Ok(())
    })?;
    for flowtable in flowtables(socket)? {
        match flowtable {
            Flowtable::Ours(links) => seen.rules.fast.offload.extend(links),
            Flowtable::Foreign(name) => seen.foreign(Chain::Forward, format!("flowtable {name}")),
        }
    }
    Ok(Some(seen))
}

pub(super) enum Flowtable {
    Ours(Vec<IfName>),
    Foreign(String),
}

pub(super) fn flowtables(socket: &mut Socket) -> Result<Vec<Flowtable>, KernelFault> {
    let mut seen = Vec::new();
    for_ours(socket, Get::Flowtables, |attributes| {
        let name = || Flowtable::Foreign(attributes.text(OBJECT_NAME));
        seen.push(fast::flowtable_links(attributes)?.map_or_else(name, Flowtable::Ours));
        Ok(())
    })?;
    Ok(seen)
}

impl Held {
    /// What is not as made, for the comparison to see.
    pub(super) fn foreign(&mut self, chain: Chain, text: String) {
        self.is_bent = true;
        self.rules.push(chain, Rule::Foreign(text));
    }
}

/// Asks for all of a kind, and hands over those of our table.
pub(super) fn for_ours(
    socket: &mut Socket,
    get: Get,
    mut each: impl FnMut(&Attributes<'_>) -> Result<(), KernelFault>,
) -> Result<(), KernelFault> {
    socket.ask(get, None, |message| {
        let attributes = Attributes::of_message(message.payload)?;
        if attributes.text(ATTR_TABLE) == TABLE {
            each(&attributes)?;
        }
        Ok(())
    })
}

fn read_rules(socket: &mut Socket, seen: &mut Held) -> Result<(), KernelFault> {
    for_ours(socket, Get::Rules, |attributes| {
        let rule = SeenRule::parse(attributes)?;
        match Chain::ALL.into_iter().find(|b| b.name() == rule.chain) {
            Some(base) => seen.rules.push(base, rule.identify(base)?),
            None => seen.foreign(Chain::Input, rule.describe()),
        }
        Ok(())
    })
}

pub(super) fn translated(socket: &mut Socket) -> Result<Vec<(Rule, u64)>, KernelFault> {
    let mut counted = Vec::new();
    for_ours(socket, Get::Rules, |attributes| {
        let seen = SeenRule::parse(attributes)?;
        let chain = Chain::ALL.into_iter().find(|chain| chain.name() == seen.chain);
        if let Some(chain) = chain.filter(|chain| chain.place().kind == ChainKind::Nat) {
            counted.push((seen.identify(chain)?, packets(attributes)?));
        }
        Ok(())
    })?;
    Ok(counted)
}

/// A chain's own properties.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenChain {
    kind: String,
    hook: u32,
    priority: i32,
    policy: u32,
    flags: u32,
}

impl SeenChain {
    fn parse(attributes: &Attributes<'_>) -> Result<SeenChain, KernelFault> {
        let hook = Attributes::parse(attributes.bytes(NFTA_CHAIN_HOOK))?;
        Ok(SeenChain {
            kind: attributes.text(NFTA_CHAIN_TYPE),
            hook: hook.number(NFTA_HOOK_HOOKNUM),
            priority: hook.number(NFTA_HOOK_PRIORITY) as i32,
            policy: attributes.number(NFTA_CHAIN_POLICY),
            flags: attributes.number(NFTA_CHAIN_FLAGS),
        })
    }

    fn wanted(base: Chain) -> SeenChain {
        let place = base.place();
        let kind = match place.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        };
        SeenChain {
            kind: kind.to_owned(),
            hook: hook_number(place.hook),
            priority: place.priority,
            policy: if place.drops { NF_DROP } else { NF_ACCEPT },
            flags: NFT_CHAIN_BASE,
        }
    }

    /// Where a chain that is not ours acts.
    fn nearest(&self) -> Chain {
        let is_base = self.flags & NFT_CHAIN_BASE != 0;
        match self.hook as i32 {
            libc::NF_INET_FORWARD if is_base => Chain::Forward,
            libc::NF_INET_POST_ROUTING if is_base => Chain::Postrouting,
            _ => Chain::Input,
        }
    }
}

fn hook_number(hook: Hook) -> u32 {
    let number = match hook {
        Hook::Prerouting => libc::NF_INET_PRE_ROUTING,
        Hook::Input => libc::NF_INET_LOCAL_IN,
        Hook::Forward => libc::NF_INET_FORWARD,
        Hook::Output => libc::NF_INET_LOCAL_OUT,
        Hook::Postrouting => libc::NF_INET_POST_ROUTING,
    };
    number as u32
}

fn read_chains(socket: &mut Socket, seen: &mut Held) -> Result<(), KernelFault> {
    let mut chains = BTreeMap::new();
    for_ours(socket, Get::Chains, |attributes| {
        let chain = SeenChain::parse(attributes)?;
        chains.insert(attributes.text(NFTA_CHAIN_NAME), chain);
        Ok(())
    })?;
    for base in Chain::ALL {
        let name = base.name();
        match chains.remove(name) {
            // Without its chain there is no rule of it either, which the comparison sees.
            None if !base.place().drops => {}
            None => {
                let missing = Rule::Foreign(format!("chain {name} is missing"));
                seen.rules.push(base, missing);
            }
            Some(chain) if chain != SeenChain::wanted(base) => seen.foreign(
                base,
                format!(
                    "chain {name}: type {} hook {} priority {} policy {} flags {:#x}",
                    chain.kind, chain.hook, chain.priority, chain.policy, chain.flags
                ),
            ),
            Some(_) => {
                seen.chains.insert(base);
                if !seen.rules.has(base) {
                    let empty = Rule::Foreign(format!("chain {name} is empty"));
                    seen.rules.push(base, empty);
                }
            }
        }
    }
    for (name, chain) in chains {
        seen.foreign(chain.nearest(), format!("chain {name}"));
    }
    Ok(())
}
