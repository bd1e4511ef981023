//! The fast path, from outside: what is tracked and what is not, flows of the gateway on the short cut through everything
//! that may end it, and nothing let through that was not before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::{SERVICE, health};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::command::run;
use lb_lab::load::{Client, Program, Running, Server};
use lb_lab::story::Told;
use lb_lab::{HOST01, HOST02, Result, VIP};

use crate::rows::settle;

const SOON: Duration = Duration::from_secs(30);
/// A full read-back happens every 30 s; the rest is for a slow machine.
const REPAIR_LIMIT: Duration = Duration::from_secs(45);
const PATIENCE: Duration = Duration::from_secs(20);
/// Retransmissions of connections that stay cross a cable that is out for this long.
const CUT: Duration = Duration::from_secs(1);

const WORKER01: &str = "172.16.0.11";
const FAR: &str = "192.168.0.20:9000";
const UNRELATED: SocketAddr = address([192, 168, 0, 1], 8080);
const DATAGRAMS: SocketAddr = address([192, 168, 0, 1], 5353);
const SERVERS: [&str; 2] = ["172.16.0.12:8080", "172.16.0.12:5353"];

const fn address(octets: [u8; 4], port: u16) -> SocketAddr {
    let [a, b, c, d] = octets;
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d)), port)
}

/// The scenario, and one more service on worker02.
fn with_another() -> String {
    let check = "check = { interval = \"500ms\", timeout = \"500ms\" }";
    format!(
        "{}\n[[virtual_server]]\nname = \"unrelated\"\nlisten = \"192.168.0.1:8080\"\n{check}\n\
         [[virtual_server.real_server]]\naddress = \"{}\"\n",
        scenario(QUICK),
        SERVERS[0]
    )
}

/// The same, with datagrams for worker02, which is no longer masqueraded: so these are not tracked either.
fn with_datagrams() -> String {
    let whole = "[[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n";
    let but_one = ["172.16.0.1", WORKER01]
        .map(|node| format!("[[masquerade]]\nfrom = \"{node}/32\"\nout = \"eth0\"\n"))
        .concat();
    let config = with_another();
    assert!(config.contains(whole), "{config}");
    let check = "check = { port = 5353, interval = \"500ms\", timeout = \"500ms\" }";
    format!(
        "{}\n[[virtual_server]]\nname = \"echo\"\nlisten = \"{DATAGRAMS}\"\nprotocol = \"udp\"\n{check}\n\
         [[virtual_server.real_server]]\naddress = \"{}\"\n",
        config.replacen(whole, &but_one, 1),
        SERVERS[1]
    )
}

pub fn flows_take_the_fast_path() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    let load = Program::own()?;
    let _servers: [Server; 3] = [
        load.serve("host02", "far", &[FAR])?,
        load.serve("worker02", "near", &SERVERS)?,
        load.serve_udp("worker02", "echo", &[SERVERS[1]])?,
    ];
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let saboteur = scene.saboteur()?;
    scene.rows_1_to_5()?;
    only_what_needs_it_is_tracked(&scene, &saboteur)?;
    a_flow_on_the_short_cut(&mut scene, &saboteur, &load)?;
    large_datagrams(&mut scene, &saboteur, &load)?;
    nobody_gets_further_than_before(&scene)?;
    the_rules_are_gone_for_a_moment(&mut scene, &saboteur, &load)
}

/// The tracked connections, by who began them.
fn tracked(saboteur: &Saboteur, source: &str) -> Result<Vec<String>> {
    let table = saboteur.proc("net/nf_conntrack")?;
    let begun_by = |line: &&str| {
        let mut words = line.split_whitespace();
        words.find_map(|word| word.strip_prefix("src=")) == Some(source)
    };
    Ok(table.lines().filter(begun_by).map(str::to_owned).collect())
}

fn assert_untracked(saboteur: &Saboteur, clients: &[&str], occasion: &str) -> Told {
    for client in clients {
        let found = tracked(saboteur, client)?;
        assert!(found.is_empty(), "{occasion}: {client} is tracked: {found:#?}");
    }
    Ok(())
}

