//! The expressions that rules are made of: matches on names, states, addresses and ports.
//! Must not: know rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use lb_core::check::ProbeCookie;
use lb_core::model::IfName;
use lb_core::ports::KernelFault;
use nftnl::expr::{
    Bitwise, Cmp, CmpOp, Conntrack, ConntrackStatus, Ipv4HeaderField, Ipv6HeaderField, Lookup, Meta,
    NetworkHeaderField, Payload, States, TcpHeaderField, TransportHeaderField,
};
use nftnl::nftnl_sys::{
    NFTNL_EXPR_CT_DIR, NFTNL_EXPR_CT_DREG, NFTNL_EXPR_CT_KEY, NFTNL_EXPR_LOOKUP_SET,
    NFTNL_EXPR_LOOKUP_SET_ID, NFTNL_EXPR_LOOKUP_SREG, NFTNL_EXPR_META_DREG, NFTNL_EXPR_PAYLOAD_DREG,
};
use nftnl::set::Set;
use nix::net::if_::if_nametoindex;

use super::fast::FastSet;
use super::raw::{Bare, IntoRegister, Naming, Number};
use super::services::{Key4, Key6};
use crate::fault;

/// Registers of 4 bytes as the kernel reports them back: those at a multiple of 16 bytes by the old names
/// (nft_dump_register). The key's address starts at NFT_REG_1 = NFT_REG32_00.
pub(super) const NFT_REG_1: u32 = 1;
pub(super) const NFT_REG32_01: u32 = 9;
pub(super) const NFT_REG32_02: u32 = 10;
/// = NFT_REG32_04.
pub(super) const NFT_REG_2: u32 = 2;
pub(super) const NFT_REG32_05: u32 = 13;

/// The whole name with its padding, as nft writes it: a shorter comparison would be a prefix (`eth*`).
pub(super) fn match_name(message: &mut nftnl::Rule<'_>, key: &Meta, name: &str) {
    let mut padded = [0; libc::IFNAMSIZ];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    message.add_expr(key);
    message.add_expr(&Cmp::new(CmpOp::Eq, &padded[..]));
}

pub(super) fn match_byte(message: &mut nftnl::Rule<'_>, key: &Meta, value: u8) {
    message.add_expr(key);
    message.add_expr(&Cmp::new(CmpOp::Eq, value));
}

pub(super) fn match_state(message: &mut nftnl::Rule<'_>, states: States) {
    message.add_expr(&Conntrack::State);
    message.add_expr(&Bitwise::new(states.bits(), 0u32));
    message.add_expr(&Cmp::new(CmpOp::Neq, 0u32));
}

pub(super) fn match_family(message: &mut nftnl::Rule<'_>, v4: bool) {
    let family = if v4 {
        libc::NFPROTO_IPV4
    } else {
        libc::NFPROTO_IPV6
    };
    match_byte(message, &Meta::NfProto, family as u8);
}

pub(super) fn match_source(message: &mut nftnl::Rule<'_>, from: &IpNet) {
    match_family(message, from.addr().is_ipv4());
    match_source_within(message, from);
}

/// The same when the family is known.
pub(super) fn match_source_within(message: &mut nftnl::Rule<'_>, from: &IpNet) {
    if from.prefix_len() == 0 {
        return;
    }
    load_source(message, from.addr().is_ipv4());
    match_loaded_net(message, from);
}

fn match_loaded_net(message: &mut nftnl::Rule<'_>, net: &IpNet) {
    compare_loaded_net(message, CmpOp::Eq, net);
}

