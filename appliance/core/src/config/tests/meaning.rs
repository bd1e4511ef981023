//! What good files mean, and what is concluded from bad ones.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::check::{CheckKind, CheckList, CheckParams, Close};
use crate::model::{Endpoint, Forward, Limit, Protocol, RealKey, Scheduler, Weight};
use crate::observed::IpvsTimeouts;
use crate::pool::{PoolRules, Tier};

const SCENARIO: &str = include_str!("../../../../../tests/configs/good/scenario.toml");

fn interface(name: &str, address: &str) -> Interface {
    Interface {
        label: name.to_owned(),
        selector: LinkSelector::Name(name.parse().unwrap()),
        kind: InterfaceKind::Card,
        addresses: vec![address.parse().unwrap()],
        gateway: None,
        mtu: None,
        mss_clamp: None,
        routes: vec![],
    }
}

fn service(name: &str, port: u16, real_servers: Vec<RealServer>) -> VirtualServer {
    let endpoint = Endpoint {
        address: "192.168.0.1".parse().unwrap(),
        port,
        protocol: Protocol::Tcp,
    };
    VirtualServer {
        name: name.to_owned(),
        key: endpoint.into(),
        listen: vec![endpoint.into()],
        settings: Scheduler::Rr.into(),
        syn_proxy: false,
        pool: PoolRules::DEFAULT,
        real_servers,
    }
}

fn server(address: &str, port: u16, when_down: WhenDown, timeout_s: u64) -> RealServer {
    RealServer {
        address: RealKey {
            address: address.parse().unwrap(),
            port,
        },
        weight: Weight::ONE,
        forward: Forward::Nat,
        when_down,
        limit: Limit::default(),
        tier: Tier::Primary,
        checks: CheckList::one(CheckParams {
            kind: CheckKind::Tcp(Close::HalfOpen),
            address: None,
            source: None,
            interface: None,
            port: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(timeout_s),
            retries: 3,
            retry_interval: Duration::from_secs(3),
            rise: 2,
            ..CheckParams::default()
        }),
    }
}

#[test]
fn the_scenario_is_what_its_file_says() {
    let config = good(SCENARIO);
    let expected = Config {
        hostname: HostName::new("lb").unwrap(),
        timeouts: IpvsTimeouts::DEFAULT,
        fail_static: Duration::from_secs(30),
        confirm: Default::default(),
        interfaces: vec![
            interface("eth0", "192.168.0.1/24"),
            interface("eth1", "172.16.0.254/24"),
        ],
        masquerades: vec![Masquerade {
            from: "172.16.0.0/24".parse().unwrap(),
            out: "eth0".to_owned(),
            to: vec![],
        }],
        port_forwards: vec![],
        virtual_servers: [
            service(
                "kube-apiserver",
                6443,
                vec![server("172.16.0.1", 6443, WhenDown::Inhibit, 30)],
            ),
            service(
                "nginx",
                30080,
                vec![
                    server("172.16.0.11", 30080, WhenDown::Remove, 10),
                    server("172.16.0.12", 30080, WhenDown::Remove, 30),
                ],
            ),
        ]
        .map(Into::into)
        .into(),
    };
    assert_eq!(config, expected);
    assert_eq!(warnings(&config), [""; 0]);
}

#[test]
fn an_empty_file_configures_nothing() {
    for text in ["", "\n", "# nothing\n", "\u{feff}"] {
        assert_eq!(good(text), Config::empty(), "{text:?}");
    }
    assert_eq!(
        warnings(&Config::empty()),
        ["there are no interfaces: the appliance has no address and forwards nothing"]
    );
}

/// A file with one interface for each network and one service with these lines added.
fn with_service(lines: &str) -> String {
    format!(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"2001:db8::1/64\"]\n\
         [[virtual_server]]\nname = \"web\"\nlisten = \"192.168.0.1:80\"\n{lines}"
    )
}

fn checks(lines: &str) -> Vec<CheckParams> {
    let checks = &good(&with_service(lines)).virtual_servers[0].real_servers[0].checks;
    checks.iter().map(|check| CheckParams::clone(check)).collect()
}

