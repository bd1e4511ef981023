//! What is dumped and what is asked for mean the same services and servers.

use super::*;

const DCCP: u16 = 33;

fn web() -> VirtualKey {
    "192.168.0.1:30080/tcp".parse().unwrap()
}

fn server(last: u8) -> RealKey {
    RealKey {
        address: [172, 16, 0, last].into(),
        port: 30080,
    }
}

/// As the kernel dumps a service that we added.
fn listed(key: ServiceKey, scheduler: &str) -> Service {
    Service {
        flags: SVC_F_HASHED,
        ..Service::plain(key, scheduler)
    }
}

fn listed_server(last: u8, weight: u32) -> Dest {
    Dest {
        weight,
        ..dest(&server(last), &of_one(Forward::Nat))
    }
}

fn of_one(forward: Forward) -> DesiredReal {
    DesiredReal {
        weight: Weight::ONE,
        forward,
        limit: Limit::default(),
    }
}

fn only(service: Service, server: Dest) -> ObservedVirtual {
    let seen = observed(&[service]).virtual_servers.into_values().next().unwrap();
    ObservedVirtual {
        servers: [observed_real(&server)].into(),
        ..seen
    }
}

#[test]
fn what_we_add_is_what_we_observe() {
    let seen = only(listed(service_key(&web()), "wrr"), listed_server(11, 3));
    let real = ObservedReal {
        weight: Weight::new(3).unwrap(),
        forward: Some(Forward::Nat),
        limit: Some(Limit::default()),
    };
    let expected = ObservedVirtual {
        settings: Some(Scheduler::Wrr.into()),
        servers: [(server(11), real)].into(),
    };
    assert_eq!(seen, expected);
}

#[test]
fn each_foreign_setting_of_a_service_shows() {
    let key = service_key(&web());
    let changes: [fn(&mut Service); 4] = [
        |s| s.flags |= 0x100,
        |s| s.netmask = [255, 255, 255, 0],
        |s| s.timeout_s = 300,
        |s| s.pe_name = Some("sip".to_owned()),
    ];
    for change in changes {
        let mut entry = listed(key, "rr");
        change(&mut entry);
        assert_eq!(only(entry, listed_server(11, 1)).settings, None);
    }
    let unknown = only(listed(key, "none"), listed_server(11, 1));
    assert_eq!(unknown.settings, None);
}

#[test]
fn settings_read_back_as_they_were_asked_for() {
    for service_name in ["192.168.0.1:53/udp", "[2001:db8::1]:53/udp"] {
        let key: VirtualKey = service_name.parse().unwrap();
        for (prefix, one_packet) in [(1, false), (24, true), (32, false)] {
            let wanted = VirtualSettings {
                scheduler: Scheduler::Sh,
                persistence: Some(Persistence {
                    timeout_s: 300,
                    prefix,
                }),
                one_packet,
            };
            let mut seen = service(service_key(&key), &wanted);
            assert_eq!(settings(&seen), None, "the kernel sets the flag of its table");
            seen.flags |= SVC_F_HASHED;
            assert_eq!(settings(&seen), Some(wanted));
        }
    }
    let web = service_key(&web());
    let persistent = |netmask| Service {
        flags: SVC_F_HASHED | SVC_F_PERSISTENT,
        timeout_s: 9,
        netmask,
        ..Service::plain(web, "rr")
    };
    let prefix = |netmask| {
        settings(&persistent(netmask))
            .and_then(|s| s.persistence)
            .map(|p| p.prefix)
    };
    assert_eq!(prefix([255, 255, 254, 0]), Some(23));
    assert_eq!(prefix([255, 0, 255, 0]), None);
}

#[test]
fn each_foreign_setting_of_a_server_shows() {
    let key = service_key(&web());
    let see = |change: fn(&mut Dest)| {
        let mut entry = listed_server(11, 1);
        change(&mut entry);
        only(listed(key, "rr"), entry).servers[&server(11)]
    };
    let limit = |most, resume| Some(Limit { most, resume });
    assert_eq!(see(|d| d.upper_threshold = 10).limit, limit(10, 0));
    assert_eq!(see(|d| d.lower_threshold = 10).limit, limit(0, 10));
    assert_eq!(
        see(|d| d.forward = ForwardMethod::DirectRoute).forward,
        Some(Forward::Direct)
    );
    assert_eq!(see(|d| d.forward = ForwardMethod::LocalNode).forward, None);
    let heavy = see(|d| d.weight = Weight::MAX + 1);
    assert_eq!(heavy.limit, None);
    assert_eq!(heavy.weight.value(), Weight::MAX);
    assert_eq!(see(|d| d.weight = Weight::MAX).limit, limit(0, 0));
}

