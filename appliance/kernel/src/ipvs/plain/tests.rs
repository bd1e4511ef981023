//! What the cheap comparison says is what comparing with a whole read-back says.

use lb_core::model::Weight;
use lb_wire::ipvs::{Dest, DestKey, TunnelSettings};
use proptest::prelude::*;

use super::*;
use crate::ipvs::table::observed_real;

/// As the kernel lays down a server (struct ip_vs_dest_entry), with connections and counters behind what we compare.
fn entry(dest: &Dest) -> [u8; SERVER] {
    let mut entry = [0xa5; SERVER];
    let IpAddr::V4(address) = dest.key.address else {
        panic!("{dest:?}");
    };
    put(&mut entry, SERVER_ADDRESS, address.octets());
    put(&mut entry, SERVER_PORT, dest.key.port.to_be_bytes());
    // IP_VS_CONN_F_INACTIVE is the kernel's own.
    let flags = u32::from(dest.forward) | 0x100;
    put(&mut entry, SERVER_FLAGS, flags.to_ne_bytes());
    put(&mut entry, SERVER_WEIGHT, dest.weight.to_ne_bytes());
    put(&mut entry, SERVER_UPPER, dest.upper_threshold.to_ne_bytes());
    put(&mut entry, SERVER_LOWER, dest.lower_threshold.to_ne_bytes());
    entry
}

fn compared(there: &[Dest], known: &FlatMap<RealKey, ObservedReal>) -> bool {
    let table: Vec<u8> = there.iter().flat_map(entry).collect();
    are(&table, known, &mut Vec::new())
}

fn read(there: &[Dest]) -> FlatMap<RealKey, ObservedReal> {
    there.iter().map(observed_real).collect()
}

fn dests() -> impl Strategy<Value = Dest> {
    let few = 0u8..12;
    (few, 0u16..3, 0u32..2, 0u32..4, 0u32..3, 0u32..3).prop_map(
        |(last, port, direct, weight, most, resume)| Dest {
            key: DestKey {
                address: [172, 16, 0, last].into(),
                port,
            },
            forward: ForwardMethod::from(direct * 3),
            tunnel: TunnelSettings::default(),
            weight,
            upper_threshold: most,
            lower_threshold: resume,
        },
    )
}

#[derive(Debug, Clone)]
enum Damage {
    Lost,
    Added(Dest),
    Twice,
    Swapped(prop::sample::Index),
    Address(u8),
    Port(u16),
    Forward(u32),
    Weight(u32),
    Upper(u32),
    Lower(u32),
}

fn damages() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let damage = prop_oneof![
        Just(Damage::Lost),
        dests().prop_map(Damage::Added),
        Just(Damage::Twice),
        any::<prop::sample::Index>().prop_map(Damage::Swapped),
        (0u8..12).prop_map(Damage::Address),
        (0u16..3).prop_map(Damage::Port),
        (0u32..8).prop_map(Damage::Forward),
        prop_oneof![0u32..4, Weight::MAX - 1..Weight::MAX + 2, Just(i32::MAX as u32)]
            .prop_map(Damage::Weight),
        any::<u32>().prop_map(Damage::Upper),
        any::<u32>().prop_map(Damage::Lower),
    ];
    (any::<prop::sample::Index>(), damage)
}

fn inflict(there: &mut Vec<Dest>, at: usize, damage: &Damage) {
    match damage {
        Damage::Lost => drop(there.remove(at)),
        Damage::Added(dest) => there.push(*dest),
        Damage::Twice => there.push(there[at]),
        Damage::Swapped(other) => {
            let other = other.index(there.len());
            there.swap(at, other);
        }
        Damage::Address(last) => there[at].key.address = [172, 16, 0, *last].into(),
        Damage::Port(port) => there[at].key.port = *port,
        Damage::Forward(method) => there[at].forward = ForwardMethod::from(*method),
        Damage::Weight(weight) => there[at].weight = *weight,
        Damage::Upper(most) => there[at].upper_threshold = *most,
        Damage::Lower(resume) => there[at].lower_threshold = *resume,
    }
}

proptest! {
    /// A server that is there twice, which no kernel holds, is not trusted.
    #[test]
    fn comparing_is_reading_and_comparing(
        given in prop::collection::vec(dests(), 0..12),
        damages in prop::collection::vec(damages(), 0..4),
    ) {
        let known = read(&given);
        let mut there: Vec<Dest> = Vec::new();
        for dest in given {
            there.retain(|other| other.key != dest.key);
            there.push(dest);
        }
        prop_assert!(compared(&there, &known));
        for (at, damage) in &damages {
            if !there.is_empty() {
                let at = at.index(there.len());
                inflict(&mut there, at, damage);
            }
        }
        let read = read(&there);
        let each_once = read.len() == there.len();
        prop_assert_eq!(compared(&there, &known), each_once && read == known, "{:?}", there);
    }
}

#[test]
fn it_does_not_answer_where_it_is_blind() {
    let real = |forward| ObservedReal {
        weight: Weight::ONE,
        forward,
        limit: Some(Limit::default()),
    };
    let v4 = RealKey {
        address: [172, 16, 0, 11].into(),
        port: 80,
    };
    let v6 = RealKey {
        address: "fd00::11".parse().unwrap(),
        port: 80,
    };
    let tunnel = Forward::Tunnel(lb_core::model::Tunnel::Ipip);
    assert!(is_plain(&v4, &real(Some(Forward::Nat))) && is_plain(&v4, &real(Some(Forward::Direct))));
    assert!(!is_plain(&v4, &real(Some(tunnel))) && !is_plain(&v4, &real(None)));
    assert!(!is_plain(&v6, &real(Some(Forward::Nat))));
    let heavy = ObservedReal {
        limit: None,
        ..real(Some(Forward::Nat))
    };
    assert!(!is_plain(&v4, &heavy));
    let six: VirtualKey = "[2001:db8::1]:53/udp".parse().unwrap();
    assert_eq!(Plain::default().servers_are(&six, &FlatMap::new()), None);
}

#[test]
fn a_question_names_the_service_as_the_kernel_does() {
    let mut bytes = Vec::new();
    question(&"192.168.0.1:30080/udp".parse().unwrap(), QUESTION, &mut bytes);
    let [p0, p1] = 17u16.to_ne_bytes();
    let begin = [p0, p1, 0, 0, 192, 168, 0, 1, 0x75, 0x80, 0, 0, 0, 0, 0, 0];
    assert_eq!(bytes[..16], begin);
    question(&"fwmark 0x4c00000a/ipv4".parse().unwrap(), SERVICE, &mut bytes);
    assert_eq!(bytes[..12], [0; 12]);
    assert_eq!(bytes[12..16], 0x4c00_000a_u32.to_ne_bytes());
    assert_eq!(bytes.len(), SERVICE);
}
