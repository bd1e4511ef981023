//! The codec against what ipvsadm and a real kernel said to each other (captures/README.md): requests come out as
//! ipvsadm's, answers are understood, and what is read in goes out again with the same bytes.

#![allow(clippy::unwrap_used)] // A panic is the report.

mod capture;

use std::net::IpAddr;

use capture::Capture;
use lb_wire::genl;
use lb_wire::ipvs::{
    Dest, DestEntry, DestKey, Family, ForwardMethod, Info, IpvsAttribute, IpvsMessage, SVC_F_HASHED,
    SVC_F_ONEPACKET, SVC_F_PERSISTENT, Service, ServiceEntry, ServiceKey, TUNNEL_GUE, Timeouts,
    TunnelSettings,
};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NetlinkPayload};

const TCP: u16 = 6;
const UDP: u16 = 17;

fn address(protocol: u16, address: &str, port: u16) -> ServiceKey {
    ServiceKey::Address {
        protocol,
        address: ip(address),
        port,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn dest(address: &str, port: u16, forward: ForwardMethod, weight: u32) -> Dest {
    Dest {
        key: DestKey {
            address: ip(address),
            port,
        },
        forward,
        tunnel: TunnelSettings::default(),
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

/// Of ipvsadm's `--tun-type gue --tun-port 6080`.
fn gue() -> TunnelSettings {
    TunnelSettings {
        kind: TUNNEL_GUE,
        port: 6080,
        flags: 0,
    }
}

fn web() -> ServiceKey {
    address(TCP, "192.168.0.1", 30080)
}

/// Our request has ipvsadm's bytes, header and all.
fn same_bytes(name: &str, request: IpvsMessage) {
    let capture = Capture::read(name);
    let theirs = capture.sent(0);
    let (family, sequence) = (theirs.header.message_type, theirs.header.sequence_number);
    let flags = theirs.header.flags & (NLM_F_ACK | NLM_F_DUMP);
    let mut ours = genl::encode(request, family, flags, sequence);
    // nlmsg_pid: the kernel knows the sender by itself.
    ours[12..16].copy_from_slice(&theirs.header.port_number.to_ne_bytes());
    assert_eq!(ours, theirs.bytes, "{name}");
}

/// ipvsadm sends more than a server needs: settings of the service beside its key.
fn same_server(name: &str, request: &IpvsMessage) {
    let theirs = Capture::read(name).sent(0).message;
    assert_eq!(request.command, theirs.command, "{name}");
    assert_eq!(request.attributes.len(), theirs.attributes.len(), "{name}");
    for pair in request.attributes.iter().zip(&theirs.attributes) {
        match pair {
            (IpvsAttribute::Service(ours), IpvsAttribute::Service(theirs)) => {
                assert_eq!(ours[..], theirs[..ours.len()], "{name}");
            }
            (IpvsAttribute::Dest(ours), IpvsAttribute::Dest(theirs)) => {
                for attribute in ours {
                    assert!(theirs.contains(attribute), "{name}: {attribute:?}");
                }
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn services_are_added_edited_and_listed_with_ipvsadms_bytes() {
    same_bytes(
        "add-virtual4",
        IpvsMessage::new_service(&Service::plain(web(), "wrr")),
    );
    same_bytes(
        "edit-virtual4",
        IpvsMessage::set_service(&Service::plain(web(), "rr")),
    );
    for (name, family, mark) in [("add-fwmark4", Family::V4, 42), ("add-fwmark6", Family::V6, 43)] {
        let key = ServiceKey::Fwmark { family, mark };
        same_bytes(name, IpvsMessage::new_service(&Service::plain(key, "rr")));
    }
    let mut v6 = Service::plain(address(TCP, "2001:db8::1", 443), "wlc");
    v6.flags = SVC_F_PERSISTENT;
    v6.timeout_s = 300;
    v6.netmask = 64_u32.to_ne_bytes();
    same_bytes("add-virtual6", IpvsMessage::new_service(&v6));
    let mut dns = Service::plain(address(UDP, "192.168.0.1", 53), "rr");
    dns.flags = SVC_F_ONEPACKET;
    same_bytes("add-udp", IpvsMessage::new_service(&dns));
    same_bytes("list", IpvsMessage::dump_services());
}

#[test]
fn the_rest_of_ipvs_is_asked_with_ipvsadms_bytes() {
    same_bytes("get-config", IpvsMessage::get_config());
    let timeouts = Timeouts {
        tcp_s: 3600,
        tcp_fin_s: 120,
        udp_s: 30,
    };
    same_bytes("set-config", IpvsMessage::set_config(timeouts));
}

#[test]
fn servers_are_added_edited_and_deleted_as_ipvsadm_does() {
    let nat = ForwardMethod::Masquerade;
    let first = dest("172.16.0.11", 30080, nat, 1);
    let second = dest("172.16.0.12", 30080, nat, 3);
    same_server("add-real4", &IpvsMessage::new_dest(&web(), &first));
    same_server("add-real4-b", &IpvsMessage::new_dest(&web(), &second));
    let drained = Dest { weight: 0, ..second };
    same_server("edit-real4", &IpvsMessage::set_dest(&web(), &drained));
    same_server("delete-real4", &IpvsMessage::del_dest(&web(), &second.key));
    let v6 = address(TCP, "2001:db8::1", 443);
    let server = dest("fd00::11", 30443, nat, 5);
    same_server("add-real6", &IpvsMessage::new_dest(&v6, &server));
    let limited = Dest {
        upper_threshold: 200,
        lower_threshold: 100,
        ..dest("172.16.0.12", 80, ForwardMethod::DirectRoute, 1)
    };
    let other = address(TCP, "192.168.0.2", 80);
    same_server("add-real-thresholds", &IpvsMessage::new_dest(&other, &limited));
    let marked = ServiceKey::Fwmark {
        family: Family::V4,
        mark: 42,
    };
    let wrapped = Dest {
        tunnel: gue(),
        ..dest("172.16.0.13", 0, ForwardMethod::Tunnel, 7)
    };
    same_server("add-real-tunnel", &IpvsMessage::new_dest(&marked, &wrapped));
}

#[test]
fn services_are_deleted_by_their_key_alone() {
    for (name, key) in [
        ("delete-virtual6", address(TCP, "2001:db8::1", 443)),
        (
            "delete-fwmark6",
            ServiceKey::Fwmark {
                family: Family::V6,
                mark: 43,
            },
        ),
    ] {
        let theirs = Capture::read(name).sent(0).message;
        let ours = IpvsMessage::del_service(&key);
        assert_eq!(ours.command, theirs.command);
        let (IpvsAttribute::Service(ours), IpvsAttribute::Service(theirs)) =
            (&ours.attributes[0], &theirs.attributes[0])
        else {
            panic!("{name}: {theirs:?}");
        };
        assert_eq!(ours[..], theirs[..ours.len()], "{name}");
    }
}

/// The services of the first dump in the file, by key.
fn services(capture: &Capture) -> Vec<ServiceEntry> {
    let mut entries: Vec<ServiceEntry> = capture
        .received()
        .into_iter()
        .filter_map(|m| match m.message.attributes.first() {
            Some(IpvsAttribute::Service(attributes)) => {
                Some(ServiceEntry::from_attributes(attributes).unwrap())
            }
            _ => None,
        })
        .collect();
    entries.sort_by_key(|entry| entry.service.key);
    entries
}

fn servers(capture: &Capture) -> Vec<DestEntry> {
    capture
        .received()
        .into_iter()
        .filter_map(|m| match m.message.attributes.first() {
            Some(IpvsAttribute::Dest(attributes)) => Some(DestEntry::from_attributes(attributes).unwrap()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_dump_with_every_kind_of_service_is_understood() {
    let listed = services(&Capture::read("list"));
    let plain = |key, scheduler: &str| Service {
        flags: SVC_F_HASHED,
        ..Service::plain(key, scheduler)
    };
    let fallback_and_port = 0x8 | 0x10;
    let expected = [
        plain(web(), "rr"),
        Service {
            flags: SVC_F_PERSISTENT | SVC_F_HASHED | fallback_and_port,
            timeout_s: 600,
            netmask: [255, 255, 255, 0],
            ..plain(address(TCP, "192.168.0.2", 80), "sh")
        },
        Service {
            flags: SVC_F_PERSISTENT | SVC_F_HASHED,
            timeout_s: 300,
            netmask: 64_u32.to_ne_bytes(),
            ..plain(address(TCP, "2001:db8::1", 443), "wlc")
        },
        Service {
            flags: SVC_F_HASHED | SVC_F_ONEPACKET,
            ..plain(address(UDP, "192.168.0.1", 53), "rr")
        },
        plain(
            ServiceKey::Fwmark {
                family: Family::V4,
                mark: 42,
            },
            "rr",
        ),
        plain(
            ServiceKey::Fwmark {
                family: Family::V6,
                mark: 43,
            },
            "rr",
        ),
    ];
    let settings: Vec<Service> = listed.iter().map(|e| e.service.clone()).collect();
    assert_eq!(settings, expected);
    // What ipvsadm printed at that moment: 4 connections, 21 and 19 packets, 1364 and 1659 bytes.
    let stats = listed[0].stats;
    assert_eq!(
        (stats.connections, stats.in_packets, stats.out_packets),
        (4, 21, 19)
    );
    assert_eq!((stats.in_bytes, stats.out_bytes), (1364, 1659));
}

#[test]
fn a_dump_of_servers_is_understood() {
    let mut listed = servers(&Capture::read("list-one"));
    listed.sort_by_key(|entry| entry.dest.key);
    let nat = ForwardMethod::Masquerade;
    let settings: Vec<Dest> = listed.iter().map(|entry| entry.dest).collect();
    assert_eq!(
        settings,
        [
            dest("172.16.0.11", 30080, nat, 1),
            dest("172.16.0.12", 30080, nat, 0)
        ]
    );
    let first = listed[0];
    assert_eq!((first.active_connections, first.inactive_connections), (1, 3));
    assert_eq!(first.stats.connections, 4);
    assert_eq!(first.persistent_connections, 0);
    let tunnel = servers(&Capture::read("list"))
        .into_iter()
        .find(|entry| entry.dest.key.address == ip("172.16.0.13"))
        .unwrap();
    assert_eq!(tunnel.dest.forward, ForwardMethod::Tunnel);
    assert_eq!(tunnel.dest.tunnel, gue());
    assert_eq!(tunnel.dest.weight, 7);
}

#[test]
fn facts_and_timeouts_are_understood() {
    let open = Capture::read("open");
    let info = open.received().last().unwrap().message.clone();
    assert_eq!(
        Info::from_message(&info).unwrap(),
        Info {
            version: (1, 2, 1),
            connection_table_size: 16384
        }
    );
    for (name, tcp_s, udp_s) in [("get-config", 900, 300), ("get-config-after", 3600, 30)] {
        let answer = Capture::read(name).received()[0].message.clone();
        let expected = Timeouts {
            tcp_s,
            tcp_fin_s: 120,
            udp_s,
        };
        assert_eq!(Timeouts::from_message(&answer), expected, "{name}");
    }
}

#[test]
fn refusals_carry_the_errno() {
    for (name, errno) in [
        ("error-add-virtual", 17),
        ("error-delete-real", 2),
        ("error-no-scheduler", 2),
        ("error-no-virtual", 3),
        ("add-virtual4", 0),
    ] {
        let capture = Capture::read(name);
        let answer = capture.datagrams.last().unwrap();
        let received = genl::decode::<IpvsMessage>(&answer.bytes)
            .next()
            .unwrap()
            .unwrap();
        let Ok(NetlinkPayload::Error(error)) = received.payload else {
            panic!("{name}: {received:?}");
        };
        assert_eq!(error.raw_code(), -errno, "{name}");
    }
}

#[test]
fn what_is_read_goes_out_with_the_same_bytes() {
    let mut messages = 0;
    for name in Capture::names() {
        for message in Capture::read(&name).ipvs_messages() {
            let header = message.header;
            let mut again = genl::encode(
                message.message.clone(),
                header.message_type,
                0,
                header.sequence_number,
            );
            // The kernel's answers have other header flags than a request.
            again[6..8].copy_from_slice(&header.flags.to_ne_bytes());
            again[12..16].copy_from_slice(&header.port_number.to_ne_bytes());
            let theirs = capture::with_nested_flags(&message);
            assert_eq!(again, theirs, "{name}");
            messages += 1;
        }
    }
    assert!(messages > 60, "only {messages} messages were compared");
}
