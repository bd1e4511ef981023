//! The rules around the marks of services over several ports or protocols.
//! Must not: know how the maps `marks4` and `marks6` are made (`maps`).

use ipnet::IpNet;
use lb_core::model::{IfName, MarkKey};
use lb_core::ruleset::Family;
use nftnl::expr::{Bitwise, Cmp, CmpOp, Counter, Masquerade, Meta};

use super::expressions::{load_key4, load_key6, match_family, match_name, match_source};
use super::maps::Map;
use super::raw::{ConntrackDirection, MapLookup};

/// IP_CT_DIR_REPLY
const REPLY: u8 = 1;

pub(super) fn match_replies(message: &mut nftnl::Rule<'_>) {
    message.add_expr(&ConntrackDirection);
    message.add_expr(&Cmp::new(CmpOp::Eq, REPLY));
}

/// The packet's mark becomes what the map says of its destination.
pub(super) fn set_mark(message: &mut nftnl::Rule<'_>, family: Family) {
    match_destination(message, family);
    message.add_expr(&Meta::Mark { set: true });
    message.add_expr(&Counter);
}

/// Destinations that the map holds.
pub(super) fn match_destination(message: &mut nftnl::Rule<'_>, family: Family) {
    match_family(message, family == Family::V4);
    match family {
        Family::V4 => load_key4(message),
        Family::V6 => load_key6(message),
    }
    message.add_expr(&MapLookup(Map::Marks(family).c_name()));
}

/// Packets with one of our marks.
pub(super) fn match_marked(message: &mut nftnl::Rule<'_>) {
    message.add_expr(&Meta::Mark { set: false });
    message.add_expr(&Bitwise::new(MarkKey::RANGE_MASK, 0u32));
    message.add_expr(&Cmp::new(CmpOp::Eq, MarkKey::RANGE));
}

/// The mark tells that the client asked for a service; the packet's destination is a server by now.
pub(super) fn hairpin(message: &mut nftnl::Rule<'_>, from: &IpNet, out: &IfName) {
    match_source(message, from);
    match_name(message, &Meta::OifName, out.as_str());
    match_marked(message);
    message.add_expr(&Counter);
    message.add_expr(&Masquerade);
}
