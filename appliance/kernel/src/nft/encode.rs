//! Rules as nf_tables messages. The whole table is one batch: add, delete and add the table, then its sets, chains and rules.
//! The kernel takes the batch whole or not at all, and nothing of the old table is left (deleting needs it to exist, hence the
//! first add).

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use lb_core::model::IfName;
use lb_core::ports::KernelFault;
use lb_core::ruleset::{Rule, Ruleset};
use nftnl::expr::{
    Bitwise, Cmp, CmpOp, Conntrack, Counter, Immediate, Ipv4HeaderField, Ipv6HeaderField, Lookup, Masquerade,
    Meta, Nat, NatType, NetworkHeaderField, Payload, Register, States, TcpHeaderField, TransportHeaderField,
    Verdict,
};
use nftnl::nftnl_sys::{NFTNL_EXPR_META_DREG, NFTNL_EXPR_PAYLOAD_DREG};
use nftnl::set::Set;
use nftnl::{Batch, Chain, FinalizedBatch, MsgType, ProtoFamily, Table};

use super::BaseChain;
use super::raw::{ConntrackOriginal, IntoRegister, ToOneAddress};
use super::services::{Key, Key4, Key6, ServiceSet};
use crate::fault;

/// Registers of 4 bytes as the kernel reports them back: those at a multiple of 16 bytes by the old names
/// (nft_dump_register). The key's address starts at NFT_REG_1 = NFT_REG32_00.
const NFT_REG_1: u32 = 1;
const NFT_REG32_01: u32 = 9;
const NFT_REG32_02: u32 = 10;
/// = NFT_REG32_04.
const NFT_REG_2: u32 = 2;
const NFT_REG32_05: u32 = 13;

/// A batch, and what each of its messages is for.
pub(super) struct Transaction {
    pub batch: FinalizedBatch,
    lines: Vec<String>,
}

impl Transaction {
    /// The message with this sequence number, in words.
    pub(super) fn line(&self, sequence: u32) -> &str {
        let numbers = self.batch.sequence_numbers();
        // Where the kernel acknowledges the batch's begin and end, they have numbers of their own.
        let framed = numbers.len() == self.lines.len() + 2;
        let first = numbers.start + u32::from(framed);
        let index = sequence
            .checked_sub(first)
            .and_then(|i| self.lines.get(i as usize));
        index.map_or("the batch's frame", String::as_str)
    }
}

struct Writer {
    batch: Batch,
    lines: Vec<String>,
}

impl Writer {
    fn new() -> Writer {
        Writer {
            batch: Batch::new(),
            lines: Vec::new(),
        }
    }

    fn write(&mut self, message: &impl nftnl::NlMsg, kind: MsgType, what: impl Into<String>) {
        let verb = match kind {
            MsgType::Add => "add",
            MsgType::Del => "delete",
        };
        self.batch.add(message, kind);
        self.lines.push(format!("{verb} {}", what.into()));
    }

    fn finish(self) -> Transaction {
        Transaction {
            batch: self.batch.finalize(),
            lines: self.lines,
        }
    }
}

fn table() -> Table {
    let name = CString::new(lb_core::ruleset::TABLE).expect("the table's name holds no NUL");
    Table::new(name, ProtoFamily::Inet)
}

/// Removes the table, whether or not it exists.
pub(super) fn removal() -> Transaction {
    let table = table();
    let mut writer = Writer::new();
    writer.write(&table, MsgType::Add, "table");
    writer.write(&table, MsgType::Del, "table");
    writer.finish()
}

/// Puts `rules` in the place of whatever the table holds.
pub(super) fn replacement(rules: &Ruleset) -> Result<Transaction, KernelFault> {
    let table = table();
    let mut writer = Writer::new();
    writer.write(&table, MsgType::Add, "table");
    writer.write(&table, MsgType::Del, "table");
    writer.write(&table, MsgType::Add, "table");
    let sets = Sets::new(&table, rules.services.iter().copied().map(Key::from));
    sets.write(&mut writer);
    for base in BaseChain::ALL {
        let chain = chain(base, &table);
        writer.write(&chain, MsgType::Add, format!("chain {}", base.name()));
        for rule in base.rules(rules) {
            let message = encode(rule, &chain, &sets)?;
            writer.write(&message, MsgType::Add, format!("rule `{rule}`"));
        }
    }
    Ok(writer.finish())
}

/// The message that adds one rule, to compare with what the kernel reports; `None` for a foreign rule.
pub(super) fn sample(base: BaseChain, rule: &Rule) -> Option<Transaction> {
    let table = table();
    let sets = Sets::new(&table, std::iter::empty());
    let chain = chain(base, &table);
    let mut writer = Writer::new();
    let message = encode(rule, &chain, &sets).ok()?;
    writer.write(&message, MsgType::Add, format!("rule `{rule}`"));
    Some(writer.finish())
}