fn compare_loaded_net(message: &mut nftnl::Rule<'_>, operator: CmpOp, net: &IpNet) {
    if net.prefix_len() < net.max_prefix_len() {
        let zero = match net {
            IpNet::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        message.add_expr(&Bitwise::new(net.netmask(), zero));
    }
    message.add_expr(&Cmp::new(operator, net.network()));
}

pub(super) fn load_source(message: &mut nftnl::Rule<'_>, v4: bool) {
    message.add_expr(&Payload::Network(match v4 {
        true => NetworkHeaderField::Ipv4(Ipv4HeaderField::Saddr),
        false => NetworkHeaderField::Ipv6(Ipv6HeaderField::Saddr),
    }));
}

/// When the family is known.
pub(super) fn match_destination(message: &mut nftnl::Rule<'_>, to: IpAddr) {
    message.add_expr(&Payload::Network(match to {
        IpAddr::V4(_) => NetworkHeaderField::Ipv4(Ipv4HeaderField::Daddr),
        IpAddr::V6(_) => NetworkHeaderField::Ipv6(Ipv6HeaderField::Daddr),
    }));
    message.add_expr(&Cmp::new(CmpOp::Eq, to));
}

/// The destination port is at the same place for every transport protocol that has ports.
pub(super) fn match_port(message: &mut nftnl::Rule<'_>, first: u16, last: u16) {
    let field = TransportHeaderField::Tcp(TcpHeaderField::Dport);
    message.add_expr(&Payload::Transport(field));
    match_loaded_port(message, first, last);
}

fn match_loaded_port(message: &mut nftnl::Rule<'_>, first: u16, last: u16) {
    let (low, high) = (first.to_be_bytes(), last.to_be_bytes());
    if first == last {
        return message.add_expr(&Cmp::new(CmpOp::Eq, &low[..]));
    }
    message.add_expr(&Cmp::new(CmpOp::Gte, &low[..]));
    message.add_expr(&Cmp::new(CmpOp::Lte, &high[..]));
}

/// Connections whose destination was changed.
pub(super) fn match_forwarded(message: &mut nftnl::Rule<'_>) {
    message.add_expr(&Conntrack::Status);
    message.add_expr(&Bitwise::new(ConntrackStatus::DST_NAT.bits(), 0u32));
    message.add_expr(&Cmp::new(CmpOp::Neq, 0u32));
}

/// What the connection's first packet was sent to.
pub(super) fn match_original_destination(
    message: &mut nftnl::Rule<'_>,
    address: IpAddr,
    first: u16,
    last: u16,
) {
    let key = match address {
        IpAddr::V4(_) => libc::NFT_CT_DST_IP,
        IpAddr::V6(_) => libc::NFT_CT_DST_IP6,
    };
    load_original(message, key as u32, NFT_REG_1);
    message.add_expr(&Cmp::new(CmpOp::Eq, address));
    load_original(message, libc::NFT_CT_PROTO_DST as u32, NFT_REG_1);
    match_loaded_port(message, first, last);
}

/// `ct original ...`: a field of the tuple that the connection's first packet had. `key`: NFT_CT_*.
pub(super) fn load_original(message: &mut nftnl::Rule<'_>, key: u32, register: u32) {
    const IP_CT_DIR_ORIGINAL: u8 = 0;
    message.add_expr(&Bare {
        name: c"ct",
        numbers: &[
            (NFTNL_EXPR_CT_KEY, Number::Word(key)),
            (NFTNL_EXPR_CT_DREG, Number::Word(register)),
            (NFTNL_EXPR_CT_DIR, Number::Byte(IP_CT_DIR_ORIGINAL)),
        ],
    });
}

/// In bytes, whatever nftnl calls them.
const TCP_FLAGS: TransportHeaderField = TransportHeaderField::Raw {
    offset_bits: 13,
    length_bits: 1,
};

/// TCP packets that begin a connection, in either direction.
pub(super) fn match_syn(message: &mut nftnl::Rule<'_>) {
    const SYN: u8 = 0x02;
    match_byte(message, &Meta::L4Proto, libc::IPPROTO_TCP as u8);
    message.add_expr(&Payload::Transport(TCP_FLAGS));
    message.add_expr(&Bitwise::new(SYN, 0u8));
    message.add_expr(&Cmp::new(CmpOp::Neq, 0u8));
}

/// TCP packets with one of two combinations of these flags, between which there is none.
pub(super) fn match_flags_within(message: &mut nftnl::Rule<'_>, of: u8, (first, last): (u8, u8)) {
    message.add_expr(&Payload::Transport(TCP_FLAGS));
    message.add_expr(&Bitwise::new(of, 0u8));
    message.add_expr(&Cmp::new(CmpOp::Gte, first));
    message.add_expr(&Cmp::new(CmpOp::Lte, last));
}

/// The first half of the number that a TCP segment acknowledges, in bytes as well.
const TCP_ACKNOWLEDGED: TransportHeaderField = TransportHeaderField::Raw {
    offset_bits: 8,
    length_bits: 2,
};

/// TCP segments that acknowledge a number that begins with this.
pub(super) fn match_acknowledged(message: &mut nftnl::Rule<'_>, cookie: ProbeCookie) {
    message.add_expr(&Payload::Transport(TCP_ACKNOWLEDGED));
    message.add_expr(&Cmp::new(CmpOp::Eq, &cookie.0.to_be_bytes()[..]));
}

pub(super) fn match_services4(message: &mut nftnl::Rule<'_>, set: &Set<'_, Key4>) {
    match_byte(message, &Meta::NfProto, libc::NFPROTO_IPV4 as u8);
    load_key4(message);
    message.add_expr(&Lookup::new(set));
}

pub(super) fn match_services6(message: &mut nftnl::Rule<'_>, set: &Set<'_, Key6>) {
    match_byte(message, &Meta::NfProto, libc::NFPROTO_IPV6 as u8);
    load_key6(message);
    message.add_expr(&Lookup::new(set));
}

/// Destination, protocol and port of an IPv4 packet, one after the other from the first register on.
pub(super) fn load_key4(message: &mut nftnl::Rule<'_>) {
    let address = NetworkHeaderField::Ipv4(Ipv4HeaderField::Daddr);
    message.add_expr(&Payload::Network(address));
    load_protocol_and_port(message, (NFT_REG32_01, NFT_REG32_02), TcpHeaderField::Dport);
}

/// The same of an IPv6 packet.
pub(super) fn load_key6(message: &mut nftnl::Rule<'_>) {
    let address = NetworkHeaderField::Ipv6(Ipv6HeaderField::Daddr);
    message.add_expr(&Payload::Network(address));
    load_protocol_and_port(message, (NFT_REG_2, NFT_REG32_05), TcpHeaderField::Dport);
}

/// That the source is a server of a set: address, protocol and port. When the family is known.
pub(super) fn match_server(message: &mut nftnl::Rule<'_>, set: FastSet) {
    load_source_key(message, set.is_ipv4());
    look_up(message, set);
}

/// Source, protocol and port of a packet, as [`load_key4`] and [`load_key6`] load the destination. When the family is known.
pub(super) fn load_source_key(message: &mut nftnl::Rule<'_>, v4: bool) {
    load_source(message, v4);
    let registers = match v4 {
        true => (NFT_REG32_01, NFT_REG32_02),
        false => (NFT_REG_2, NFT_REG32_05),
    };
    load_protocol_and_port(message, registers, TcpHeaderField::Sport);
}

/// That the destination is a service of a set. When the family is known.
pub(super) fn match_service(message: &mut nftnl::Rule<'_>, set: FastSet) {
    match set.is_ipv4() {
        true => load_key4(message),
        false => load_key6(message),
    }
    look_up(message, set);
}

/// What matches is not tracked.
pub(super) const NOTRACK: Bare<'static> = Bare {
    name: c"notrack",
    numbers: &[],
};

