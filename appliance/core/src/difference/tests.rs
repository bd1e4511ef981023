use super::*;
use crate::config::parse;
use crate::desired;
use crate::fake::FakeKernel;

const BASE: &str = r#"
[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24"]
gateway = "192.168.0.254"
[[interface]]
name = "eth1"
addresses = ["172.16.0.254/24"]
[[masquerade]]
from = "172.16.0.0/24"
out = "eth0"
[[virtual_server]]
name = "nginx"
listen = "192.168.0.1:30080"
[[virtual_server.real_server]]
address = "172.16.0.11:30080"
[[virtual_server.real_server]]
address = "172.16.0.12:30080"
[[virtual_server]]
name = "dns"
listen = "192.168.0.1:53"
protocol = "udp"
check = "none"
[[virtual_server.real_server]]
address = "172.16.0.11:53"
"#;

fn shown(from: &str, to: &str) -> Vec<String> {
    let read = |text: &str| parse(text).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", text)));
    let (from, to) = (read(from), read(to));
    let connections = |key: &ServerKey| match key.server.port {
        53 => 1,
        _ if key.server.address.to_string().ends_with(".11") => 143,
        _ => 0,
    };
    let kernel = FakeKernel::with_links(&["eth0", "eth1", "eth2"]);
    let wanted = |config| desired::wanted_links(Some(config), &kernel.state.links, &kernel.own);
    let (before, after) = (wanted(&from), wanted(&to));
    let known = Known {
        connections: &connections,
        mtus: (&|label| before.mtu_of(label), &|label| after.mtu_of(label)),
        there: &|_| true,
    };
    let changes = difference(Some(&from), &to, known);
    let lines = changes
        .iter()
        .map(|change| format!("{}{}", change.sign.as_str(), change.text));
    lines.collect()
}

fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    shown(BASE, &BASE.replace(from, to))
}

#[test]
fn the_same_is_no_difference() {
    assert_eq!(shown(BASE, &format!("# a comment\n{BASE}")), [""; 0]);
}

#[test]
fn servers_come_and_go_at_their_price() {
    let server = "[[virtual_server.real_server]]\naddress = \"172.16.0.11:30080\"\n";
    assert_eq!(
        changed(server, ""),
        ["-server 172.16.0.11:30080 of nginx: 143 connections drain for up to 300 s"]
    );
    assert_eq!(
        changed(
            "\"172.16.0.12:30080\"\n",
            "\"172.16.0.13:30080\"\nweight = 3\nbackup = true\n"
        ),
        [
            "+server 172.16.0.13:30080 of nginx, backup, weight 3: it gets traffic when it has passed its first check",
            "-server 172.16.0.12:30080 of nginx: it has no connections"
        ]
    );
    assert_eq!(
        changed("172.16.0.11:53", "172.16.0.12:53"),
        [
            "+server 172.16.0.12:53 of dns, weight 1: it gets traffic at once",
            "-server 172.16.0.11:53 of dns: 1 connection drains for up to 300 s"
        ]
    );
    let at_once = BASE
        .replace(server, "")
        .replace("name = \"nginx\"", "name = \"nginx\"\ndrain_timeout = \"0s\"");
    assert_eq!(
        shown(BASE, &at_once)[1],
        "-server 172.16.0.11:30080 of nginx: 143 connections end at once"
    );
    assert_eq!(
        changed("\"172.16.0.12:30080\"\n", "\"172.16.0.12:30080\"\nweight = 3\n"),
        ["~weight of server 172.16.0.12:30080 of nginx 1 -> 3: its connections stay"]
    );
}

