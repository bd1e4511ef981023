//! Whatever is encoded is decoded to the same, and no bytes make the decoder panic.

#![allow(clippy::unwrap_used)] // A panic is the report.

use std::net::IpAddr;

use lb_wire::genl;
use lb_wire::ipvs::{
    Dest, DestEntry, DestKey, Family, IpvsAttribute, IpvsMessage, ListedDest, ListedServer, ListedService,
    Service, ServiceEntry, ServiceKey, Timeouts, TunnelSettings,
};
use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use proptest::prelude::*;

fn service_keys() -> impl Strategy<Value = ServiceKey> {
    let addresses = (any::<u16>(), any::<IpAddr>(), any::<u16>()).prop_map(|(protocol, address, port)| {
        ServiceKey::Address {
            protocol,
            address,
            port,
        }
    });
    let marks = (any::<bool>(), any::<u32>()).prop_map(|(v6, mark)| ServiceKey::Fwmark {
        family: if v6 { Family::V6 } else { Family::V4 },
        mark,
    });
    prop_oneof![addresses, marks]
}

fn services() -> impl Strategy<Value = Service> {
    (
        service_keys(),
        "[a-z]{1,15}",
        any::<u32>(),
        any::<u32>(),
        any::<[u8; 4]>(),
        proptest::option::of("[a-z]{1,15}"),
    )
        .prop_map(|(key, scheduler, flags, timeout_s, netmask, pe_name)| Service {
            key,
            scheduler,
            flags,
            timeout_s,
            netmask,
            pe_name,
        })
}

fn dests() -> impl Strategy<Value = Dest> {
    (
        any::<IpAddr>(),
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<(u8, u16, u16)>(),
    )
        .prop_map(
            |(
                address,
                port,
                forward,
                weight,
                upper_threshold,
                lower_threshold,
                (kind, tunnel_port, flags),
            )| Dest {
                key: DestKey { address, port },
                forward: forward.into(),
                tunnel: TunnelSettings {
                    kind,
                    port: tunnel_port,
                    flags,
                },
                weight,
                upper_threshold,
                lower_threshold,
            },
        )
}

/// Through the bytes and back.
fn pass(message: &IpvsMessage) -> IpvsMessage {
    let bytes = genl::encode(message.clone(), 0x19, 0, 1);
    let mut messages = genl::decode::<IpvsMessage>(&bytes);
    let received = messages.next().unwrap().unwrap();
    assert!(messages.next().is_none());
    match received.payload.unwrap() {
        NetlinkPayload::InnerMessage(inner) => inner.payload,
        other => panic!("{other:?}"),
    }
}

/// The next message as it is read straight from the bytes.
fn straight<A: std::fmt::Debug>(received: Option<genl::Received<A>>) -> A {
    match received.unwrap().payload {
        Ok(NetlinkPayload::InnerMessage(seen)) => seen.payload,
        other => panic!("{other:?}"),
    }
}

/// Decodes all there is, down to the typed views; a server or service read straight from the bytes is the same.
fn devour(datagram: &[u8]) {
    let mut dests = genl::decode::<ListedDest>(datagram).flatten();
    let mut servers = genl::decode::<ListedServer>(datagram).flatten();
    let mut services = genl::decode::<ListedService>(datagram).flatten();
    for received in genl::decode::<IpvsMessage>(datagram).flatten() {
        let (listed, server, service) = (dests.next(), servers.next(), services.next());
        let Ok(NetlinkPayload::InnerMessage(inner)) = received.payload else {
            continue;
        };
        let found = inner
            .payload
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                IpvsAttribute::Service(nested) => Some(ServiceEntry::from_attributes(nested)),
                _ => None,
            });
        let found = found.map(|entry| entry.map(|entry| entry.service));
        assert_eq!(straight(service), ListedService(found));
        let dest = inner
            .payload
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                IpvsAttribute::Dest(nested) => Some(DestEntry::from_attributes(nested)),
                _ => None,
            });
        assert_eq!(
            straight(server),
            ListedServer(dest.map(|entry| entry.map(|entry| entry.dest)))
        );
        assert_eq!(straight(listed), ListedDest(dest));
        for attribute in &inner.payload.attributes {
            match attribute {
                IpvsAttribute::Service(nested) => drop(ServiceEntry::from_attributes(nested)),
                IpvsAttribute::Dest(nested) => drop(DestEntry::from_attributes(nested)),
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn a_service_comes_back(service in services()) {
        let message = IpvsMessage::new_service(&service);
        let back = pass(&message);
        prop_assert_eq!(&back, &message);
        let [IpvsAttribute::Service(attributes)] = &back.attributes[..] else {
            panic!("{back:?}");
        };
        prop_assert_eq!(ServiceEntry::from_attributes(attributes).unwrap().service, service);
    }

    #[test]
    fn a_server_comes_back(service in service_keys(), dest in dests()) {
        let message = IpvsMessage::set_dest(&service, &dest);
        let back = pass(&message);
        prop_assert_eq!(&back, &message);
        let [IpvsAttribute::Service(_), IpvsAttribute::Dest(attributes)] = &back.attributes[..]
        else {
            panic!("{back:?}");
        };
        prop_assert_eq!(DestEntry::from_attributes(attributes).unwrap().dest, dest);
    }

    /// Requests one behind the other are what each is by itself.
    #[test]
    fn a_request_at_the_end_of_a_datagram_has_the_same_bytes(service in services(), dest in dests()) {
        let messages = [
            IpvsMessage::new_service(&service),
            IpvsMessage::set_dest(&service.key, &dest),
            IpvsMessage::del_dest(&service.key, &dest.key),
            IpvsMessage::set_config(Timeouts { tcp_s: 1, tcp_fin_s: 2, udp_s: 3 }),
            IpvsMessage::dump_services(),
        ];
        let (mut one_by_one, mut appended) = (Vec::new(), Vec::new());
        for (sequence, message) in (7..).zip(&messages) {
            one_by_one.extend(genl::encode(message.clone(), 0x19, NLM_F_ACK, sequence));
            message.append_to(&mut appended, 0x19, NLM_F_ACK, sequence);
        }
        prop_assert_eq!(appended, one_by_one);
    }

    #[test]
    fn timeouts_come_back(tcp_s: u32, tcp_fin_s: u32, udp_s: u32) {
        let timeouts = Timeouts { tcp_s, tcp_fin_s, udp_s };
        let back = pass(&IpvsMessage::set_config(timeouts));
        prop_assert_eq!(Timeouts::from_message(&back), timeouts);
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        devour(&bytes);
    }

    /// Closer to the truth than random bytes: a real message with a few of them changed, or cut short.
    #[test]
    fn a_damaged_message_is_taken(
        service in services(),
        dest in dests(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        for message in [
            IpvsMessage::new_service(&service),
            IpvsMessage::new_dest(&service.key, &dest),
        ] {
            let mut bytes = genl::encode(message, 0x19, 0, 1);
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            devour(&bytes);
            // With a length that tells the truth, so that what is inside gets looked at.
            bytes.truncate(16 + cut.index(bytes.len() - 16));
            let length = u32::try_from(bytes.len()).unwrap();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            devour(&bytes);
        }
    }
}
