//! The expressions of rules that change packets: whose address they take, where their ports lead, how long TCP's segments are.
//! What the kernel adds by itself is written too, so that a rule reads back as it was sent.
//! Must not: know sets.

use std::net::IpAddr;

use ipnet::IpNet;
use lb_core::model::IfName;
use lb_core::ruleset::{Family, Lent, PortForward, Way};
use nftnl::expr::{Cmp, CmpOp, Counter, Immediate, Masquerade, Meta, Register};
use nftnl::nftnl_sys::*;

use super::expressions::*;
use super::raw::{Bare, Number};

// include/uapi/linux/netfilter/nf_nat.h
const MAP_IPS: u32 = 1;
const PROTO_SPECIFIED: u32 = 2;
const PERSISTENT: u32 = 8;

/// Any number that is always the same: by it the kernel's hash gives every client its share.
const SEED: u32 = 0x6c62;

pub(super) fn masquerade(message: &mut nftnl::Rule<'_>, from: &IpNet, out: &IfName, to: Lent) {
    match_source(message, from);
    match_name(message, &Meta::OifName, out.as_str());
    let (first, last) = match to {
        Lent::Picked => {
            message.add_expr(&Counter);
            return message.add_expr(&Masquerade);
        }
        Lent::Range(first, last) => (first, last),
        Lent::Share { address, index, of } => {
            match_share(message, from, index, of);
            (address, address)
        }
    };
    message.add_expr(&Counter);
    load_address(message, first, Register::Reg1);
    let (last_register, flags) = match first == last {
        true => (Register::Reg1, MAP_IPS),
        false => {
            load_address(message, last, Register::Reg2);
            // A client keeps its address, whatever it connects to: the hash is of the source alone.
            (Register::Reg2, MAP_IPS | PERSISTENT)
        }
    };
    translate(message, libc::NFT_NAT_SNAT, first, last_register, None, flags);
}

/// Clients are spread by a hash of their addresses.
fn match_share(message: &mut nftnl::Rule<'_>, from: &IpNet, index: u32, of: u32) {
    let v4 = from.addr().is_ipv4();
    load_source(message, v4);
    message.add_expr(&Bare {
        name: c"hash",
        numbers: &[
            (NFTNL_EXPR_HASH_SREG, Number::Word(NFT_REG_1)),
            (NFTNL_EXPR_HASH_DREG, Number::Word(NFT_REG_1)),
            (NFTNL_EXPR_HASH_LEN, Number::Word(if v4 { 4 } else { 16 })),
            (NFTNL_EXPR_HASH_MODULUS, Number::Word(of)),
            (NFTNL_EXPR_HASH_SEED, Number::Word(SEED)),
        ],
    });
    message.add_expr(&Cmp::new(CmpOp::Eq, index));
}

pub(super) fn forward(message: &mut nftnl::Rule<'_>, forward: &PortForward) {
    match_family(message, forward.address.is_ipv4());
    match_destination(message, forward.address);
    match_protocol(message, forward);
    match_port(message, forward.first, forward.last);
    if let Some(from) = &forward.from {
        match_source_within(message, from);
    }
    message.add_expr(&Counter);
    load_address(message, forward.to, Register::Reg1);
    let mut flags = MAP_IPS;
    let port = forward.to_port.map(|port| {
        message.add_expr(&Immediate::new(port.to_be_bytes(), Register::Reg2));
        flags |= PROTO_SPECIFIED;
        Register::Reg2
    });
    translate(
        message,
        libc::NFT_NAT_DNAT,
        forward.to,
        Register::Reg1,
        port,
        flags,
    );
}

/// New connections that this very forward has sent on their way, and no others.
pub(super) fn match_forward(message: &mut nftnl::Rule<'_>, forward: &PortForward) {
    match_family(message, forward.address.is_ipv4());
    match_destination(message, forward.to);
    match_protocol(message, forward);
    match_forwarded(message);
    match_original_destination(message, forward.address, forward.first, forward.last);
    if let Some(from) = &forward.from {
        match_source_within(message, from);
    }
}