fn look_up(message: &mut nftnl::Rule<'_>, set: FastSet) {
    message.add_expr(&Naming {
        expression: Bare {
            name: c"lookup",
            numbers: &[
                (NFTNL_EXPR_LOOKUP_SREG, Number::Word(NFT_REG_1)),
                (NFTNL_EXPR_LOOKUP_SET_ID, Number::Word(set.id())),
            ],
        },
        attribute: NFTNL_EXPR_LOOKUP_SET,
        target: set.name(),
    });
}

/// A link by its number, which costs a packet less than its name; a link that comes again has another.
pub(super) fn match_link(message: &mut nftnl::Rule<'_>, link: &IfName) -> Result<(), KernelFault> {
    let index = index(link)?;
    message.add_expr(&Meta::Iif);
    message.add_expr(&Cmp::new(CmpOp::Eq, index));
    Ok(())
}

/// That a packet comes from none of these links.
pub(super) fn match_no_link_of(message: &mut nftnl::Rule<'_>, links: &[IfName]) -> Result<(), KernelFault> {
    message.add_expr(&Meta::Iif);
    for link in links {
        message.add_expr(&Cmp::new(CmpOp::Neq, index(link)?));
    }
    Ok(())
}

fn index(link: &IfName) -> Result<u32, KernelFault> {
    if_nametoindex(link.as_str()).map_err(|errno| fault::from_errno(errno as i32, None))
}

/// That a packet goes to none of these networks. When the family is known.
pub(super) fn match_destination_outside(message: &mut nftnl::Rule<'_>, nets: &[IpNet]) {
    for net in nets {
        message.add_expr(&Payload::Network(match net {
            IpNet::V4(_) => NetworkHeaderField::Ipv4(Ipv4HeaderField::Daddr),
            IpNet::V6(_) => NetworkHeaderField::Ipv6(Ipv6HeaderField::Daddr),
        }));
        compare_loaded_net(message, CmpOp::Neq, net);
    }
}

fn load_protocol_and_port(
    message: &mut nftnl::Rule<'_>,
    (protocol, port): (u32, u32),
    field: TcpHeaderField,
) {
    message.add_expr(&IntoRegister {
        load: Meta::L4Proto,
        attribute: NFTNL_EXPR_META_DREG as u16,
        register: protocol,
    });
    // Ports are at the same place for every transport protocol that has ports.
    message.add_expr(&IntoRegister {
        load: Payload::Transport(TransportHeaderField::Tcp(field)),
        attribute: NFTNL_EXPR_PAYLOAD_DREG as u16,
        register: port,
    });
}