fn only_check(lines: &str) -> CheckParams {
    let checks = checks(lines);
    assert_eq!(checks.len(), 1);
    checks[0].clone()
}

const SERVER: &str = "[[virtual_server.real_server]]\naddress = \"192.168.0.10:80\"\n";

#[test]
fn what_is_left_out_has_its_default() {
    let config = good(&with_service(SERVER));
    let service = &config.virtual_servers[0];
    assert_eq!(service.settings.scheduler, Scheduler::Wlc);
    assert_eq!(config.hostname.as_str(), "lb");
    let expected = RealServer {
        address: RealKey {
            address: "192.168.0.10".parse().unwrap(),
            port: 80,
        },
        weight: Weight::ONE,
        forward: Forward::Nat,
        when_down: WhenDown::Remove,
        limit: Limit::default(),
        tier: Tier::Primary,
        checks: CheckList::one(CheckParams::default()),
    };
    assert_eq!(service.real_servers, [expected]);
}

#[test]
fn a_server_lays_single_keys_over_its_services_check() {
    let service = "[virtual_server.check]\ninterval = \"4s\"\nretries = 5\njitter = \"1s\"\n";
    let check = only_check(&format!(
        "{service}{SERVER}check = {{ retries = 0, timeout = \"1.5s\" }}\n"
    ));
    let expected = CheckParams {
        interval: Duration::from_secs(4),
        timeout: Duration::from_millis(1500),
        retries: 0,
        jitter: Duration::from_secs(1),
        ..CheckParams::default()
    };
    assert_eq!(check, expected);
}

#[test]
fn a_list_is_as_many_checks_and_of_one_that_check() {
    let words =
        |checks: &[CheckParams]| -> Vec<&str> { checks.iter().map(|check| check.kind.word()).collect() };
    let both = "check = [\"tcp\", { type = \"http\", port = 8080 }]\n";
    let read = checks(&format!("{both}{SERVER}"));
    assert_eq!((words(&read), read[1].port), (vec!["tcp", "http"], Some(8080)));
    let tables =
        "[[virtual_server.check]]\ntype = \"tcp\"\n[[virtual_server.check]]\ntype = \"http\"\nport = 8080\n";
    assert_eq!(checks(&format!("{tables}{SERVER}")), read);
    assert_eq!(
        only_check(&format!("check = [\"icmp\"]\n{SERVER}")),
        only_check(&format!("check = \"icmp\"\n{SERVER}"))
    );
    // What is one check takes single keys of a server.
    let paced = only_check(&format!(
        "check = [{{ type = \"http\", rise = 3 }}]\n{SERVER}check = {{ retries = 7 }}\n"
    ));
    assert_eq!((paced.kind.word(), paced.rise, paced.retries), ("http", 3, 7));
}

#[test]
fn a_servers_list_replaces_all_of_its_services() {
    let service = "check = { type = \"http\", rise = 5 }\n";
    let read = checks(&format!("{service}{SERVER}check = [\"tcp\", \"icmp\"]\n"));
    assert_eq!(
        read.iter().map(|check| check.rise).collect::<Vec<_>>(),
        [CheckParams::RISE; 2]
    );
    assert_eq!(read[0].kind.word(), "tcp");
    let both = "check = [\"tcp\", \"icmp\"]\n";
    assert_eq!(
        only_check(&format!("{both}{SERVER}check = [\"http\"]\n"))
            .kind
            .word(),
        "http"
    );
    assert_eq!(
        only_check(&format!("{both}{SERVER}check = \"none\"\n")).kind,
        CheckKind::None
    );
}

#[test]
fn servers_with_the_same_checks_share_them() {
    let config = good(&with_service(&format!(
        "check = [\"tcp\", \"icmp\"]\n{SERVER}{}{}",
        SERVER.replace(".10:", ".11:"),
        SERVER.replace(".10:80\"\n", ".12:80\"\ncheck = [\"tcp\", \"http\"]\n"),
    )));
    let servers = &config.virtual_servers[0].real_servers;
    let tcp = |at: usize| &servers[at].checks.all()[0];
    assert!(std::ptr::eq(servers[0].checks.all(), servers[1].checks.all()));
    assert!(Arc::ptr_eq(tcp(0), tcp(2)));
}