#[test]
fn tunnels_read_back_as_they_were_asked_for() {
    let gue = |port, checksum| Forward::Tunnel(Tunnel::Gue(Gue { port, checksum }));
    for wanted in [
        Forward::Nat,
        Forward::Direct,
        Forward::Tunnel(Tunnel::Ipip),
        gue(5555, false),
        gue(6080, true),
    ] {
        assert_eq!(forward(&dest(&server(11), &of_one(wanted))), Some(wanted));
    }
    let mut other = dest(&server(11), &of_one(gue(6080, true)));
    // Remote checksum offload, GRE, and a tunnel's port on a server behind NAT.
    other.tunnel.flags = 2;
    assert_eq!(forward(&other), None);
    other.tunnel = TunnelSettings {
        kind: 2,
        ..TunnelSettings::default()
    };
    assert_eq!(forward(&other), None);
    let mut other = dest(&server(11), &of_one(Forward::Nat));
    other.tunnel.port = 1;
    assert_eq!(forward(&other), None);
}

#[test]
fn services_outside_our_model_are_foreign_and_can_be_deleted() {
    let address = "192.0.2.1".parse().unwrap();
    let keys = [
        ServiceKey::Fwmark {
            family: Family::V4,
            mark: 7,
        },
        ServiceKey::Fwmark {
            family: Family::V6,
            mark: 7,
        },
        ServiceKey::Address {
            protocol: DCCP,
            address,
            port: 53,
        },
        ServiceKey::Address {
            protocol: 300,
            address,
            port: 0,
        },
    ];
    let services = keys.map(|key| listed(key, "rr"));
    let table = observed(&services);
    assert!(table.virtual_servers.is_empty());
    assert!(keys.iter().all(|key| identity(key).is_err()));
    let deleted: BTreeSet<ServiceKey> = table.foreign_services.iter().map(foreign_key).collect();
    assert_eq!(deleted, keys.into());
}

#[test]
fn a_mark_of_our_range_is_a_service_of_ours() {
    for text in ["fwmark 0x4c00000a/ipv4", "fwmark 0x4cfffff0/ipv6"] {
        let key: VirtualKey = text.parse().unwrap();
        let listed = listed(service_key(&key), "rr");
        let seen = observed(&[listed]);
        assert_eq!(seen.virtual_servers[&key].settings, Some(Scheduler::Rr.into()));
        assert!(seen.foreign_services.is_empty());
    }
}

#[test]
fn steps_of_ipvs_are_requests_and_others_are_not() {
    let (service, server, settings) = (web(), server(11), VirtualSettings::from(Scheduler::Wlc));
    let real = DesiredReal {
        weight: Weight::ZERO,
        forward: Forward::Nat,
        limit: Limit { most: 10, resume: 5 },
    };
    let wire = Service::plain(service_key(&service), "wlc");
    let key = wire.key;
    let to = dest(&server, &real);
    assert_eq!((to.upper_threshold, to.lower_threshold), (10, 5));
    let cases = [
        (
            Step::AddVirtual { service, settings },
            IpvsMessage::new_service(&wire),
        ),
        (
            Step::EditVirtual { service, settings },
            IpvsMessage::set_service(&wire),
        ),
        (Step::DeleteVirtual(service), IpvsMessage::del_service(&key)),
        (
            Step::AddReal {
                service,
                server,
                real,
            },
            IpvsMessage::new_dest(&key, &to),
        ),
        (
            Step::EditReal {
                service,
                server,
                real,
            },
            IpvsMessage::set_dest(&key, &to),
        ),
        (
            Step::DeleteReal { service, server },
            IpvsMessage::del_dest(&key, &to.key),
        ),
    ];
    for (step, expected) in cases {
        assert_eq!(request(&step), Some(expected), "{step}");
    }
    assert_eq!(to.weight, 0);
    assert_eq!(request(&Step::DeleteRuleset), None);
}

#[test]
fn services_are_compared_whole_and_each_once() {
    let mark = ServiceKey::Fwmark {
        family: Family::V4,
        mark: 7,
    };
    let other = service_key(&"[2001:db8::1]:53/udp".parse().unwrap());
    let there = vec![
        listed(service_key(&web()), "rr"),
        listed(other, "sh"),
        listed(mark, "rr"),
    ];
    let read = |services: &[Service]| {
        let table = observed(services);
        Observed {
            virtual_servers: table.virtual_servers,
            foreign_services: table.foreign_services,
            ..Observed::default()
        }
    };
    let known = read(&there);
    assert!(services_are(&there, &known));
    assert!(services_are(
        &[there[2].clone(), there[1].clone(), there[0].clone()],
        &known
    ));
    let changes: [fn(&mut Service); 6] = [
        |s| s.scheduler = "wrr".to_owned(),
        |s| s.flags |= SVC_F_ONEPACKET,
        |s| s.timeout_s = 300,
        |s| s.netmask = [255, 255, 255, 0],
        |s| s.pe_name = Some("sip".to_owned()),
        |s| s.key = service_key(&"192.168.0.1:81/tcp".parse().unwrap()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut services = there.clone();
        change(&mut services[0]);
        assert_ne!(read(&services), known, "change {number}");
        assert!(!services_are(&services, &known), "change {number}");
    }
    for lost in 0..there.len() {
        let mut services = there.clone();
        let again = services.remove(lost);
        assert!(!services_are(&services, &known), "without {lost}");
        services.extend([again.clone(), again]);
        assert!(!services_are(&services, &known), "{lost} twice");
    }
}
