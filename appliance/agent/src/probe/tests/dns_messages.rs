//! Messages of DNS: what is written can be read by another implementation, and nothing that is read does harm.

use lb_core::check::DnsName;
use proptest::prelude::*;
use simple_dns::Packet;

use super::*;

fn question(name: &str, query: QueryType) -> Question {
    Question {
        name: DnsName::new(name).unwrap(),
        query,
    }
}

#[test]
fn another_implementation_understands_the_question() {
    for name in [".", "a", "www.example.com", "_sip._tcp.example.com"] {
        for query in QueryType::ALL {
            let Query(message) = Query::with_id(&question(name, *query), 0x1234);
            let packet = Packet::parse(&message).unwrap();
            assert_eq!((packet.id(), packet.questions.len()), (0x1234, 1));
            let asked = &packet.questions[0];
            assert_eq!(asked.qname.to_string(), name.trim_matches('.'));
            assert_eq!(u16::from(asked.qtype), query.number());
        }
    }
}

proptest! {
    #[test]
    fn any_message_is_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300), echo in any::<bool>(), count in 0u16..) {
        let query = Query::with_id(&question("www.example.com", QueryType::A), 7);
        let mut message = bytes;
        if echo {
            message.splice(..0, query.0.clone());
            message[2] |= QUERY_BIT;
            message[6..8].copy_from_slice(&count.to_be_bytes());
        }
        let answer = query.answered(message);
        prop_assert!(answer.is_some() || !echo);
        if let Some(answer) = answer {
            let check = DnsCheck {
                question: question("www.example.com", QueryType::A),
                rcode: Rcode::NoError,
                expect: Some([192, 0, 2, 1].into()),
                transport: Transport::Udp,
            };
            let _ = answer.judge(&check);
        }
    }

    #[test]
    fn addresses_are_found_among_other_records(kinds in prop::collection::vec((0u8..4, any::<[u8; 16]>()), 0..10)) {
        let query = Query::with_id(&question("a.b", QueryType::A), 7);
        let mut message = query.0.clone();
        message[2] |= QUERY_BIT;
        message[7] = kinds.len() as u8;
        let mut expected = Vec::new();
        for (kind, data) in &kinds {
            // By a pointer, or spelt out.
            message.extend(if kind % 2 == 0 { &[0xc0, 12][..] } else { b"\x01a\x01b\0" });
            let (number, length) = [(1u16, 4), (28, 16), (5, 9), (999, 0)][usize::from(*kind)];
            message.extend(number.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60, 0, length]);
            message.extend(&data[..length.into()]);
            match kind {
                0 => expected.push(IpAddr::from(<[u8; 4]>::try_from(&data[..4]).unwrap())),
                1 => expected.push(IpAddr::from(*data)),
                _ => {}
            }
        }
        let whole = query.answered(message.clone()).unwrap();
        prop_assert_eq!(whole.addresses(), Some(expected));
        if !kinds.is_empty() {
            message.pop();
            prop_assert_eq!(query.answered(message).unwrap().addresses(), None);
        }
    }
}
