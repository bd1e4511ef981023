//! A packet as one line: protocol, from whom to whom, flags and length. Must not: show what it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    ArpPacketSlice, EtherType, Icmpv4Slice, Icmpv6Slice, LaxNetSlice, LaxSlicedPacket, TcpSlice,
    TransportSlice,
};

use super::Frame;
use crate::model::MacAddress;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const IPV6_HEADER: usize = 40;

impl Frame {
    /// The VLAN that it is in, whether the kernel has taken the tag off or not.
    pub fn vlan(&self) -> Option<u16> {
        let inside = (self.ethertype == EtherType::VLAN_TAGGED_FRAME.0).then(|| self.network().get(..2));
        let inside = inside.flatten().map(|tag| u16::from_be_bytes([tag[0], tag[1]]));
        self.tag.or(inside).map(|tag| tag & 0xfff)
    }

    /// Without its time and its link.
    pub fn line(&self) -> String {
        let packet = LaxSlicedPacket::from_ether_type(EtherType(self.ethertype), self.network());
        let text = match &packet.net {
            Some(LaxNetSlice::Ipv4(ip)) => {
                let header = ip.header();
                let (from, to) = (header.source_addr(), header.destination_addr());
                let whole = usize::from(header.total_len());
                Ip {
                    from: from.into(),
                    to: to.into(),
                    protocol: ip.payload_ip_number().0,
                    offset: header.fragments_offset().byte_offset(),
                    length: whole.saturating_sub(usize::from(header.ihl()) * 4),
                    payload: ip.payload().payload,
                }
                .line(packet.transport.as_ref())
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                let header = ip.header();
                let extensions = ip.extensions().slice().len();
                let whole = usize::from(header.payload_length());
                // 0: it is longer than the field can say (a jumbogram, or not yet cut into segments).
                let whole = if whole == 0 {
                    self.length.saturating_sub(self.network_at() + IPV6_HEADER)
                } else {
                    whole
                };
                Ip {
                    from: header.source_addr().into(),
                    to: header.destination_addr().into(),
                    protocol: ip.payload().ip_number.0,
                    offset: 0,
                    length: whole.saturating_sub(extensions),
                    payload: ip.payload().payload,
                }
                .line(packet.transport.as_ref())
            }
            Some(LaxNetSlice::Arp(arp)) => arp_line(arp),
            None => None,
        };
        text.unwrap_or_else(|| self.unknown())
    }

    /// What has no words here, or was cut too short.
    fn unknown(&self) -> String {
        let mac = |at: usize| -> Option<String> {
            let bytes: [u8; 6] = self.bytes.get(at..at + 6)?.try_into().ok()?;
            Some(MacAddress(bytes).to_string())
        };
        let between = match (self.has_ethernet_header(), mac(6), mac(0)) {
            (true, Some(from), Some(to)) => format!(" {from} > {to}"),
            _ => String::new(),
        };
        format!("ethertype 0x{:04x}{between} {} B", self.ethertype, self.length)
    }
}

struct Ip<'a> {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    /// Where a later fragment has its place.
    offset: u16,
    /// Behind the header, in bytes.
    length: usize,
    payload: &'a [u8],
}

impl Ip<'_> {
    fn line(&self, transport: Option<&TransportSlice<'_>>) -> Option<String> {
        let Ip { from, to, .. } = self;
        if self.offset > 0 {
            let protocol = protocol(self.protocol);
            return Some(format!(
                "{protocol} {from} > {to} fragment at {}, {} B",
                self.offset, self.length
            ));
        }
        let between = |from_port, to_port| {
            format!(
                "{} > {}",
                SocketAddr::new(*from, from_port),
                SocketAddr::new(*to, to_port)
            )
        };
        Some(match transport {
            Some(TransportSlice::Tcp(tcp)) => {
                let carried = self.length.saturating_sub(tcp.header_slice().len());
                let ends = between(tcp.source_port(), tcp.destination_port());
                format!("tcp {ends} {} {carried} B", flags(tcp))
            }
            Some(TransportSlice::Udp(udp)) => {
                let ends = between(udp.source_port(), udp.destination_port());
                format!("udp {ends} {} B", self.length.saturating_sub(8))
            }
            Some(TransportSlice::Icmpv4(icmp)) => {
                format!("icmp {from} > {to} {}, {} B", icmp_words(icmp), self.length)
            }
            Some(TransportSlice::Icmpv6(icmp)) => {
                format!("icmp {from} > {to} {}, {} B", icmpv6_words(icmp), self.length)
            }
            None => match (self.protocol, self.payload) {
                (SCTP, [a, b, c, d, ..]) => {
                    let ends = between(u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                    format!("sctp {ends} {} B", self.length)
                }
                (number, _) => format!("{} {from} > {to} {} B", protocol(number), self.length),
            },
        })
    }
}

