//! Nothing lost: at least 100,000 connections through the box, short ones and ones that stay, while its agent dies a
//! hundred times, while servers are drained, and while it is reloaded a thousand times.
//! Lost is what was refused, reset, answered wrongly, or not answered within 20 s, and a SYN, or its answer, that was sent and
//! did not arrive, though it was sent again. `damage` shows that the judgement can condemn.

use std::fmt::Write;
use std::time::Duration;

use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::health;
use lb_e2e::traffic::{Seen, Stage, at_least, share};
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::Result;
use lb_lab::story::Told;
use serde_json::Value;

/// For all connections of a story on a machine that is busy otherwise.
pub const FLOW_LIMIT: Duration = Duration::from_secs(240);
pub const SOON: Duration = Duration::from_secs(30);
const KILLS: u64 = 100;
const RELOADS: u64 = 1_000;
/// At so many connections a second from each host the agent has its share of a small machine.
const RATE: u32 = 240;

/// The service whose connections are counted. A weight of `None` leaves the server out.
pub fn web(weights: [Option<u32>; 3]) -> String {
    let mut text = "[[virtual_server]]\nname = \"web\"\nlisten = \"192.168.0.1:8080\"\nscheduler = \"wrr\"\n\
                    check = { interval = \"1s\", timeout = \"1s\", retries = 2, retry_interval = \"200ms\" }\n"
        .to_owned();
    for (address, weight) in ["172.16.0.11", "172.16.0.12", "172.16.0.1"].iter().zip(weights) {
        if let Some(weight) = weight {
            let _ = write!(
                text,
                "[[virtual_server.real_server]]\naddress = \"{address}:8080\"\nweight = {weight}\n"
            );
        }
    }
    text
}

/// A service that nobody uses.
pub fn other(name: &str, port: u16, servers: std::ops::Range<usize>, weight: usize) -> String {
    let mut text = format!(
        "[[virtual_server]]\nname = \"{name}\"\nlisten = \"192.168.0.1:{port}\"\ncheck = {{ type = \"none\" }}\n"
    );
    for server in servers {
        let _ = write!(
            text,
            "[[virtual_server.real_server]]\naddress = \"172.16.0.{}:80\"\nweight = {weight}\n",
            100 + server
        );
    }
    text
}

/// The box with `services`; `more` are further keys of eth0.
pub fn config(more: &str, services: &str) -> String {
    format!(
        "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"192.168.0.5/24\"]\n{more}\
         [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n\
         [[masquerade]]\nfrom = \"172.16.0.0/24\"\nout = \"eth0\"\n{services}"
    )
}

pub const BOTH: [Option<u32>; 3] = [Some(1), Some(1), None];

/// Serving, with everything in place for traffic.
pub fn scene(config: &str, versions: &[(String, String)]) -> Result<(Scene, Stage, Saboteur)> {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, config))?;
    for (name, text) in versions {
        volume::write(&scene.disk, name, text.as_bytes())?;
    }
    let stage = Stage::new()?;
    scene.power_on()?;
    scene.vm().wait_for_prompt(lb_e2e::scene::BOOT_LIMIT)?;
    scene.wait_for_report("services", lb_e2e::scene::BOOT_LIMIT, |services| {
        ["172.16.0.11:8080", "172.16.0.12:8080"]
            .iter()
            .all(|server| health(services, server) == Some("up"))
    })?;
    let saboteur = scene.saboteur()?;
    Ok((scene, stage, saboteur))
}

pub fn in_deaths_of_the_agent() -> Told {
    let kills = share(KILLS);
    let (mut scene, stage, saboteur) = scene(&config("", &web(BOTH)), &[])?;
    let before = saboteur.kernel_state()?;
    let traffic = stage.begin()?;
    let (least, most) = ("300", "900");
    saboteur.run(&["saboteur", "kill-agents", &kills.to_string(), least, most])?;
    // The last agent has proved the servers for itself.
    scene.wait_for_report("services", SOON, |services| {
        ["172.16.0.11:8080", "172.16.0.12:8080"]
            .iter()
            .all(|server| health(services, server) == Some("up"))
    })?;
    traffic.wait_for(at_least(), FLOW_LIMIT)?;
    traffic.end()?.assert_nothing_lost("deaths of the agent");
    assert_eq!(
        saboteur.kernel_state()?,
        before,
        "every agent leaves what is right"
    );
    let status = scene.vm().json("status")?;
    assert!(
        status["init"]["agent_restarts"].as_u64() >= Some(kills),
        "{status:#}"
    );
    assert_eq!(status["reconcile"]["repairs"], 0, "{status:#}");
    Ok(())
}

/// How many versions the reloads go through before they begin again; so many are done at a stretch.
const CYCLE: usize = 100;

