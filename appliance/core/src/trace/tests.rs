//! Ways that end well and ways that do not.

use super::*;

fn icmp(from: &str, kind: u8, code: u8) -> Option<(Answer, Duration)> {
    let error = IcmpError {
        v6: false,
        kind,
        code,
        mtu: 0,
    };
    let from = from.parse().unwrap();
    Some((Answer::Icmp { from, error }, Duration::from_millis(2)))
}

fn report(port: Option<u16>) -> TraceReport {
    TraceReport::to("10.9.0.1".parse().unwrap(), port)
}

#[test]
fn a_way_ends_where_the_address_answers() {
    let mut trace = report(None);
    assert_eq!(trace.next_hop(), Some(1));
    trace.answered(icmp("10.0.0.1", 11, 0));
    trace.answered(icmp("10.0.0.2", 11, 0));
    assert_eq!(trace.next_hop(), Some(2));
    trace.answered(None);
    trace.answered(icmp("10.9.0.1", 3, 3));
    assert_eq!(trace.next_hop(), None);
    assert!(trace.arrived);
    assert_eq!(trace.end, "10.9.0.1 has answered");
    assert_eq!(trace.hops[0].from.len(), 2);
    assert_eq!(trace.hops[1].took_ms, [None, Some(2.0)]);
    assert_eq!(trace.hops[1].says, None);
}

#[test]
fn a_port_is_open_or_closed() {
    for (answer, end) in [
        (Answer::Open, "10.9.0.1 has answered: port 443 is open"),
        (Answer::Closed, "10.9.0.1 has answered: port 443 is closed (RST)"),
    ] {
        let mut trace = report(Some(443));
        trace.next_hop();
        trace.answered(Some((answer, Duration::ZERO)));
        assert_eq!(trace.next_hop(), None);
        assert_eq!((trace.arrived, trace.end.as_str()), (true, end));
    }
}

#[test]
fn what_stops_it_is_said() {
    let mut trace = report(None);
    trace.next_hop();
    trace.answered(icmp("10.0.0.1", 3, 13));
    assert_eq!(trace.next_hop(), None);
    assert!(!trace.arrived);
    assert_eq!(
        trace.end,
        "10.0.0.1 passes nothing on to 10.9.0.1: forbidden by a filter"
    );
    let mut trace = report(None);
    trace.next_hop();
    trace.answered(Some((Answer::Unsent("ENETUNREACH".into()), Duration::ZERO)));
    assert_eq!(trace.next_hop(), None);
    assert!(trace.end.starts_with("the kernel does not send it: ENETUNREACH"));
    assert!(trace.hops[0].took_ms.is_empty());
}

#[test]
fn silence_and_loops_end_as_well() {
    let mut silent = report(None);
    let mut hops = 0;
    while silent.next_hop().is_some() {
        silent.answered(None);
        hops += 1;
    }
    assert_eq!(hops, MOST_SILENT);
    assert!(
        silent.end.starts_with("no answer from the last 6 hops"),
        "{}",
        silent.end
    );
    let mut endless = report(None);
    let mut hops = 0;
    while endless.next_hop().is_some() {
        endless.answered(icmp("10.0.0.1", 11, 0));
        hops += 1;
    }
    assert_eq!(
        (hops, endless.end.as_str()),
        (MOST_HOPS, "not there after 30 hops")
    );
}
