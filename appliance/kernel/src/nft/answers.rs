//! The rules that translate answers of one-packet services, without memory: what a map says of a packet's source becomes its source.
//! Must not: know how the maps are made (`maps`).

use ipnet::IpNet;
use lb_core::model::IfName;
use lb_core::ports::KernelFault;
use lb_core::ruleset::{AnswerMap, Family};
use nftnl::expr::{Counter, Meta, States, Verdict};
use nftnl::nftnl_sys::*;

use super::expressions::*;
use super::maps::Map;
use super::raw::{Bare, MapLookup, Naming, Number};

// include/uapi/linux/netfilter/nf_tables.h
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
const NFT_PAYLOAD_CSUM_NONE: u32 = 0;
const NFT_PAYLOAD_CSUM_INET: u32 = 1;
const NFT_PAYLOAD_L4CSUM_PSEUDOHDR: u32 = 1;

/// A field of a packet, and which checksum of its header covers it.
struct Field {
    base: u32,
    offset: u32,
    len: u32,
    checksum: u32,
    checksum_at: u32,
}

/// RFC 791 section 3.1.
const SOURCE4: Field = Field {
    base: NFT_PAYLOAD_NETWORK_HEADER,
    offset: 12,
    len: 4,
    checksum: NFT_PAYLOAD_CSUM_INET,
    checksum_at: 10,
};

/// RFC 8200 section 3: its header has no checksum.
const SOURCE6: Field = Field {
    base: NFT_PAYLOAD_NETWORK_HEADER,
    offset: 8,
    len: 16,
    checksum: NFT_PAYLOAD_CSUM_NONE,
    checksum_at: 0,
};

/// RFC 768. Its checksum is not named here: only [`set`]'s other way to it leaves one of 0, which means none, alone.
const SOURCE_PORT: Field = Field {
    base: NFT_PAYLOAD_TRANSPORT_HEADER,
    offset: 0,
    len: 2,
    checksum: NFT_PAYLOAD_CSUM_NONE,
    checksum_at: 0,
};

pub(super) fn untrack(
    message: &mut nftnl::Rule<'_>,
    map: AnswerMap,
    link: &IfName,
    not_to: &[IpNet],
) -> Result<(), KernelFault> {
    match_link(message, link)?;
    match_datagrams(message, map.family());
    match_destination_outside(message, not_to);
    load_source_key(message, map.family() == Family::V4);
    // Whether it is there, whatever it says.
    message.add_expr(&Naming {
        expression: Bare {
            name: c"lookup",
            numbers: &[(NFTNL_EXPR_LOOKUP_SREG, Number::Word(NFT_REG_1))],
        },
        attribute: NFTNL_EXPR_LOOKUP_SET,
        target: Map::Answers(map).c_name(),
    });
    message.add_expr(&NOTRACK);
    message.add_expr(&Verdict::Accept);
    Ok(())
}

/// Of all packets that are forwarded only answers are not tracked, balanced ones and these.
pub(super) fn translate(message: &mut nftnl::Rule<'_>, map: AnswerMap) {
    match_state(message, States::UNTRACKED);
    match_datagrams(message, map.family());
    load_source_key(message, map.family() == Family::V4);
    message.add_expr(&MapLookup(Map::Answers(map).c_name()));
    let (source, port_register) = match map.family() {
        Family::V4 => (&SOURCE4, NFT_REG32_01),
        Family::V6 => (&SOURCE6, NFT_REG_2),
    };
    set(message, source, NFT_REG_1);
    if let AnswerMap::Ports(_) = map {
        set(message, &SOURCE_PORT, port_register);
    }
    message.add_expr(&Counter);
}

/// To look into a map for nothing costs more than to see that.
fn match_datagrams(message: &mut nftnl::Rule<'_>, family: Family) {
    match_family(message, family == Family::V4);
    match_byte(message, &Meta::L4Proto, libc::IPPROTO_UDP as u8);
}

/// The checksum of the datagram follows as well (nft_payload_l4csum_update), if it has one.
fn set(message: &mut nftnl::Rule<'_>, field: &Field, register: u32) {
    message.add_expr(&Bare {
        name: c"payload",
        numbers: &[
            (NFTNL_EXPR_PAYLOAD_SREG, Number::Word(register)),
            (NFTNL_EXPR_PAYLOAD_BASE, Number::Word(field.base)),
            (NFTNL_EXPR_PAYLOAD_OFFSET, Number::Word(field.offset)),
            (NFTNL_EXPR_PAYLOAD_LEN, Number::Word(field.len)),
            (NFTNL_EXPR_PAYLOAD_CSUM_TYPE, Number::Word(field.checksum)),
            (NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, Number::Word(field.checksum_at)),
            (
                NFTNL_EXPR_PAYLOAD_FLAGS,
                Number::Word(NFT_PAYLOAD_L4CSUM_PSEUDOHDR),
            ),
        ],
    });
}