#[test]
fn keepalived_words_are_the_same_settings() {
    let theirs =
        "check = { delay_loop = \"6s\", connect_timeout = \"3s\", retry = 4, delay_before_retry = \"1s\" }\n";
    let ours = "check = { interval = \"6s\", timeout = \"3s\", retries = 4, retry_interval = \"1s\" }\n";
    let checks = [theirs, ours].map(|check| only_check(&format!("{check}{SERVER}")));
    assert_eq!(checks[0], checks[1]);
    assert_eq!(checks[0].retries, 4);
}

#[test]
fn a_link_found_by_its_mac_has_a_label() {
    let config = good(
        "[[interface]]\nname = \"outside\"\nmatch = { mac = \"52:54:00:00:00:0A\" }\n\
         [[interface]]\nmatch = { mac = \"52:54:00:00:00:0B\" }\n\
         [[masquerade]]\nfrom = \"10.0.0.0/8\"\nout = \"52:54:00:00:00:0B\"\n",
    );
    let labels: Vec<&str> = config.interfaces.iter().map(|i| i.label.as_str()).collect();
    assert_eq!(labels, ["outside", "52:54:00:00:00:0b"]);
    assert!(matches!(config.interfaces[0].selector, LinkSelector::Mac(mac) if mac.0[5] == 10));
    assert_eq!(config.masquerades[0].out, "52:54:00:00:00:0b");
}

#[test]
fn one_wrong_value_hides_no_other() {
    let found = faults(&with_service(
        "scheduler = 1\nforward = \"dr\"\nprotocol = \"udp\"\n\
         [[virtual_server.real_server]]\naddress = 5\nweight = \"x\"\ncheck = { rise = 0 }\n",
    ));
    let lines: Vec<&str> = found
        .iter()
        .map(|fault| fault.split(' ').next().unwrap())
        .collect();
    assert_eq!(lines, ["7:13", "8:11", "9:12", "11:11", "12:10", "13:18"]);
}

#[test]
fn a_line_that_is_no_toml_hides_no_other() {
    let found = faults(&with_service(
        "scheduler wlc\n[[virtual_server.real_server]]\naddress = \"192.168.0.1:80\"\n",
    ));
    assert_eq!(
        found,
        [
            "7:1 `scheduler wlc` is a key without `=` and a value",
            "9:11 `192.168.0.1` is the appliance's own address"
        ]
    );
}