/// In each version two servers have other weights, and services that nobody uses and their servers come, change and go; a
/// route does with every fiftieth. A third server joins the counted service, gets its share, is brought to weight 0, and
/// leaves when its last connection has ended: one that leaves with connections ends them, by the words of the guide.
fn version(number: usize) -> String {
    let third = match number % 20 {
        5..=11 => Some(3),
        12..=17 => Some(0),
        _ => None,
    };
    let weights = [1 + number as u32 % 5, 1 + number as u32 * 3 % 7].map(Some);
    let mut services = web([weights[0], weights[1], third]);
    services += &other("always", 9_000, 0..2 + number % 2, 1 + number % 4);
    if number.is_multiple_of(2) {
        services += &other("even", 9_001, number % 30..number % 30 + 2, 1);
    }
    if number.is_multiple_of(3) {
        services += &other("third", 9_002, 0..3, number);
    }
    let route = format!(
        "routes = [{{ to = \"10.{}.0.0/16\", via = \"192.168.0.20\" }}]\n",
        number / 50
    );
    config(&route, &services)
}

pub fn in_reloads() -> Told {
    let versions: Vec<(String, String)> = (0..CYCLE)
        .map(|number| (format!("v{number}.toml"), version(number)))
        .collect();
    let (mut scene, stage, saboteur) = scene(&versions[CYCLE - 1].1, &versions)?;
    let traffic = stage.begin_at(RATE)?;
    let names = versions
        .iter()
        .enumerate()
        .map(|(number, (name, _))| match number % 20 {
            18 => format!("{name}@172.16.0.1:8080"),
            _ => name.clone(),
        });
    let mut order = vec!["saboteur".to_owned(), "reload".to_owned(), CYCLE.to_string()];
    order.extend(names);
    let words: Vec<&str> = order.iter().map(String::as_str).collect();
    for series in 1..=share(RELOADS).div_ceil(CYCLE as u64) {
        let said: Value = serde_json::from_str(&saboteur.run(&words)?)?;
        println!(
            "{series}: {said}, {} connections, {} lost",
            traffic.begun(),
            traffic.losses()
        );
        assert_eq!(said["reloads"], CYCLE);
        // Each of them changed something.
        assert!(said["steps"].as_u64() >= Some(3 * CYCLE as u64), "{said}");
    }
    traffic.wait_for(at_least(), FLOW_LIMIT)?;
    let seen = traffic.end()?;
    seen.assert_nothing_lost("reloads");
    for server in ["one", "two", "three"] {
        assert!(
            seen.answered_by(server) > share(1_000),
            "{server}: {:?}",
            seen.short
        );
    }
    let status = scene.vm().json("status")?;
    let log = saboteur.sh("applctl log --all")?;
    let repairs: Vec<&str> = log.lines().filter(|line| line.contains("repair: ")).collect();
    assert_eq!(status["reconcile"]["repairs"], 0, "{repairs:#?}");
    Ok(())
}

fn server<'a>(services: &'a Value, address: &str) -> &'a Value {
    let servers = services["services"][0]["servers"].as_array();
    let mut servers = servers.into_iter().flatten();
    servers
        .find(|server| server["address"] == address)
        .unwrap_or(&Value::Null)
}

/// Rounds of drains, each with short connections in full flow.
const ROUNDS: u64 = 12;

/// A server at weight 0 in the file keeps the connections that it has, to their end, and gets no other.
pub fn in_drains() -> Told {
    let first = config("", &web([Some(0), Some(1), None]));
    let second = config("", &web([Some(1), Some(0), None]));
    let both = config("", &web(BOTH));
    let versions = [
        ("one-drained.toml", first),
        ("two-drained.toml", second),
        ("both.toml", both.clone()),
    ]
    .map(|(name, text)| (name.to_owned(), text));
    let (mut scene, stage, saboteur) = scene(&both, &versions)?;
    let staying = stage.stay("host01", 50)?;
    let mut reports = Vec::new();
    let rounds = share(ROUNDS);
    for round in 0..rounds {
        let (drained, address, other) = [
            ("one", "172.16.0.11:8080", "two"),
            ("two", "172.16.0.12:8080", "one"),
        ][round as usize % 2];
        let ending = stage.stay("host02", 20)?;
        saboteur.run(&["saboteur", "reload", "1", &format!("{drained}-drained.toml")])?;
        let share = at_least().div_ceil(rounds * 2);
        let short = stage.short(share, round * share)?;
        for report in &short {
            let answers = &report.servers;
            assert_eq!(
                answers.keys().collect::<Vec<_>>(),
                [other],
                "{drained} is drained: {answers:?}"
            );
        }
        let ended = ending.report()?;
        for server in ["one", "two"] {
            assert!(ended.servers[server] > 0, "round {round}: {ended:?}");
        }
        reports.extend(short);
        reports.push(ended);
        // What is left at the drained server are those that stay.
        let services = scene.vm().json("services")?;
        let server = server(&services, address);
        assert_eq!(
            (&server["weight"], &server["health"]),
            (&0.into(), &"up".into()),
            "{server}"
        );
        assert!(server["active_connections"].as_u64() > Some(0), "{server}");
        saboteur.run(&["saboteur", "reload", "1", "both.toml"])?;
    }
    let seen = Seen {
        short: reports,
        long: staying.report()?,
        dropped: stage.dropped()?,
    };
    seen.assert_nothing_lost("drains");
    scene.wait_for_report("services", SOON, |services| {
        let servers = services["services"][0]["servers"].as_array();
        servers.is_some_and(|servers| servers.iter().all(|server| server["active_connections"] == 0))
    })?;
    Ok(())
}
