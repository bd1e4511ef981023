//! `[timeouts]`: when idle connections are forgotten. One value each for IPVS and connection tracking: when one of the two
//! forgets before the other, the next packet is answered with RST.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{Reader, Section};
use super::{shape, time};
use crate::observed::IpvsTimeouts;

/// The kernel's own limit is days (INT_MAX jiffies, do_ip_vs_set_ctl); shorter ones would end connections in use.
pub(super) const IDLE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24 * 7);

pub(super) fn read(reader: &mut Reader<'_>, root: &Section<'_, '_>) -> IpvsTimeouts {
    let default = IpvsTimeouts::DEFAULT;
    let written = "write [timeouts] on a line of its own, and its keys on the lines below";
    let table = root
        .value("timeouts")
        .and_then(|value| reader.table(value, &shape::TIMEOUTS, written));
    let Some(table) = table else {
        return default;
    };
    let mut seconds = |key, default| match table.value(key) {
        Some(value) => time::whole_seconds(reader, value, &IDLE).unwrap_or(default),
        None => default,
    };
    IpvsTimeouts {
        tcp_s: seconds("tcp", default.tcp_s),
        tcp_fin_s: seconds("tcp_fin", default.tcp_fin_s),
        udp_s: seconds("udp", default.udp_s),
    }
}
