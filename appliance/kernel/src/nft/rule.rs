//! What each rule is as expressions: its matches, a counter, and what it does in the end.
//! Must not: send anything; two rules that mean different things have different expressions (`canonical` compares them).

use ipnet::IpNet;
use lb_core::check::PROBE_PORTS;
use lb_core::model::IfName;
use lb_core::ports::KernelFault;
use lb_core::ruleset::{Family, Rule};
use nftnl::Chain;
use nftnl::expr::{Cmp, CmpOp, Counter, Lookup, Masquerade, Meta, States, Verdict};
use nftnl::nftnl_sys::{NFTNL_EXPR_FLOW_TABLE_NAME, NFTNL_EXPR_META_DREG};

use super::answers;
use super::encode::Sets;
use super::expressions::*;
use super::fast::{FLOWTABLE, FastSet};
use super::marks;
use super::proxy;
use super::raw::{Bare, Commented, ConntrackDirection, IntoRegister, Naming};
use super::translation;
use crate::fault;

/// IP_CT_DIR_ORIGINAL
const ORIGINAL: u8 = 0;
/// Flags of TCP (RFC 9293, section 3.1).
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

pub(super) fn encode<'c>(
    rule: &Rule,
    chain: &'c Chain<'c>,
    sets: &Sets<'_>,
) -> Result<Commented<'c>, KernelFault> {
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
        Rule::AcceptChecks(cookie) => {
            match_byte(&mut message, &Meta::L4Proto, libc::IPPROTO_TCP as u8);
            match_port(&mut message, *PROBE_PORTS.start(), *PROBE_PORTS.end());
            match_flags_within(&mut message, ACK | SYN | RST, (ACK | SYN, ACK | RST));
            match_acknowledged(&mut message, *cookie);
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
            marks::match_destination(&mut message, Family::V4);
            Verdict::Accept
        }
        Rule::AcceptMarks6 => {
            marks::match_destination(&mut message, Family::V6);
            Verdict::Accept
        }
        Rule::MarkServices4 => {
            marks::set_mark(&mut message, Family::V4);
            return Ok(comment(message, rule));
        }
        Rule::MarkServices6 => {
            marks::set_mark(&mut message, Family::V6);
            return Ok(comment(message, rule));
        }
        Rule::HairpinMarked { from, out } => {
            marks::hairpin(&mut message, from, out);
            return Ok(comment(message, rule));
        }
        Rule::DropNewFrom(link) => {
            match_name(&mut message, &Meta::IifName, link.as_str());
            match_state(&mut message, States::NEW | States::UNTRACKED);
            Verdict::Drop
        }
        // This one and those that leave connections untracked see every packet: they do not count.
        Rule::AcceptKnown { not_from } => {
            match_no_link_of(&mut message, not_from)?;
            let states = States::ESTABLISHED | States::RELATED | States::UNTRACKED;
            match_state(&mut message, states);
            message.add_expr(&Verdict::Accept);
            return Ok(comment(message, rule));
        }
        Rule::UntrackRequests { family, not_from } => {
            match_no_link_of(&mut message, not_from)?;
            match_family(&mut message, *family == Family::V4);
            match_service(&mut message, FastSet::services(*family));
            untrack(&mut message);
            return Ok(comment(message, rule));
        }
        Rule::UntrackReplies { family, link, not_to } => {
            match_link(&mut message, link)?;
            match_family(&mut message, *family == Family::V4);
            match_destination_outside(&mut message, not_to);
            match_server(&mut message, FastSet::servers(*family));
            untrack(&mut message);
            return Ok(comment(message, rule));
        }
        Rule::UntrackAnswersBy { map, link, not_to } => {
            answers::untrack(&mut message, *map, link, not_to)?;
            return Ok(comment(message, rule));
        }
        Rule::AnswerBy(map) => {
            answers::translate(&mut message, *map);
            return Ok(comment(message, rule));
        }
        Rule::UntrackSyns(service) => {
            proxy::untrack_syns(&mut message, service);
            return Ok(comment(message, rule));
        }
        Rule::ProxySyns { service, mss } => {
            proxy::proxy_syns(&mut message, service, *mss);
            return Ok(comment(message, rule));
        }
        Rule::UntrackAnswers(service) => {
            proxy::untrack_answers(&mut message, service);
            return Ok(comment(message, rule));
        }
        Rule::Offload => {
            offload(&mut message);
            return Ok(comment(message, rule));
        }
        Rule::Masquerade { from, out, to } => {
            translation::masquerade(&mut message, from, out, *to);
            return Ok(comment(message, rule));
        }
        Rule::Forward(forward) => {
            translation::forward(&mut message, forward);
            return Ok(comment(message, rule));
        }
        Rule::AcceptForwarded(forward) => {
            translation::match_forward(&mut message, forward);
            Verdict::Accept
        }
        Rule::HairpinForwarded { from, out } => {
            translation::hairpin_forwarded(&mut message, from, out);
            return Ok(comment(message, rule));
        }
        Rule::ClampMss {
            link,
            way,
            family,
            bytes,
        } => {
            translation::clamp_mss(&mut message, link, *way, *family, *bytes);
            return Ok(comment(message, rule));
        }
        Rule::Hairpin { from, out } => {
            hairpin(&mut message, from, out, sets);
            return Ok(comment(message, rule));
        }
        Rule::Foreign(text) => {
            return Err(fault::plain(format!("`{text}` is not a rule of ours")));
        }
    };
    message.add_expr(&Counter);
    message.add_expr(&end);
    Ok(comment(message, rule))
}

fn untrack(message: &mut nftnl::Rule<'_>) {
    message.add_expr(&NOTRACK);
    message.add_expr(&Verdict::Accept);
}

/// What IPVS translates passes here in the replies' direction only, so that no flow of its is given away: the short cut would
/// not translate it.
fn offload(message: &mut nftnl::Rule<'_>) {
    match_state(message, States::ESTABLISHED);
    message.add_expr(&ConntrackDirection);
    message.add_expr(&Cmp::new(CmpOp::Eq, ORIGINAL));
    message.add_expr(&Naming {
        expression: Bare {
            name: c"flow_offload",
            numbers: &[],
        },
        attribute: NFTNL_EXPR_FLOW_TABLE_NAME,
        target: FLOWTABLE,
    });
}

/// The service that the client asked for is the original direction's destination; by now that of the packet is a server.
fn hairpin(message: &mut nftnl::Rule<'_>, from: &IpNet, out: &IfName, sets: &Sets<'_>) {
    match_source(message, from);
    match_name(message, &Meta::OifName, out.as_str());
    let (address, protocol, port) = match from {
        IpNet::V4(_) => (libc::NFT_CT_DST_IP, NFT_REG32_01, NFT_REG32_02),
        IpNet::V6(_) => (libc::NFT_CT_DST_IP6, NFT_REG_2, NFT_REG32_05),
    };
    load_original(message, address as u32, NFT_REG_1);
    message.add_expr(&IntoRegister {
        load: Meta::L4Proto,
        attribute: NFTNL_EXPR_META_DREG as u16,
        register: protocol,
    });
    load_original(message, libc::NFT_CT_PROTO_DST as u32, port);
    match from {
        IpNet::V4(_) => message.add_expr(&Lookup::new(&sets.v4)),
        IpNet::V6(_) => message.add_expr(&Lookup::new(&sets.v6)),
    }
    message.add_expr(&Counter);
    message.add_expr(&Masquerade);
}

fn comment<'c>(message: nftnl::Rule<'c>, rule: &Rule) -> Commented<'c> {
    Commented {
        rule: message,
        comment: rule.to_string(),
    }
}
