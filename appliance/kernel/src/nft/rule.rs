//! What each rule is as expressions: its matches, a counter, and what it does in the end.
//! Must not: send anything; two rules that mean different things have different expressions (`canonical` compares them).

use std::ffi::CString;
use std::net::IpAddr;

use ipnet::IpNet;
use lb_core::model::IfName;
use lb_core::ports::KernelFault;
use lb_core::ruleset::Rule;
use nftnl::expr::{Counter, Immediate, Lookup, Masquerade, Meta, Nat, NatType, Register, States, Verdict};
use nftnl::nftnl_sys::NFTNL_EXPR_META_DREG;
use nftnl::{Chain, ProtoFamily};

use super::encode::Sets;
use super::expressions::*;
use super::marks::{self, MarkMap};
use super::raw::{ConntrackOriginal, IntoRegister, ToOneAddress};
use crate::fault;

pub(super) fn encode<'c>(
    rule: &Rule,
    chain: &'c Chain<'c>,
    sets: &Sets<'_>,
) -> Result<nftnl::Rule<'c>, KernelFault> {
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
        Rule::AcceptReplies => {
            marks::match_replies(&mut message);
            Verdict::Accept
        }
        Rule::AcceptMarked => {
            marks::match_marked(&mut message);
            Verdict::Accept
        }
        Rule::AcceptMarks4 => {
            marks::match_destination(&mut message, MarkMap::V4);
            Verdict::Accept
        }
        Rule::AcceptMarks6 => {
            marks::match_destination(&mut message, MarkMap::V6);
            Verdict::Accept
        }
        Rule::MarkServices4 => {
            marks::set_mark(&mut message, MarkMap::V4);
            return comment(message, rule);
        }
        Rule::MarkServices6 => {
            marks::set_mark(&mut message, MarkMap::V6);
            return comment(message, rule);
        }
        Rule::HairpinMarked { from, out } => {
            marks::hairpin(&mut message, from, out);
            return comment(message, rule);
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
