//! The sysctls that a gateway and IPVS need, each with its reason. The kernel's Documentation/networking/ip-sysctl.rst,
//! ipvs-sysctl.rst and nf_conntrack-sysctl.rst say what they do.

use std::collections::BTreeMap;

use super::Given;
use crate::check::PROBE_PORTS;
use crate::model::IfName;
use crate::observed::{IpvsTimeouts, Observed, SysctlName};

/// The switches that make the box a router; they are set last, when the filter is in place.
pub const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/// Takes IPv6 from every link, also from those that come later (addrconf_disable_ipv6): one that is switched on is given no link-local address then, and
/// says nothing.
pub const IPV6_OFF: &str = "net/ipv6/conf/all/disable_ipv6";

/// Before any link is switched on: sysctls are set first.
pub(super) fn ipv6(given: Given<'_>) -> (SysctlName, String) {
    let off = matches!(given, Given::FirstContact);
    (IPV6_OFF.to_owned(), u8::from(off).to_string())
}

/// The defences of IPVS that it raises by itself, from 1 to 2, while memory is scarce.
pub const IPVS_DEFENCES: [&str; 2] = ["net/ipv4/vs/drop_entry", "net/ipv4/vs/drop_packet"];

/// Whether IPVS has raised one of them.
pub fn ipvs_defends(observed: &Observed) -> bool {
    let raised = |name: &&str| observed.sysctls.get(*name).is_some_and(|level| level == "2");
    IPVS_DEFENCES.iter().any(raised)
}

