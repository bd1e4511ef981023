//! Everything that the kernel says of links, for somebody who looks at one. What a driver does not say is left out.
//! Must not: change anything, or leave out links that are not ours.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use lb_core::control::{BondReport, BridgeReport, MemberReport, StackReport, VlanReport};
use lb_core::link::{LinkReport, LinksReport};
use lb_core::link_kind::LinkKind;
use lb_core::model::MacAddress;
use lb_core::ports::KernelError;
use lb_core::traffic::LinkCounters;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Stats64};
use rtnetlink::{Error, Handle};

use super::made::{self, Names};
use super::read;
use super::view::NetworkView;
use crate::activity::since_boot_ms;
use crate::fault;

const CLASS_NET: &str = "/sys/class/net";

impl NetworkView {
    /// All links, by their indices.
    pub fn links(&mut self) -> Result<LinksReport, KernelError> {
        let (links, addresses) = self
            .0
            .run_again(dump)
            .map_err(|fault| fault::during("read the links", fault))?;
        let names: Names = links
            .iter()
            .filter_map(|message| Some((message.header.index, read::name(message)?)))
            .collect();
        let read_at_ms = since_boot_ms();
        let mut reports: Vec<LinkReport> = links
            .iter()
            .filter_map(|message| report(message, &links, &names))
            .collect();
        for link in &mut reports {
            let own = addresses.iter().filter(|a| a.header.index == link.index);
            link.addresses = own.filter_map(address).collect();
        }
        reports.sort_by_key(|link| link.index);
        Ok(LinksReport {
            read_at_ms,
            links: reports,
        })
    }
}

async fn dump(handle: Handle) -> Result<(Vec<LinkMessage>, Vec<AddressMessage>), Error> {
    let links = handle.link().get().execute().try_collect().await?;
    let addresses = handle.address().get().execute().try_collect().await?;
    Ok((links, addresses))
}

fn report(message: &LinkMessage, all: &[LinkMessage], names: &Names) -> Option<LinkReport> {
    let name = read::name(message)?.to_string();
    let place = Path::new(CLASS_NET).join(&name);
    let mut link = LinkReport {
        index: message.header.index,
        interface: None,
        state: state(message).to_owned(),
        stack: stack(message, all, names),
        vlans: vlans(message.header.index, all, names),
        mac: read::mac(message).map(|mac| mac.to_string()),
        permanent_mac: None,
        mtu: 0,
        speed_mbit: said(&place, "speed"),
        duplex: said(&place, "duplex").filter(|word: &String| word != "unknown"),
        driver: driver(&place),
        rx_queues: 0,
        tx_queues: 0,
        addresses: Vec::new(),
        carrier_changes: None,
        carrier_age: None,
        counters: LinkCounters::default(),
        losses: BTreeMap::new(),
        rates: None,
        link: name,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Mtu(bytes) => link.mtu = *bytes,
            LinkAttribute::PermAddress(bytes) => {
                let mac = bytes.as_slice().try_into().ok().map(MacAddress);
                link.permanent_mac = mac.map(|mac| mac.to_string());
            }
            LinkAttribute::NumRxQueues(number) => link.rx_queues = *number,
            LinkAttribute::NumTxQueues(number) => link.tx_queues = *number,
            LinkAttribute::CarrierChanges(number) => link.carrier_changes = Some(*number),
            LinkAttribute::Stats64(stats) => {
                (link.counters, link.losses) = (counters(stats), losses(stats));
            }
            _ => {}
        }
    }
    queues(&place, &mut link);
    Some(link)
}

fn state(message: &LinkMessage) -> &'static str {
    let is_up = message.header.flags.contains(LinkFlags::Up);
    let has_carrier = |a: &LinkAttribute| matches!(a, LinkAttribute::Carrier(1));
    match (is_up, message.attributes.iter().any(has_carrier)) {
        (false, _) => "down",
        (true, false) => "no-carrier",
        (true, true) => "up",
    }
}

fn stack(message: &LinkMessage, all: &[LinkMessage], names: &Names) -> StackReport {
    let name_of = |index: &u32| names.get(index).map(ToString::to_string);
    let mut report = StackReport {
        kind: kind_word(message),
        master: master(message).and_then(|index| name_of(&index)),
        ..StackReport::default()
    };
    let own = all.iter().filter(|l| master(l) == Some(message.header.index));
    let members = own.filter_map(|member| {
        Some(MemberReport {
            link: name_of(&member.header.index)?,
            state: state(member).to_owned(),
        })
    });
    match made::kind(message, names) {
        None => {}
        Some(LinkKind::Vlan { parent, id }) => {
            report.vlan = Some(VlanReport {
                link: parent.to_string(),
                id,
            });
        }
        Some(LinkKind::Bond(bond)) => {
            report.bond = Some(BondReport {
                mode: bond.mode.to_string(),
                active: made::active(message, names).map(|link| link.to_string()),
                links: members.collect(),
            });
        }
        Some(LinkKind::Bridge(bridge)) => {
            report.bridge = Some(BridgeReport {
                stp: bridge.stp,
                links: members.collect(),
            });
        }
    }
    report
}

