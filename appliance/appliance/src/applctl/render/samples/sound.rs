//! Echoes and hops, as a network that has seen better days gives them.

use std::time::Duration;

use lb_core::echo::{EchoReport, Echoes, Heard, Said};
use lb_core::icmp::IcmpError;
use lb_core::trace::{Answer, TraceReport};

/// What was heard, and the account of it.
pub fn echoes() -> (Vec<(Heard, Said)>, EchoReport) {
    let target = "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap();
    let mut echoes = Echoes::to(target);
    (1..=5u16).for_each(|n| echoes.sent(n, Duration::from_secs(n.into())));
    let reply = |sequence| Heard::Reply {
        from: target,
        sequence,
        length: 64,
    };
    let error = |from: Option<&str>, sequence, mtu| Heard::Error {
        from: from.map(|from| from.parse().unwrap()),
        error: IcmpError {
            v6: true,
            kind: if mtu > 0 { 2 } else { 1 },
            code: 0,
            mtu,
        },
        sequence,
    };
    let heard = [
        (reply(1), 1_000_412),
        (reply(1), 1_000_500),
        (reply(2), 2_035_000),
        (error(Some("fe80::1"), 3, 1400), 3_001_000),
        (error(None, 4, 1400), 4_000_100),
        (error(Some("2001:db8::ff"), 5, 0), 5_000_900),
    ];
    let told = heard.map(|(heard, at)| (heard, echoes.heard(heard, Duration::from_micros(at))));
    (told.to_vec(), echoes.report())
}

pub fn silence() -> EchoReport {
    let mut echoes = Echoes::to("172.16.0.12".parse().unwrap());
    (1..=3u16).for_each(|n| echoes.sent(n, Duration::from_secs(n.into())));
    echoes.report()
}

/// A way that ends well, and one that a filter ends.
pub fn traces() -> [TraceReport; 2] {
    let icmp = |from: &str, kind, code| Answer::Icmp {
        from: from.parse().unwrap(),
        error: IcmpError {
            v6: false,
            kind,
            code,
            mtu: 0,
        },
    };
    let walk = |report: &mut TraceReport, answers: Vec<Option<Answer>>| {
        report.next_hop();
        for answer in answers {
            report.answered(answer.map(|answer| (answer, Duration::from_micros(412))));
        }
    };
    let mut good = TraceReport::to("203.0.113.7".parse().unwrap(), Some(443));
    let spread = vec![Some(icmp("10.0.0.1", 11, 0)), None, Some(icmp("10.0.0.2", 11, 0))];
    walk(&mut good, spread);
    good.hops[0].roles = vec!["gateway of default".into()];
    walk(&mut good, vec![None, None]);
    walk(&mut good, vec![Some(Answer::Open); 3]);
    good.next_hop();
    let mut bad = TraceReport::to("203.0.113.7".parse().unwrap(), None);
    walk(&mut bad, vec![Some(icmp("10.0.0.1", 3, 13)); 3]);
    bad.next_hop();
    [good, bad]
}
