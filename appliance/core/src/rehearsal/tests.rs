//! What is tried, on what, and how a refusal is told.

use super::*;
use crate::config::parse;
use crate::fake::FakeKernel;
use crate::ports::KernelPort;

const BASE: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\ngateway = \"10.0.0.254\"\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"10.0.1.1/24\"]\n\
    [[virtual_server]]\nname = \"a\"\nlisten = \"10.0.0.1:80\"\n\
    [[virtual_server.real_server]]\naddress = \"10.0.1.2:80\"\n\
    [[virtual_server.real_server]]\naddress = \"10.0.1.3:80\"\n\
    [[virtual_server]]\nname = \"b\"\nlisten = \"10.0.0.1:81\"\n";

fn machine() -> Machine {
    Machine::from(256 << 20)
}

/// What of `to` is tried when `from` is in force, on a machine whose kernel has two cards.
fn lines(from: &str, to: &str) -> Vec<String> {
    let Some(part) = part(Some(&parse(from).unwrap()), &parse(to).unwrap()) else {
        return Vec::new();
    };
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let mut observed = kernel.observe(&sysctls()).unwrap();
    let (_, steps) = part.steps(&mut observed, false, machine());
    steps.iter().map(Step::to_string).collect()
}

fn has(lines: &[String], start: &str) -> bool {
    lines.iter().any(|line| line.starts_with(start))
}

#[test]
fn what_the_kernel_takes_as_it_comes_is_not_tried() {
    for (from, to) in [
        ("", ""),
        ("\"a\"", "\"other\""),
        ("\"10.0.1.2:80\"\n", "\"10.0.1.2:80\"\nweight = 7\n"),
        ("name = \"a\"", "name = \"a\"\ncheck = { rise = 3 }"),
        (
            "[[virtual_server.real_server]]\naddress = \"10.0.1.3:80\"\n[[virtual_server]]\nname = \"b\"\nlisten = \"10.0.0.1:81\"\n",
            "[[virtual_server.real_server]]\naddress = \"10.0.1.3:80\"\n",
        ),
        // Another server, and another service, of a kind that the kernel holds.
        ("10.0.1.2:80", "10.0.1.9:80"),
        ("10.0.0.1:81", "10.0.0.1:82"),
    ] {
        assert_eq!(
            lines(BASE, &BASE.replacen(from, to, 1)),
            Vec::<String>::new(),
            "{to}"
        );
    }
}

#[test]
fn services_that_change_are_tried_alone() {
    let to = BASE.replace("name = \"a\"\n", "name = \"a\"\nscheduler = \"mh\"\n");
    let tried = lines(BASE, &to.replace("10.0.1.2:80", "10.0.1.9:80"));
    assert!(has(&tried, "add virtual 10.0.0.1:80/tcp"), "{tried:?}");
    assert!(
        has(&tried, "add real 10.0.1.9:80 weight 1") && has(&tried, "add real 10.0.1.3:80"),
        "{tried:?}"
    );
    assert!(has(&tried, "replace ruleset: 1 services"), "{tried:?}");
    assert!(
        !has(&tried, "add virtual 10.0.0.1:81") && !has(&tried, "add address"),
        "{tried:?}"
    );
}

#[test]
fn a_change_of_the_network_is_tried_with_all_of_it_and_without_the_services_that_stand() {
    let to = BASE
        .replace("10.0.0.254", "10.0.0.253")
        .replace("10.0.0.1:81", "10.0.0.1:82");
    let tried = lines(BASE, &to);
    for start in [
        "add address 10.0.0.1/24 to eth0",
        "add address 10.0.1.1/24 to eth1",
        "add route 0.0.0.0/0 via 10.0.0.253",
        "replace ruleset: 2 services",
        "add virtual 10.0.0.1:82/tcp",
        "set sysctl net/ipv4/ip_forward 1",
    ] {
        assert!(has(&tried, start), "{start}: {tried:?}");
    }
    assert!(!has(&tried, "add virtual 10.0.0.1:80"), "{tried:?}");
}