fn master(message: &LinkMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

/// The kernel's word for what is made in software; a card has none.
fn kind_word(message: &LinkMessage) -> String {
    if message.header.flags.contains(LinkFlags::Loopback) {
        return "loopback".to_owned();
    }
    let infos = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let kind = infos.into_iter().flatten().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(InfoKind::to_string(kind)),
        _ => None,
    });
    kind.unwrap_or_else(|| "card".to_owned())
}

fn vlans(index: u32, all: &[LinkMessage], names: &Names) -> Vec<String> {
    let stands_here = |link: &&LinkMessage| {
        let parent = |a: &LinkAttribute| matches!(a, LinkAttribute::Link(parent) if *parent == index);
        kind_word(link) == "vlan" && link.attributes.iter().any(parent)
    };
    let on_it = all.iter().filter(stands_here);
    on_it
        .filter_map(|link| names.get(&link.header.index).map(ToString::to_string))
        .collect()
}

/// The loopback and links that are not Ethernet have no peer's address to be told apart from.
fn address(message: &AddressMessage) -> Option<String> {
    let mut found: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(own) => found = Some(*own),
            AddressAttribute::Address(any) => found = found.or(Some(*any)),
            _ => {}
        }
    }
    Some(format!("{}/{}", found?, message.header.prefix_len))
}

/// What a file of the link says. A driver that does not know refuses, or says -1 (net/core/net-sysfs.c).
fn said<T: std::str::FromStr>(place: &Path, file: &str) -> Option<T> {
    fs::read_to_string(place.join(file)).ok()?.trim().parse().ok()
}

fn driver(place: &Path) -> Option<String> {
    let driver: PathBuf = fs::read_link(place.join("device/driver")).ok()?;
    Some(driver.file_name()?.to_string_lossy().into_owned())
}

/// Those in use: a card may have room for more, which is what netlink tells.
fn queues(place: &Path, link: &mut LinkReport) {
    let Ok(queues) = fs::read_dir(place.join("queues")) else {
        return;
    };
    let (mut receive, mut send) = (0, 0);
    for queue in queues.flatten() {
        let name = queue.file_name();
        let name = name.to_string_lossy();
        receive += u32::from(name.starts_with("rx-"));
        send += u32::from(name.starts_with("tx-"));
    }
    (link.rx_queues, link.tx_queues) = (receive, send);
}

/// As /proc/net/dev has them: what a card missed is dropped (dev_seq_printf_stats).
fn counters(stats: &Stats64) -> LinkCounters {
    LinkCounters {
        rx_bytes: stats.rx_bytes,
        rx_packets: stats.rx_packets,
        rx_errors: stats.rx_errors,
        rx_dropped: stats.rx_dropped.saturating_add(stats.rx_missed_errors),
        tx_bytes: stats.tx_bytes,
        tx_packets: stats.tx_packets,
        tx_errors: stats.tx_errors,
        tx_dropped: stats.tx_dropped,
    }
}

fn losses(stats: &Stats64) -> BTreeMap<String, u64> {
    let all = [
        ("collisions", stats.collisions),
        ("rx_length_errors", stats.rx_length_errors),
        ("rx_over_errors", stats.rx_over_errors),
        ("rx_crc_errors", stats.rx_crc_errors),
        ("rx_frame_errors", stats.rx_frame_errors),
        ("rx_fifo_errors", stats.rx_fifo_errors),
        ("rx_missed_errors", stats.rx_missed_errors),
        ("rx_nohandler", stats.rx_nohandler),
        ("tx_aborted_errors", stats.tx_aborted_errors),
        ("tx_carrier_errors", stats.tx_carrier_errors),
        ("tx_fifo_errors", stats.tx_fifo_errors),
        ("tx_heartbeat_errors", stats.tx_heartbeat_errors),
        ("tx_window_errors", stats.tx_window_errors),
    ];
    let counted = all.into_iter().filter(|(_, number)| *number > 0);
    counted.map(|(name, number)| (name.to_owned(), number)).collect()
}