const FIXED: &[(&str, &str)] = &[
    // IPVS flows are seen by conntrack: stateful rules and masquerade agree with it.
    ("net/ipv4/vs/conntrack", "1"),
    // A connection to a server that was deleted ends (RST) instead of hanging until the client gives up.
    ("net/ipv4/vs/expire_nodest_conn", "1"),
    // Persistent clients leave a server whose weight is 0.
    ("net/ipv4/vs/expire_quiescent_template", "1"),
    // While memory is scarce (a flood of SYNs), entries that are not established are given up, and SYNs are dropped: the more,
    // the less memory is left.
    ("net/ipv4/vs/drop_entry", "1"),
    ("net/ipv4/vs/drop_packet", "1"),
    // A source port that is used again is scheduled afresh, at once since Linux 5.9.
    ("net/ipv4/vs/conn_reuse_mode", "1"),
    // A reply leaves by the route to its client, as any packet does: there are no routes by source that would make a second
    // look-up tell anything else.
    ("net/ipv4/vs/snat_reroute", "0"),
    // Replies may come by another link than requests leave by, so sources could only be asked for any route at all, which each
    // has where there is a default route. The box's own addresses are refused as sources in any case.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Looking for a socket before the route is for machines that are the end of most connections.
    ("net/ipv4/ip_early_demux", "0"),
    // Nodes must never learn a way around the box.
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv4/conf/all/accept_redirects", "0"),
    ("net/ipv4/conf/default/accept_redirects", "0"),
    ("net/ipv6/conf/all/accept_redirects", "0"),
    ("net/ipv6/conf/default/accept_redirects", "0"),
    ("net/ipv4/conf/all/accept_source_route", "0"),
    ("net/ipv4/conf/default/accept_source_route", "0"),
    // ARP only for addresses of the link that was asked, and from an address that the neighbour can reach.
    ("net/ipv4/conf/all/arp_ignore", "1"),
    ("net/ipv4/conf/all/arp_announce", "2"),
    // Deleting a link's first address must not take the others with it.
    ("net/ipv4/conf/all/promote_secondaries", "1"),
    ("net/ipv4/conf/default/promote_secondaries", "1"),
    // Routes come from the file, never from router advertisements.
    ("net/ipv6/conf/all/accept_ra", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/all/autoconf", "0"),
    ("net/ipv6/conf/default/autoconf", "0"),
    // IPVS's, which cannot be set (ip_vs_proto_sctp.c).
    ("net/netfilter/nf_conntrack_sctp_timeout_established", "900"),
    ("net/ipv4/tcp_syncookies", "1"),
    // Who may have sockets that send pings: the group of the agent, whose checks they are.
    ("net/ipv4/ping_group_range", "0 0"),
];

/// Settings that the kernel keeps per link and combines with `all` so that the link's own value counts.
const PER_LINK: &[(&str, &str, &str)] = &[
    ("ipv4", "send_redirects", "0"),
    ("ipv6", "accept_ra", "0"),
    ("ipv6", "autoconf", "0"),
];

/// What the box needs beside its connections.
const BYTES_BESIDE: u64 = 48 << 20;
/// A balanced connection costs less than this in both tables together, connection tracking's and IPVS's: a machine with
/// 256 MB tracks 200,000 and more.
const BYTES_PER_CONNECTION: u64 = 800;
const CONNTRACK_MIN: u64 = 32_768;
const CONNTRACK_MAX: u64 = 4_194_304;
/// Entries per hash bucket when the table is full.
const CONNTRACK_PER_BUCKET: u64 = 4;

/// A neighbour costs about 600 bytes: all of them a hundredth of the memory.
const BYTES_PER_NEIGHBOUR: u64 = 65_536;
const NEIGHBOURS_MIN: u64 = 2_048;
const NEIGHBOURS_MAX: u64 = 131_072;

/// With less than this part of the memory free, IPVS defends it; with half of that it takes no new connections. A sixteenth was
/// too little: the kernel keeps some free by giving up the programs' own pages, so that it was reached too late.
const SCARCE: u64 = 8;
const PAGE_BYTES: u64 = 4_096;
/// The kernel's own (pages).
const SCARCE_MIN: u64 = 1_024;

/// Every sysctl but the forwarding switches.
pub fn sysctls<'a>(
    memory_bytes: u64,
    timeouts: &IpvsTimeouts,
    links: impl Iterator<Item = &'a IfName>,
) -> BTreeMap<SysctlName, String> {
    let mut wanted: BTreeMap<SysctlName, String> = FIXED
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    for link in links {
        for (family, setting, value) in PER_LINK {
            wanted.insert(format!("net/{family}/conf/{link}/{setting}"), (*value).to_owned());
        }
    }
    for (name, seconds) in [
        ("tcp_timeout_established", timeouts.tcp_s),
        ("tcp_timeout_fin_wait", timeouts.tcp_fin_s),
        ("udp_timeout", timeouts.udp_s),
        ("udp_timeout_stream", timeouts.udp_s),
    ] {
        wanted.insert(format!("net/netfilter/nf_conntrack_{name}"), seconds.to_string());
    }
    // No socket is given one of them by chance, whatever range it is chosen from.
    let (first, last) = (PROBE_PORTS.start(), PROBE_PORTS.end());
    wanted.insert(
        "net/ipv4/ip_local_reserved_ports".to_owned(),
        format!("{first}-{last}"),
    );
    // The kernel rounds the number of buckets up to whole pages (nf_ct_alloc_hashtable): ask for a power of two.
    let room = memory_bytes.saturating_sub(BYTES_BESIDE) / BYTES_PER_CONNECTION;
    let entries = room.clamp(CONNTRACK_MIN, CONNTRACK_MAX);
    let buckets = (entries / CONNTRACK_PER_BUCKET).next_power_of_two();
    wanted.insert(
        "net/netfilter/nf_conntrack_buckets".to_owned(),
        buckets.to_string(),
    );
    wanted.insert("net/netfilter/nf_conntrack_max".to_owned(), entries.to_string());
    let scarce = (memory_bytes / SCARCE / PAGE_BYTES).max(SCARCE_MIN);
    wanted.insert("net/ipv4/vs/amemthresh".to_owned(), scarce.to_string());
    // Beyond the first threshold old ones are forgotten, beyond the second soon, and there are never more than the third.
    let neighbours = (memory_bytes / BYTES_PER_NEIGHBOUR).clamp(NEIGHBOURS_MIN, NEIGHBOURS_MAX);
    for family in ["ipv4", "ipv6"] {
        for (threshold, part) in [(1, 16), (2, 4), (3, 1)] {
            let name = format!("net/{family}/neigh/default/gc_thresh{threshold}");
            wanted.insert(name, (neighbours / part).to_string());
        }
    }
    wanted
}