/// The machine's own name, its devices and the tables that all networks share are none of the rehearsal's.
#[test]
fn nothing_beyond_its_own_network_is_changed() {
    let new = parse(&format!("hostname = \"x\"\n{BASE}")).unwrap();
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    // Even if they were seen.
    let mut all = desired::sysctls(1 << 30, &new.timeouts, kernel.state.links.keys());
    all.insert("class/net/eth0/queues/rx-0/rps_cpus".to_owned(), "3".to_owned());
    let mut observed = kernel.observe(&all.into_keys().collect()).unwrap();
    let (_, steps) = part(None, &new).unwrap().steps(&mut observed, false, machine());
    for step in &steps {
        let line = step.to_string();
        assert!(
            !line.starts_with("set hostname") && !line.starts_with("announce"),
            "{line}"
        );
        assert!(
            !line.starts_with("set sysctl") || line.contains("forward"),
            "{line}"
        );
    }
    assert!(steps.len() > 8, "{steps:?}");
}

#[test]
fn the_second_round_leaves_services_alone() {
    let part = part(None, &parse(BASE).unwrap()).unwrap();
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let (_, steps) = part.steps(&mut kernel.observe(&sysctls()).unwrap(), false, machine());
    assert!(kernel.apply_services(&steps).is_empty());
    let mut observed = kernel.observe_frame(&sysctls()).unwrap();
    let (_, steps) = part.steps(&mut observed, true, machine());
    assert_eq!(steps, []);
}

#[test]
fn of_many_servers_some_are_tried() {
    let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/16\"]\n".to_owned();
    for service in 0..40 {
        text += &format!(
            "[[virtual_server]]\nname = \"s{service}\"\nlisten = \"10.0.0.1:{}\"\n",
            1000 + service
        );
        for server in 1..=100 {
            text += &format!(
                "[[virtual_server.real_server]]\naddress = \"10.0.{service}.{}:80\"\n",
                server + 100
            );
        }
    }
    let part = part(None, &parse(&text).unwrap()).unwrap();
    let pools = part.pools();
    assert_eq!(pools.len(), 40);
    assert_eq!(pools[0].1.servers.len(), SERVERS_OF_SERVICE);
    let all: usize = pools.iter().map(|(_, pool)| pool.servers.len()).sum();
    assert_eq!(all, MOST_SERVERS);
}

#[test]
fn cards_are_stood_in_for_as_they_came() {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1", "lo"]);
    let own = kernel.own.clone();
    let links = &mut kernel.state.links;
    links.get_mut(&"lo".parse().unwrap()).unwrap().loopback = true;
    // A bond has lent it another address, and somebody has set its MTU.
    let eth1 = links.get_mut(&"eth1".parse().unwrap()).unwrap();
    (eth1.mac, eth1.mtu) = ("52:54:00:00:00:77".parse().ok(), 1400);
    kernel.state.assume(&Step::CreateLink {
        link: "v5".parse().unwrap(),
        kind: LinkKind::Vlan {
            parent: "eth0".parse().unwrap(),
            id: 5,
        }
        .into(),
    });
    let stand_ins = stand_ins(&kernel.state.links, &own);
    let shown: Vec<String> = stand_ins
        .iter()
        .map(|s| format!("{} {} {}", s.name, s.mac, s.mtu))
        .collect();
    assert_eq!(
        shown,
        ["eth0 52:54:00:00:00:01 1500", "eth1 52:54:00:00:00:02 1500"]
    );
}

/// Every step is tried on the kernel in memory, but for those that begin so.
fn refused(text: &str, starts: &[&str]) -> Vec<Refusal> {
    let part = part(None, &parse(text).unwrap()).unwrap();
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let (network, steps) = part.steps(&mut kernel.observe(&sysctls()).unwrap(), false, machine());
    let mut refusals = Refusals::default();
    for step in &steps {
        let line = step.to_string();
        let told = KernelError {
            action: line.clone(),
            fault: KernelFault {
                errno: Some(22),
                text: "EINVAL (no)".to_owned(),
            },
        };
        let outcome = match starts.iter().any(|start| line.starts_with(start)) {
            true => Err(told),
            false => kernel.apply(step),
        };
        if let Err(error) = outcome {
            refusals.add(&network, step, &error);
        }
    }
    refusals.into_causes()
}