#[test]
fn nothing_is_concluded_from_what_could_not_be_read() {
    // The address is lost, and with it the reason to say that the service's is not owned or the gateway not on-link.
    let found = faults(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\ngateway = \"192.168.0.254\"\n\
         [[virtual_server]]\nname web\nlisten = \"192.168.0.1:80\"\n",
    );
    assert_eq!(
        found,
        [
            "3:14 the text that begins here is not closed",
            "6:1 `name web` is a key without `=` and a value"
        ]
    );
    // A wrong length does not hide whose address it is, a wrong key not what was meant.
    for addresses in ["addresses = [\"192.168.0.1\"]", "adresses = [\"192.168.0.1/24\"]"] {
        let found = faults(&format!(
            "[[interface]]\nname = \"eth0\"\n{addresses}\n\
             [[virtual_server]]\nname = \"web\"\nlisten = \"192.168.0.1:80\"\n"
        ));
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn a_lost_line_does_not_hide_what_it_has_no_part_in() {
    let found = faults(
        "hostname lb\n[[interface]]\nname = \"eth0\"\nspeed 10\n[[masquerade]]\nfrom = \"10.0.0.0/8\"\nout = \"wan\"\n[[virtual_server]]\nname = \"a\"\n",
    );
    assert_eq!(
        found,
        [
            "1:1 `hostname lb` is a key without `=` and a value",
            "4:1 `speed 10` is a key without `=` and a value",
            "7:7 no interface of this file is named `wan`",
            "8:1 [[virtual_server]] without `listen`"
        ]
    );
}

#[test]
fn what_is_hardly_meant_is_said() {
    let config = good(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
         [[interface]]\nname = \"eth1\"\n\
         [[interface]]\nname = \"bond0\"\nbond = { links = [\"eth2\"] }\n\
         [[masquerade]]\nfrom = \"192.168.0.0/16\"\nout = \"eth0\"\n\
         [[masquerade]]\nfrom = \"10.0.0.0/8\"\nout = \"eth1\"\n\
         [[virtual_server]]\nname = \"empty\"\nlisten = \"192.168.0.1:1\"\n\
         [[virtual_server]]\nname = \"off\"\nlisten = \"192.168.0.1:2\"\n\
         [[virtual_server.real_server]]\naddress = \"192.168.0.9:1\"\nweight = 0\n\
         [[virtual_server]]\nname = \"blind\"\nlisten = \"192.168.0.1:4\"\nprotocol = \"udp\"\n\
         check = { type = \"none\" }\n\
         [[virtual_server.real_server]]\naddress = \"192.168.0.9:4\"\n\
         [[virtual_server]]\nname = \"far\"\nlisten = \"192.168.0.1:3\"\nscheduler = \"rr\"\n\
         [[virtual_server.real_server]]\naddress = \"10.0.0.1:1\"\n\
         [[virtual_server.real_server]]\naddress = \"192.168.0.9:1\"\nweight = 2\n\
         [[virtual_server]]\nname = \"single\"\nlisten = \"192.168.0.1:5\"\nprotocol = \"udp\"\n\
         one_packet = true\ncheck = { port = 5 }\n\
         [[virtual_server.real_server]]\naddress = \"192.168.0.9:5\"\n",
    );
    assert_eq!(
        warnings(&config),
        [
            "bond bond0 has one link: when eth2 fails, nothing takes its place",
            "masquerade from 192.168.0.0/16: 192.168.0.0/24 lies on eth0 itself, where nothing is to be masqueraded",
            "masquerade from 10.0.0.0/8: eth1 has no IPv4 address that it could lend",
            "service empty has no servers: its clients are refused",
            "service off: all weights are 0, so that no server takes new connections",
            "service blind: 1 server is never checked and it is given clients whether dead or alive",
            "service far: scheduler rr does not look at weights; wrr does",
            "service far: no interface, route or gateway leads to 10.0.0.1",
            "service single: answers of 192.168.0.9 are dropped, for only replies to connections come in from a `masquerade` interface",
        ]
    );
}

#[test]
fn an_interface_leads_to_what_is_behind_it() {
    let config = good(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\ngateway = \"192.168.0.254\"\n\
         [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n\
         routes = [{ to = \"10.244.0.0/16\", via = \"172.16.0.11\" }]\n",
    );
    let towards = |address: &str| config.towards(address.parse().unwrap());
    assert_eq!(towards("192.168.0.9"), Some(0));
    assert_eq!(towards("172.16.0.9"), Some(1));
    assert_eq!(towards("10.244.3.4"), Some(1));
    assert_eq!(towards("203.0.113.1"), Some(0));
    assert_eq!(towards("2001:db8::1"), None);
}

#[test]
fn bytes_that_are_not_text_are_placed() {
    let bytes = b"a = 1\nhost\xffname = 2\n";
    let faults = parse_bytes(bytes).unwrap_err();
    let text = String::from_utf8_lossy(bytes);
    let reports = faults.reports(&text);
    assert_eq!((reports.len(), reports[0].line, reports[0].column), (1, 2, 5));
    assert_eq!(reports[0].message, "the byte 0xFF is not UTF-8");
    assert_eq!(parse_bytes(SCENARIO.as_bytes()), Ok(good(SCENARIO)));
}

#[test]
fn what_a_lost_header_leaves_behind_goes_to_no_other_table() {
    let service = |header: &str, name: &str, port: u16| {
        format!(
            "{header}\nname = \"{name}\"\nlisten = \"192.168.0.1:{port}\"\n[virtual_server.check]\nrise = 1\n{SERVER}"
        )
    };
    let text = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n".to_owned()
        + &service("[[virtual_server]]", "a", 80)
        + &service("[[virtual_server]", "b", 81)
        + &service("[[virtual_server]]", "c", 80);
    assert_eq!(
        faults(&text),
        [
            "11:1 `[[virtual_server]` is no table header",
            "20:10 two services listen on 192.168.0.1:80/tcp"
        ]
    );
}
