//! What `doctor` asks of the wire, and finds by it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use lb_core::control::{FindingReport, FindingWord, Request, Response};
use stage::{Appliance, config};

fn machine(appliance: &Appliance) -> Vec<FindingReport> {
    match appliance.ask(&Request::Doctor { name: None }) {
        Response::Doctor(report) => report.machine,
        other => panic!("{other:?}"),
    }
}

fn says(findings: &[FindingReport], word: FindingWord, what: &str) {
    let found = findings
        .iter()
        .any(|finding| finding.word == word && finding.what == what);
    assert!(found, "{word:?} {what}: {findings:#?}");
}

#[test]
fn next_hops_are_asked_whether_they_are_there() {
    let text = config(&[]).replacen(
        "[[interface]]\nname = \"eth1\"",
        "gateway = \"192.168.0.77\"\n[[interface]]\nname = \"eth1\"\n\
         routes = [{ to = \"10.1.0.0/16\", via = \"172.16.0.9\" }]",
        1,
    );
    let appliance = Appliance::start(&text);
    let answers = |address: &str, mac: &str| {
        let mut record = appliance.record.0.lock().unwrap();
        record
            .neighbours
            .insert(address.parse().unwrap(), mac.parse().unwrap());
    };
    answers("172.16.0.9", "52:54:00:00:00:99");
    let found = machine(&appliance);
    let silent = "192.168.0.77, the next hop of default, does not answer on eth0: what goes there is lost";
    says(&found, FindingWord::Bad, silent);
    says(
        &found,
        FindingWord::Good,
        "the next hop 172.16.0.9 (eth1) answers on its link",
    );
    let names_a_command = |finding: &FindingReport| {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        remedy.contains("`config set interface.NAME.gateway ADDRESS`")
    };
    assert!(found.iter().any(names_a_command), "{found:#?}");
    answers("192.168.0.77", "52:54:00:00:00:98");
    let both = "the next hops 192.168.0.77 (eth0), 172.16.0.9 (eth1) answer on their links";
    says(&machine(&appliance), FindingWord::Good, both);
}