/// The rows have just been told: clients from outside were there, and the nodes' connections to the outside.
fn only_what_needs_it_is_tracked(scene: &Scene, saboteur: &Saboteur) -> Told {
    assert_untracked(saboteur, &[HOST01, HOST02], "the rows")?;
    let hairpin = |line: &String| line.contains(&format!("dst={VIP}")) && line.contains("dport=30080");
    for number in 1..=5 {
        let page = scene.lab.curl("worker01", SERVICE)?;
        assert!(page.is_default_page(), "worker01 to nginx, {number}: {page:?}");
    }
    let of_worker = tracked(saboteur, WORKER01)?;
    assert!(
        of_worker.iter().filter(|line| hairpin(line)).count() >= 5,
        "{of_worker:#?}"
    );
    // From a port of the kernel's choice, as row 5 asked for it: told by the address that the answers go to.
    let masqueraded = |line: &&String| line.contains(&format!("src={HOST02} dst={VIP}"));
    assert!(of_worker.iter().any(|line| masqueraded(&line)), "{of_worker:#?}");
    Ok(())
}

fn wait_for_offload(saboteur: &Saboteur, connections: usize) -> Told {
    let started = Instant::now();
    loop {
        let flows = tracked(saboteur, WORKER01)?;
        let short = flows
            .iter()
            .filter(|flow| flow.contains("dport=9000") && flow.contains("[OFFLOAD]"));
        if short.count() >= connections {
            return Ok(());
        }
        assert!(
            started.elapsed() < SOON,
            "no flow takes the short cut: {flows:#?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn wait_for_more(flow: &Running, answers: u64) -> Told {
    let before = flow.progress().answers;
    Ok(flow.wait_for("more answers", SOON, |so_far| so_far.answers >= before + answers)?)
}

/// Each answer is compared byte by byte by who asked.
fn a_flow_on_the_short_cut(scene: &mut Scene, saboteur: &Saboteur, load: &Program) -> Told {
    const CONNECTIONS: usize = 4;
    let orders = Client {
        bytes: 200_000,
        patience: PATIENCE,
        ..Client::long(
            FAR.parse().expect("an address"),
            CONNECTIONS,
            Duration::from_millis(50),
        )
    };
    let flow = load.start("worker01", &orders)?;
    wait_for_offload(saboteur, CONNECTIONS)?;
    let said = scene.vm().config_put(&with_another())?;
    assert!(said.contains("Applied"), "{said}");
    wait_for_more(&flow, 20)?;
    wait_for_offload(saboteur, CONNECTIONS)?;
    // The way to the clients, then the way to the nodes.
    for card in [0, 1] {
        scene.vm().plug(card, false)?;
        std::thread::sleep(CUT);
        scene.vm().plug(card, true)?;
        wait_for_more(&flow, 20)?;
    }
    wait_for_offload(saboteur, CONNECTIONS)?;
    let report = flow.report()?;
    println!("through the gateway: {}", report.summary());
    let losses = report.lost();
    assert!(losses.is_empty(), "{losses:#?}");
    assert!(report.bytes >= 200_000 * report.answers, "{}", report.summary());
    scene.wait_for_report("services", SOON, |services| {
        health(services, SERVERS[0]) == Some("up")
    })?;
    scene.wait_for_page(SOON)?;
    settle(scene)?;
    // The pod has seen the hairpins since row 3 was told.
    scene.row_1(20)?;
    scene.row_2()?;
    scene.row_4()?;
    Ok(scene.row_5()?)
}

/// Three fragments each way.
fn large_datagrams(scene: &mut Scene, saboteur: &Saboteur, load: &Program) -> Told {
    scene.vm().config_put(&with_datagrams())?;
    scene.wait_for_report("services", SOON, |services| {
        health(services, SERVERS[1]) == Some("up")
    })?;
    let orders = Client {
        parallel: 4,
        ..Client::udp(DATAGRAMS, 200, 4_000)
    };
    let report = load.run("host01", &orders)?;
    assert!(report.lost().is_empty(), "{:#?}", report.lost());
    assert_eq!(report.answers, 200, "{}", report.summary());
    assert_untracked(saboteur, &[HOST01, HOST02], "datagrams in fragments")?;
    // Whether somebody sees a server's first datagram is the operator's choice; the rest of the nodes leave as before.
    for node in ["master", "worker01"] {
        let fetch = scene.lab.curl(node, HOST02)?;
        assert_eq!(fetch.body.trim(), VIP, "from {node}: {fetch:?}");
    }
    Ok(())
}

/// From a server's service port to the box, and from outside to the servers: no answer, not even a refusal.
fn nobody_gets_further_than_before(scene: &Scene) -> Told {
    run(&["ip", "-n", "host01", "route", "add", "172.16.0.0/24", "via", VIP])?;
    for (from, port, to) in [
        ("worker01", "30080", "192.168.0.1:9"),
        ("worker01", "30080", "172.16.0.254:9"),
        ("host01", "30080", "172.16.0.11:30080"),
        ("host01", "30080", "172.16.0.12:8080"),
        ("host01", "8080", "172.16.0.254:9"),
    ] {
        let probe = scene
            .lab
            .ip_netns_exec(from, &["curl", "-sS", "-m", "2", "--local-port", port, to])?;
        // 28: nothing came within the time.
        assert_eq!(
            probe.status.code(),
            Some(28),
            "{from}, port {port}, to {to}: {probe:?}"
        );
    }
    run(&["ip", "-n", "host01", "route", "del", "172.16.0.0/24"])?;
    Ok(())
}

/// Without the rules before tracking, everybody is tracked; so this tells that the others see what they say they see. And they
/// are put back.
fn the_rules_are_gone_for_a_moment(scene: &mut Scene, saboteur: &Saboteur, load: &Program) -> Told {
    let rules = || saboteur.sh("nft -s list chain inet lb raw");
    let whole = rules()?;
    assert!(whole.contains("notrack"), "{whole}");
    let orders = Client {
        until_told: true,
        parallel: 4,
        patience: PATIENCE,
        ..Client::short(UNRELATED, 0)
    };
    let clients = load.start("host01", &orders)?;
    clients.wait_for("connections", SOON, |so_far| so_far.answers > 200)?;
    assert_untracked(saboteur, &[HOST01], "short connections")?;
    saboteur.sh("nft flush chain inet lb raw")?;
    let started = Instant::now();
    let mut noticed = 0;
    while rules()? != whole {
        noticed = noticed.max(tracked(saboteur, HOST01)?.len());
        assert!(started.elapsed() < REPAIR_LIMIT, "{}\nwhole:\n{whole}", rules()?);
        std::thread::sleep(Duration::from_millis(100));
    }
    noticed = noticed.max(tracked(saboteur, HOST01)?.len());
    assert!(noticed > 0, "nobody was tracked without the rules");
    let report = clients.report()?;
    println!(
        "while the rules were gone and came back: {}, {noticed} tracked",
        report.summary()
    );
    // A port that comes again soon while it is tracked costs a second: IPVS drops that SYN, for tracking to forget the last
    // connection first. And of the connections that were there when the rules went, one whose answer was on its way may end:
    // tracking meets the answer first, takes it for a connection of the server's own, and drops the client's next packet,
    // which belongs to the same addresses. No repair undoes that; whoever began without the rules loses nothing.
    let losses = report.lost();
    assert!(losses.len() <= orders.parallel, "{losses:#?}");
    let later = load.run("host02", &Client::short(UNRELATED, 200))?;
    assert!(later.lost().is_empty(), "{:#?}", later.lost());
    assert_untracked(saboteur, &[HOST02], "after the repair")?;
    scene.row_1(5)?;
    Ok(scene.row_2()?)
}
