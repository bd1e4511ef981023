//! Questions, and servers that answer something else.

use lb_core::check::{DnsCheck, DnsName, QueryType, Question, Rcode, Transport};
use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

use super::datagram::{answer_datagrams, closed};
use super::*;

fn asking(name: &str, query: QueryType) -> DnsCheck {
    DnsCheck {
        question: Question {
            name: DnsName::new(name).unwrap(),
            query,
        },
        rcode: Rcode::NoError,
        expect: None,
        transport: Transport::Udp,
    }
}

/// What another implementation of DNS makes of a question: an alias, and these addresses behind it.
fn reply(query: &[u8], rcode: RCODE, addresses: &[&str]) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    *reply.rcode_mut() = rcode;
    reply.questions = query.questions.clone();
    let alias = Name::new("alias.example.net").unwrap();
    let record = |name: &Name<'static>, data| ResourceRecord::new(name.clone(), CLASS::IN, 60, data);
    if !addresses.is_empty() {
        let asked = query.questions[0].qname.clone().into_owned();
        reply
            .answers
            .push(record(&asked, RData::CNAME(CNAME(alias.clone()))));
    }
    for address in addresses {
        let data = match address.parse().unwrap() {
            std::net::IpAddr::V4(v4) => RData::A(A::from(v4)),
            std::net::IpAddr::V6(v6) => RData::AAAA(AAAA::from(v6)),
        };
        reply.answers.push(record(&alias, data));
    }
    reply.build_bytes_vec_compressed().unwrap()
}

fn outcome(target: SocketAddr, check: &DnsCheck) -> Outcome {
    run(target, &asks(CheckKind::Dns(check.clone()))).outcome
}

#[test]
fn an_answer_is_judged_by_its_rcode_and_its_addresses() {
    let well = answer_datagrams(|query| {
        vec![reply(
            query,
            RCODE::NoError,
            &["192.0.2.1", "192.0.2.2", "2001:db8::1"],
        )]
    });
    let mut check = asking("www.Example.com", QueryType::A);
    assert_eq!(outcome(well, &check), Outcome::Pass);
    assert_eq!(outcome(well, &asking(".", QueryType::Soa)), Outcome::Pass);
    for (expect, expected) in [
        ("192.0.2.2", Outcome::Pass),
        ("2001:db8::1", Outcome::Pass),
        (
            "192.0.2.3",
            fail("192.0.2.1 and not 192.0.2.3 for www.Example.com"),
        ),
    ] {
        check.expect = Some(expect.parse().unwrap());
        assert_eq!(outcome(well, &check), expected);
    }
    let empty = answer_datagrams(|query| vec![reply(query, RCODE::NoError, &[])]);
    assert_eq!(outcome(empty, &check), fail("no address for www.Example.com"));
    let unknown = answer_datagrams(|query| vec![reply(query, RCODE::NameError, &[])]);
    assert_eq!(
        outcome(unknown, &check),
        fail("NXDOMAIN instead of NOERROR for www.Example.com A")
    );
    check = DnsCheck {
        rcode: Rcode::NxDomain,
        ..asking("www.example.com", QueryType::A)
    };
    assert_eq!(outcome(unknown, &check), Outcome::Pass);
}

#[test]
fn only_an_answer_to_the_question_counts() {
    let check = asking("www.example.com", QueryType::A);
    let late = fail("an answer, but not to the question, and no other within 500ms");
    type Misleading = fn(&[u8]) -> Vec<u8>;
    let astray: [Misleading; 5] = [
        // Another id, the question itself, another name, garbage, too short.
        |query| {
            let mut answer = reply(query, RCODE::NoError, &["192.0.2.1"]);
            answer[0] ^= 1;
            answer
        },
        |query| query.to_vec(),
        |query| {
            let mut answer = reply(query, RCODE::NoError, &["192.0.2.1"]);
            answer[13] = b'x';
            answer
        },
        |_| vec![0xff; 100],
        |query| query[..11].to_vec(),
    ];
    for wrong in astray {
        let target = answer_datagrams(move |query| vec![wrong(query)]);
        assert_eq!(run(target, &briefly(CheckKind::Dns(check.clone()))).outcome, late);
        // The right one may still come.
        let target = answer_datagrams(move |query| vec![wrong(query), reply(query, RCODE::NoError, &[])]);
        assert_eq!(outcome(target, &check), Outcome::Pass);
    }
    // Who does not understand the question need not repeat it.
    let refuses = answer_datagrams(|query| vec![[&query[..2], &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat()]);
    assert_eq!(
        outcome(refuses, &check),
        fail("FORMERR instead of NOERROR for www.example.com A")
    );
    assert_eq!(
        outcome(closed(), &check),
        refused("the port is closed (ICMP: port unreachable)")
    );
    let mute = answer_datagrams(|_| vec![]);
    assert_eq!(
        run(mute, &briefly(CheckKind::Dns(check))).outcome,
        silent("no answer within 500ms")
    );
}

/// A TCP server at the address of a UDP server that says that its answers do not fit.
fn truncating(with: impl Fn(Stream, Vec<u8>) + Send + 'static) -> SocketAddr {
    let target = answer_datagrams(|query| {
        let mut answer = Packet::parse(query).unwrap();
        answer.set_flags(PacketFlag::RESPONSE | PacketFlag::TRUNCATION);
        vec![answer.build_bytes_vec().unwrap()]
    });
    let listener = TcpListener::bind(target).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_ok() {
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).unwrap();
                with(stream, query);
            }
        }
    });
    target
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

#[test]
fn what_does_not_fit_is_asked_for_over_tcp() {
    let mut check = asking("www.example.com", QueryType::A);
    check.expect = Some("192.0.2.9".parse().unwrap());
    let target = truncating(|mut stream, query| {
        let addresses: Vec<String> = (0..200).map(|n| format!("192.0.2.{n}")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let _ = stream.write_all(&framed(&reply(&query, RCODE::NoError, &addresses)));
    });
    for transport in [Transport::Udp, Transport::Tcp] {
        check.transport = transport;
        assert_eq!(outcome(target, &check), Outcome::Pass);
    }
    let astray = truncating(|mut stream, query| {
        let _ = stream.write_all(&framed(&query));
    });
    assert_eq!(outcome(astray, &check), fail("the answer is not to the question"));
}

#[test]
fn a_server_over_tcp_that_means_harm_is_down_in_time() {
    let mut check = asking("www.example.com", QueryType::A);
    check.transport = Transport::Tcp;
    let whole = fail("the connection was closed before the answer was whole");
    let closes = truncating(|mut stream, _| {
        let _ = stream.write_all(&[0x10, 0x00, 1, 2, 3]);
    });
    assert_eq!(outcome(closes, &check), whole);
    let kind = CheckKind::Dns(check.clone());
    let late = fail("connected, but no DNS answer that was whole within 500ms");
    let silent = serve(std::mem::forget);
    assert_eq!(run(silent, &briefly(kind.clone())).outcome, late);
    let trickles = serve(|mut stream| {
        while stream.write_all(&[0x7f]).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(run(trickles, &briefly(kind)).outcome, late);
    let endless = serve(|mut stream| while stream.write_all(&[b'.'; 4096]).is_ok() {});
    assert_eq!(
        outcome(endless, &check),
        fail("the answer is not to the question")
    );
    let resets = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1]);
        socket_linger(&stream);
    });
    assert_eq!(outcome(resets, &check), fail("connection reset"));
}