#[test]
fn services_come_and_go_at_their_price() {
    assert_eq!(
        changed(
            ":30080\"\n[[virtual_server.real",
            ":30081\"\n[[virtual_server.real"
        ),
        [
            "-service nginx on 192.168.0.1:30080 (tcp): its 143 connections end at once",
            "+service nginx on 192.168.0.1:30081 (tcp) with 2 servers: its clients are let in when one has passed its first check"
        ]
    );
    assert_eq!(
        changed(
            "name = \"nginx\"",
            "name = \"nginx\"\nscheduler = \"rr\"\nquorum = \"50%\"\nslow_start = \"500ms\""
        ),
        [
            "~scheduler of nginx wlc -> rr: new connections are refused for some milliseconds",
            "~quorum of nginx 1 -> 50%",
            "~slow_start of nginx 0 s -> 500 ms"
        ]
    );
    assert_eq!(changed("\"none\"", "\"icmp\"").len(), 1);
}

/// Where the key goes the link gets back what it had, and what stands on it follows.
#[test]
fn an_mtu_that_goes_is_told_with_what_comes_instead() {
    let with = |eth1: &str, bond: &str| {
        let links = BASE.replace("\"172.16.0.254/24\"]", &format!("\"172.16.0.254/24\"]\n{eth1}"));
        format!(
            "{links}[[interface]]\nname = \"bond0\"\nbond = {{ links = [\"eth2\"] }}\n{bond}\
             [[interface]]\nname = \"eth2\"\n[[interface]]\nname = \"v7\"\nvlan = {{ link = \"bond0\", id = 7 }}\n"
        )
    };
    let more =
        "packets may be lost for a moment; a neighbour on that link that takes less does not get larger ones";
    assert_eq!(
        shown(&with("mtu = 1400", "mtu = 1300\n"), &with("", "")),
        [
            format!("~mtu of bond0 1300 bytes -> 1500 bytes, a bond's own: {more}"),
            format!("~mtu of eth1 1400 bytes -> 1500 bytes, the link's own: {more}"),
            format!("~mtu of eth2 1300 bytes, that of bond0 -> 1500 bytes, that of bond0: {more}"),
            format!("~mtu of v7 1300 bytes, that of bond0 -> 1500 bytes, that of bond0: {more}"),
        ]
    );
    assert_eq!(
        shown(&with("mtu = 1500", ""), &with("", "")),
        ["~mtu of eth1 1500 bytes -> 1500 bytes, the link's own: the link stays as it is"]
    );
}

/// Who is asked before an interface goes wants to know what is behind it.
#[test]
fn an_interface_that_goes_is_told_with_the_services_behind_it() {
    let without = BASE.replace(
        "[[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n",
        "",
    );
    assert_eq!(
        shown(BASE, &without),
        [
            "-interface eth1 (card) with 172.16.0.254/24: it is switched off, and what goes through it ends; \
             servers of nginx, dns are behind it"
        ]
    );
}

#[test]
fn the_network_is_told_first() {
    assert_eq!(
        changed("192.168.0.254", "192.168.0.253"),
        ["~gateway of eth0 192.168.0.254 -> 192.168.0.253: the default route moves at once"]
    );
    assert_eq!(
        changed("\"172.16.0.254/24\"]", "\"172.16.0.253/24\"]\nmtu = 1400"),
        [
            "-address 172.16.0.254/24 of eth1: who is connected to it, or through it, is cut off",
            "+address 172.16.0.253/24 of eth1",
            "~mtu of eth1 1500 bytes, the link's own -> 1400 bytes: packets may be lost for a moment; \
             who sends larger ones learns of it by ICMP, and hangs where that is filtered"
        ]
    );
    assert_eq!(
        changed("172.16.0.254/24", "172.16.0.254/16"),
        ["~prefix of 172.16.0.254 of eth1 24 -> 16: the address stays"]
    );
    assert_eq!(
        changed("from = \"172.16.0.0/24\"", "from = \"172.16.0.0/16\""),
        [
            "-masquerade 172.16.0.0/24 through eth0: new connections only",
            "+masquerade 172.16.0.0/16 through eth0"
        ]
    );
    let known = Known {
        connections: &|_| 0,
        mtus: (&|_| None, &|_| None),
        there: &|_| true,
    };
    let first = difference(None, &parse(BASE).unwrap(), known);
    assert!(first.iter().all(|change| change.sign == Sign::Added), "{first:?}");
    assert_eq!(first.len(), 5);
}