fn protocol(number: u8) -> String {
    match number {
        1 | 58 => "icmp".to_owned(),
        2 => "igmp".to_owned(),
        4 => "ipip".to_owned(),
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        41 => "ip6ip".to_owned(),
        47 => "gre".to_owned(),
        112 => "vrrp".to_owned(),
        SCTP => "sctp".to_owned(),
        other => format!("protocol {other}"),
    }
}

fn flags(tcp: &TcpSlice<'_>) -> String {
    let all = [
        (tcp.syn(), "SYN"),
        (tcp.fin(), "FIN"),
        (tcp.rst(), "RST"),
        (tcp.psh(), "PSH"),
        (tcp.ack(), "ACK"),
        (tcp.urg(), "URG"),
    ];
    let set: Vec<&str> = all
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, word)| word)
        .collect();
    format!("[{}]", set.join(" "))
}

fn arp_line(arp: &ArpPacketSlice<'_>) -> Option<String> {
    let arp = arp.to_packet();
    let v4 = |bytes: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?));
    let (from, to) = (v4(arp.sender_protocol_addr())?, v4(arp.target_protocol_addr())?);
    let mac = MacAddress(arp.sender_hw_addr().try_into().ok()?);
    Some(match arp.operation.0 {
        1 if from.is_unspecified() => format!("arp who has {to}? (probe of {mac})"),
        1 if from == to => format!("arp {from} is at {mac} (announced)"),
        1 => format!("arp who has {to}? tell {from}"),
        2 => format!("arp {from} is at {mac}"),
        other => format!("arp operation {other} {from} > {to}"),
    })
}

/// The names of RFC 792 and others, as far as a box like this meets them.
fn icmp_words(icmp: &Icmpv4Slice<'_>) -> String {
    let [a, b, c, d] = icmp.bytes5to8();
    let (id, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match (icmp.type_u8(), icmp.code_u8()) {
        (0, _) => format!("echo reply {id}/{sequence}"),
        (8, _) => format!("echo request {id}/{sequence}"),
        (3, 0) => "network unreachable".to_owned(),
        (3, 1) => "host unreachable".to_owned(),
        (3, 3) => "port unreachable".to_owned(),
        (3, 4) => format!("too big, the next MTU is {sequence}"),
        (3, 9 | 10 | 13) => "prohibited".to_owned(),
        (3, code) => format!("unreachable, code {code}"),
        (5, _) => "redirect".to_owned(),
        (11, _) => "time exceeded".to_owned(),
        (kind, code) => format!("type {kind}, code {code}"),
    }
}

/// RFC 4443 and RFC 4861.
fn icmpv6_words(icmp: &Icmpv6Slice<'_>) -> String {
    let [a, b, c, d] = icmp.bytes5to8();
    let (id, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let target = || {
        let bytes: [u8; 16] = icmp.payload().get(..16)?.try_into().ok()?;
        Some(Ipv6Addr::from(bytes).to_string())
    };
    let target = || target().unwrap_or_else(|| "?".to_owned());
    match (icmp.type_u8(), icmp.code_u8()) {
        (128, _) => format!("echo request {id}/{sequence}"),
        (129, _) => format!("echo reply {id}/{sequence}"),
        (1, 0) => "no route".to_owned(),
        (1, 1) => "prohibited".to_owned(),
        (1, 3) => "address unreachable".to_owned(),
        (1, 4) => "port unreachable".to_owned(),
        (1, code) => format!("unreachable, code {code}"),
        (2, _) => format!("too big, the next MTU is {}", u32::from_be_bytes([a, b, c, d])),
        (3, _) => "time exceeded".to_owned(),
        (133, _) => "router solicitation".to_owned(),
        (134, _) => "router advertisement".to_owned(),
        (135, _) => format!("who has {}?", target()),
        (136, _) => format!("{} is here", target()),
        (137, _) => "redirect".to_owned(),
        (130..=132 | 143, _) => "multicast listeners".to_owned(),
        (kind, code) => format!("type {kind}, code {code}"),
    }
}

#[cfg(test)]
mod tests;
