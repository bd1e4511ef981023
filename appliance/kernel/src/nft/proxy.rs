//! Clients that are proved before they are connected: the expressions of the three rules that this takes.
//! Must not: know who they are for.

use lb_core::model::Endpoint;
use nftnl::expr::{Cmp, CmpOp, Counter, Meta, Payload, States, TcpHeaderField, TransportHeaderField};
use nftnl::nftnl_sys::{NFTNL_EXPR_SYNPROXY_FLAGS, NFTNL_EXPR_SYNPROXY_MSS, NFTNL_EXPR_SYNPROXY_WSCALE};

use super::expressions::{
    NOTRACK, load_source, match_byte, match_destination, match_family, match_port, match_state, match_syn,
};
use super::raw::{Bare, Number};

// include/uapi/linux/netfilter/nf_synproxy.h: MSS, window scale, SACK and timestamps are announced to clients.
const ALL_OPTIONS: u32 = 0x01 | 0x02 | 0x04 | 0x08;
/// What Linux's receive buffers come to (tcp_select_initial_window with the default tcp_rmem). It has to be the servers' own:
/// windows are passed on as they are.
const WINDOW_SCALE: u8 = 7;

pub(super) fn untrack_syns(message: &mut nftnl::Rule<'_>, service: &Endpoint) {
    match_family(message, service.address.is_ipv4());
    match_syn(message);
    match_destination(message, service.address);
    match_port(message, service.port, service.port);
    message.add_expr(&NOTRACK);
}

/// What belongs to a tracked connection passes on to IPVS.
pub(super) fn proxy_syns(message: &mut nftnl::Rule<'_>, service: &Endpoint, mss: u16) {
    match_protocol(message, service);
    match_destination(message, service.address);
    match_port(message, service.port, service.port);
    match_state(message, States::INVALID | States::NEW | States::UNTRACKED);
    message.add_expr(&Counter);
    message.add_expr(&Bare {
        name: c"synproxy",
        numbers: &[
            (NFTNL_EXPR_SYNPROXY_MSS, Number::Half(mss)),
            (NFTNL_EXPR_SYNPROXY_WSCALE, Number::Byte(WINDOW_SCALE)),
            (NFTNL_EXPR_SYNPROXY_FLAGS, Number::Word(ALL_OPTIONS)),
        ],
    });
}

/// Tracking knows the connection by its server's answers, and would take these for another one.
pub(super) fn untrack_answers(message: &mut nftnl::Rule<'_>, service: &Endpoint) {
    match_protocol(message, service);
    load_source(message, service.address.is_ipv4());
    message.add_expr(&Cmp::new(CmpOp::Eq, service.address));
    message.add_expr(&Payload::Transport(TransportHeaderField::Tcp(
        TcpHeaderField::Sport,
    )));
    message.add_expr(&Cmp::new(CmpOp::Eq, &service.port.to_be_bytes()[..]));
    message.add_expr(&NOTRACK);
}

fn match_protocol(message: &mut nftnl::Rule<'_>, service: &Endpoint) {
    match_family(message, service.address.is_ipv4());
    match_byte(message, &Meta::L4Proto, libc::IPPROTO_TCP as u8);
}