/// The places and messages.
fn told(text: &str, starts: &[&str]) -> Vec<String> {
    let causes = refused(text, starts);
    let faults = faults(text, &parse(text).unwrap(), &causes);
    let reports = faults.map_or_else(Vec::new, |faults| faults.reports(text));
    let line = |report: crate::control::FaultReport| {
        format!("{}:{}: {}", report.line, report.column, report.message)
    };
    reports.into_iter().map(line).collect()
}

#[test]
fn nothing_refused_is_no_fault() {
    assert_eq!(told(BASE, &[]), Vec::<String>::new());
}

#[test]
fn a_refusal_is_told_at_its_place() {
    let routed = BASE.replace(
        "\"10.0.0.254\"\n",
        "\"10.0.0.254\"\nroutes = [{ to = \"10.8.0.0/16\", via = \"10.0.0.9\" }, { to = \"10.9.0.0/16\", via = \"10.0.0.9\" }]\n",
    );
    let refuses = |step: &str| format!("the kernel refuses `{step}`: EINVAL (no)");
    let masquerade = format!("{BASE}[[masquerade]]\nfrom = \"10.0.1.0/24\"\nout = \"eth0\"\n");
    for (text, start, place, step) in [
        (
            BASE,
            "add address 10.0.0.1/24",
            "3:14",
            "add address 10.0.0.1/24 to eth0",
        ),
        (
            BASE,
            "add route",
            "4:11",
            "add route 0.0.0.0/0 via 10.0.0.254 dev eth0",
        ),
        (
            &routed,
            "add route 10.9.",
            "5:60",
            "add route 10.9.0.0/16 via 10.0.0.9 dev eth0",
        ),
        (BASE, "set link eth1 up", "6:8", "set link eth1 up"),
        (
            BASE,
            "add virtual 10.0.0.1:81",
            "17:10",
            "add virtual 10.0.0.1:81/tcp scheduler wlc",
        ),
        (
            BASE,
            "add real 10.0.1.3",
            "14:11",
            "add real 10.0.1.3:80 weight 1 nat to 10.0.0.1:80/tcp",
        ),
        (&masquerade, "replace ruleset", "18:1", ""),
    ] {
        let said = told(text, &[start]);
        let expected = format!("{place}: {}", refuses(step));
        match step {
            "" => assert!(said.len() == 1 && said[0].starts_with(place), "{said:?}"),
            _ => assert_eq!(said[0], expected),
        }
    }
}

/// The route of an address that was refused, the VLAN on a bond that was, the servers of a service that was.
#[test]
fn what_follows_from_a_refusal_is_not_told() {
    let stacked = "[[interface]]\nname = \"bond0\"\nbond = { links = [\"eth0\", \"eth1\"] }\n\
        [[interface]]\nname = \"v5\"\nvlan = { link = \"bond0\", id = 5 }\naddresses = [\"10.0.0.1/24\"]\ngateway = \"10.0.0.254\"\n";
    assert_eq!(
        told(stacked, &["add link bond0"]),
        ["3:8: the kernel refuses `add link bond0 type bond mode active-backup miimon 100`: EINVAL (no)"]
    );
    let said = told(stacked, &["set link eth1 master"]);
    assert_eq!(
        said,
        ["3:8: the kernel refuses `set link eth1 master bond0`: EINVAL (no)"]
    );
    let said = told(BASE, &["add address 10.0.0.1/24", "add virtual 10.0.0.1:80"]);
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn every_refusal_has_a_remedy() {
    let text = format!("{BASE}[[masquerade]]\nfrom = \"10.0.1.0/24\"\nout = \"eth0\"\n");
    let all = refused(&text, &["add", "set", "replace"]);
    let faults = faults(&text, &parse(&text).unwrap(), &all).unwrap();
    assert!(faults.iter().all(|fault| fault.help.len() > 20), "{faults:?}");
}
