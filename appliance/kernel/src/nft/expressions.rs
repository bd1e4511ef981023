//! The expressions that rules are made of: matches on names, states, addresses and ports.
//! Must not: know rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nftnl::expr::{
    Bitwise, Cmp, CmpOp, Conntrack, Ipv4HeaderField, Ipv6HeaderField, Lookup, Meta, NetworkHeaderField,
    Payload, States, TcpHeaderField, TransportHeaderField,
};
use nftnl::nftnl_sys::{NFTNL_EXPR_META_DREG, NFTNL_EXPR_PAYLOAD_DREG};
use nftnl::set::Set;

use super::raw::IntoRegister;
use super::services::{Key4, Key6};

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

pub(super) fn match_source(message: &mut nftnl::Rule<'_>, from: &IpNet) {
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
    load_protocol_and_port(message, NFT_REG32_01, NFT_REG32_02);
}

/// The same of an IPv6 packet.
pub(super) fn load_key6(message: &mut nftnl::Rule<'_>) {
    let address = NetworkHeaderField::Ipv6(Ipv6HeaderField::Daddr);
    message.add_expr(&Payload::Network(address));
    load_protocol_and_port(message, NFT_REG_2, NFT_REG32_05);
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