impl BaseChain {
    fn rules(self, rules: &Ruleset) -> &[Rule] {
        match self {
            BaseChain::Input => &rules.input,
            BaseChain::Forward => &rules.forward,
            BaseChain::Postrouting => &rules.postrouting,
        }
    }
}

fn chain(base: BaseChain, table: &Table) -> Chain<'_> {
    let (kind, hook, priority, policy) = base.place();
    let name = CString::new(base.name()).expect("a chain's name holds no NUL");
    let mut chain = Chain::new(name, table);
    chain.set_hook(hook, priority);
    chain.set_type(kind);
    chain.set_policy(policy);
    chain
}

struct Sets<'t> {
    v4: Set<'t, Key4>,
    v6: Set<'t, Key6>,
}

impl<'t> Sets<'t> {
    fn new(table: &'t Table, keys: impl Iterator<Item = Key>) -> Sets<'t> {
        let mut sets = Sets {
            v4: Set::new_named(ServiceSet::V4.c_name(), 1, table, ProtoFamily::Inet),
            v6: Set::new_named(ServiceSet::V6.c_name(), 2, table, ProtoFamily::Inet),
        };
        for key in keys {
            match key {
                Key::V4(key) => sets.v4.add(&key),
                Key::V6(key) => sets.v6.add(&key),
            }
        }
        sets
    }

    /// The sets, and their elements in as many messages as the length of an attribute (64 KiB) asks for.
    fn write(&self, writer: &mut Writer) {
        writer.write(&self.v4, MsgType::Add, "set services4");
        writer.write(&self.v6, MsgType::Add, "set services6");
        for elements in self.v4.elems_iter() {
            writer.write(&elements, MsgType::Add, "elements of services4");
        }
        for elements in self.v6.elems_iter() {
            writer.write(&elements, MsgType::Add, "elements of services6");
        }
    }
}

fn encode<'c>(rule: &Rule, chain: &'c Chain<'c>, sets: &Sets<'_>) -> Result<nftnl::Rule<'c>, KernelFault> {
    let mut message = nftnl::Rule::new(chain);
    let end = match rule {
        Rule::AcceptLoopback => {
            match_name(&mut message, &Meta::IifName, "lo");
            Verdict::Accept
        }
        Rule::AcceptEstablished => {
            match_state(&mut message, States::ESTABLISHED | States::RELATED);
            Verdict::Accept
        }
        Rule::AcceptIcmp => {
            match_byte(&mut message, &Meta::L4Proto, libc::IPPROTO_ICMP as u8);
            Verdict::Accept
        }
        Rule::AcceptIcmpv6 => {
            match_byte(&mut message, &Meta::L4Proto, libc::IPPROTO_ICMPV6 as u8);
            Verdict::Accept
        }
        Rule::AcceptServices4 => {
            match_services4(&mut message, &sets.v4);
            Verdict::Accept
        }
        Rule::AcceptServices6 => {
            match_services6(&mut message, &sets.v6);
            Verdict::Accept
        }
        Rule::DropNewFrom(link) => {
            match_name(&mut message, &Meta::IifName, link.as_str());
            match_state(&mut message, States::NEW);
            Verdict::Drop
        }
        Rule::Masquerade { from, out, to } => {
            masquerade(&mut message, from, out, *to);
            return comment(message, rule);
        }
        Rule::Hairpin { from, out } => {
            hairpin(&mut message, from, out, sets);
            return comment(message, rule);
        }
        Rule::Foreign(text) => {
            return Err(fault::plain(format!("`{text}` is not a rule of ours")));
        }
    };
    message.add_expr(&Counter);
    message.add_expr(&end);
    comment(message, rule)
}

fn masquerade(message: &mut nftnl::Rule<'_>, from: &IpNet, out: &IfName, to: Option<IpAddr>) {
    match_source(message, from);
    match_name(message, &Meta::OifName, out.as_str());
    message.add_expr(&Counter);
    let family = match to {
        None => return message.add_expr(&Masquerade),
        Some(IpAddr::V4(to)) => {
            message.add_expr(&Immediate::new(to.octets(), Register::Reg1));
            ProtoFamily::Ipv4
        }
        Some(IpAddr::V6(to)) => {
            message.add_expr(&Immediate::new(to.octets(), Register::Reg1));
            ProtoFamily::Ipv6
        }
    };
    message.add_expr(&ToOneAddress(Nat {
        nat_type: NatType::SNat,
        family,
        ip_register: Register::Reg1,
        port_register: None,
    }));
}