fn match_protocol(message: &mut nftnl::Rule<'_>, forward: &PortForward) {
    match_byte(message, &Meta::L4Proto, forward.protocol.number());
}

pub(super) fn hairpin_forwarded(message: &mut nftnl::Rule<'_>, from: &IpNet, out: &IfName) {
    match_source(message, from);
    match_name(message, &Meta::OifName, out.as_str());
    match_forwarded(message);
    message.add_expr(&Counter);
    message.add_expr(&Masquerade);
}

/// The kernel only ever lowers the option (nft_exthdr_tcp_set_eval).
pub(super) fn clamp_mss(message: &mut nftnl::Rule<'_>, link: &IfName, way: Way, family: Family, bytes: u16) {
    // TCPOPT_MSS, and where its value stands in it (RFC 9293 section 3.2).
    const OPTION: u8 = 2;
    const VALUE_AT: u32 = 2;
    const VALUE_LENGTH: u32 = 2;
    const NFT_EXTHDR_OP_TCPOPT: u32 = 1;
    let name = match way {
        Way::In => Meta::IifName,
        Way::Out => Meta::OifName,
    };
    match_name(message, &name, link.as_str());
    match_family(message, family == Family::V4);
    match_syn(message);
    message.add_expr(&Counter);
    message.add_expr(&Immediate::new(bytes.to_be_bytes(), Register::Reg1));
    message.add_expr(&Bare {
        name: c"exthdr",
        numbers: &[
            (NFTNL_EXPR_EXTHDR_SREG, Number::Word(NFT_REG_1)),
            (NFTNL_EXPR_EXTHDR_TYPE, Number::Byte(OPTION)),
            (NFTNL_EXPR_EXTHDR_OFFSET, Number::Word(VALUE_AT)),
            (NFTNL_EXPR_EXTHDR_LEN, Number::Word(VALUE_LENGTH)),
            (NFTNL_EXPR_EXTHDR_OP, Number::Word(NFT_EXTHDR_OP_TCPOPT)),
        ],
    });
}

fn load_address(message: &mut nftnl::Rule<'_>, address: IpAddr, register: Register) {
    match address {
        IpAddr::V4(v4) => message.add_expr(&Immediate::new(v4.octets(), register)),
        IpAddr::V6(v6) => message.add_expr(&Immediate::new(v6.octets(), register)),
    }
}

/// Addresses from register 1 to `last`, and a port if there is one.
fn translate(
    message: &mut nftnl::Rule<'_>,
    kind: libc::c_int,
    address: IpAddr,
    last: Register,
    port: Option<Register>,
    flags: u32,
) {
    let family = match address {
        IpAddr::V4(_) => libc::NFPROTO_IPV4,
        IpAddr::V6(_) => libc::NFPROTO_IPV6,
    };
    let mut numbers = vec![
        (NFTNL_EXPR_NAT_TYPE, kind as u32),
        (NFTNL_EXPR_NAT_FAMILY, family as u32),
        (NFTNL_EXPR_NAT_REG_ADDR_MIN, Register::Reg1.to_raw()),
        (NFTNL_EXPR_NAT_REG_ADDR_MAX, last.to_raw()),
        (NFTNL_EXPR_NAT_FLAGS, flags),
    ];
    if let Some(port) = port {
        numbers.push((NFTNL_EXPR_NAT_REG_PROTO_MIN, port.to_raw()));
        numbers.push((NFTNL_EXPR_NAT_REG_PROTO_MAX, port.to_raw()));
    }
    let numbers: Vec<(u32, Number)> = numbers
        .into_iter()
        .map(|(attribute, number)| (attribute, Number::Word(number)))
        .collect();
    message.add_expr(&Bare {
        name: c"nat",
        numbers: &numbers,
    });
}