/// The service that the client asked for is the original direction's destination; by now that of the packet is a server.
fn hairpin(message: &mut nftnl::Rule<'_>, from: &IpNet, out: &IfName, sets: &Sets<'_>) {
    match_source(message, from);
    match_name(message, &Meta::OifName, out.as_str());
    let (address, protocol, port) = match from {
        IpNet::V4(_) => (libc::NFT_CT_DST_IP, NFT_REG32_01, NFT_REG32_02),
        IpNet::V6(_) => (libc::NFT_CT_DST_IP6, NFT_REG_2, NFT_REG32_05),
    };
    message.add_expr(&ConntrackOriginal {
        key: address as u32,
        register: NFT_REG_1,
    });
    message.add_expr(&IntoRegister {
        load: Meta::L4Proto,
        attribute: NFTNL_EXPR_META_DREG as u16,
        register: protocol,
    });
    message.add_expr(&ConntrackOriginal {
        key: libc::NFT_CT_PROTO_DST as u32,
        register: port,
    });
    match from {
        IpNet::V4(_) => message.add_expr(&Lookup::new(&sets.v4)),
        IpNet::V6(_) => message.add_expr(&Lookup::new(&sets.v6)),
    }
    message.add_expr(&Counter);
    message.add_expr(&Masquerade);
}

fn comment<'c>(mut message: nftnl::Rule<'c>, rule: &Rule) -> Result<nftnl::Rule<'c>, KernelFault> {
    let line = CString::new(rule.to_string()).expect("a rule's line holds no NUL");
    message.set_comment(line).map_err(fault::plain)?;
    Ok(message)
}

/// The whole name with its padding, as nft writes it: a shorter comparison would be a prefix (`eth*`).
fn match_name(message: &mut nftnl::Rule<'_>, key: &Meta, name: &str) {
    let mut padded = [0; libc::IFNAMSIZ];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    message.add_expr(key);
    message.add_expr(&Cmp::new(CmpOp::Eq, &padded[..]));
}

fn match_byte(message: &mut nftnl::Rule<'_>, key: &Meta, value: u8) {
    message.add_expr(key);
    message.add_expr(&Cmp::new(CmpOp::Eq, value));
}

fn match_state(message: &mut nftnl::Rule<'_>, states: States) {
    message.add_expr(&Conntrack::State);
    message.add_expr(&Bitwise::new(states.bits(), 0u32));
    message.add_expr(&Cmp::new(CmpOp::Neq, 0u32));
}

fn match_source(message: &mut nftnl::Rule<'_>, from: &IpNet) {
    let (family, field, zero) = match from {
        IpNet::V4(_) => (
            libc::NFPROTO_IPV4,
            NetworkHeaderField::Ipv4(Ipv4HeaderField::Saddr),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ),
        IpNet::V6(_) => (
            libc::NFPROTO_IPV6,
            NetworkHeaderField::Ipv6(Ipv6HeaderField::Saddr),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ),
    };
    match_byte(message, &Meta::NfProto, family as u8);
    if from.prefix_len() == 0 {
        return;
    }
    message.add_expr(&Payload::Network(field));
    if from.prefix_len() < from.max_prefix_len() {
        message.add_expr(&Bitwise::new(from.netmask(), zero));
    }
    message.add_expr(&Cmp::new(CmpOp::Eq, from.network()));
}

fn match_services4(message: &mut nftnl::Rule<'_>, set: &Set<'_, Key4>) {
    let address = NetworkHeaderField::Ipv4(Ipv4HeaderField::Daddr);
    match_byte(message, &Meta::NfProto, libc::NFPROTO_IPV4 as u8);
    message.add_expr(&Payload::Network(address));
    load_protocol_and_port(message, NFT_REG32_01, NFT_REG32_02);
    message.add_expr(&Lookup::new(set));
}

fn match_services6(message: &mut nftnl::Rule<'_>, set: &Set<'_, Key6>) {
    let address = NetworkHeaderField::Ipv6(Ipv6HeaderField::Daddr);
    match_byte(message, &Meta::NfProto, libc::NFPROTO_IPV6 as u8);
    message.add_expr(&Payload::Network(address));
    load_protocol_and_port(message, NFT_REG_2, NFT_REG32_05);
    message.add_expr(&Lookup::new(set));
}

fn load_protocol_and_port(message: &mut nftnl::Rule<'_>, protocol: u32, port: u32) {
    message.add_expr(&IntoRegister {
        load: Meta::L4Proto,
        attribute: NFTNL_EXPR_META_DREG as u16,
        register: protocol,
    });
    // The destination port is at the same place for every transport protocol that has ports.
    message.add_expr(&IntoRegister {
        load: Payload::Transport(TransportHeaderField::Tcp(TcpHeaderField::Dport)),
        attribute: NFTNL_EXPR_PAYLOAD_DREG as u16,
        register: port,
    });
}
