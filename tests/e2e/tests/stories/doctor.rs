//! What `doctor` finds in a cluster where something is wrong: an address that two machines have, and a node that sends clients on.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::{SERVICE, health};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::command::run;
use lb_lab::story::Told;
use serde_json::Value;

use crate::protocols::give_ipv6_addresses;
use crate::rows::settle;

const VERDICT: Duration = Duration::from_secs(20);
const V4: &str = "192.168.0.1";
const V6: &str = "2001:db8:0:1::1";

/// The scenario, whose addresses the second network has as well.
fn with_ipv6() -> String {
    let both = |text: &str, from: &str, more: &str| {
        let to = from.replace("/24\"", &format!("/24\", \"{more}/64\""));
        assert!(text.contains(from), "{text}");
        text.replace(from, &to)
    };
    let text = both(&scenario(QUICK), "\"192.168.0.1/24\"", V6);
    let text = both(&text, "\"172.16.0.254/24\"", "2001:db8:0:2::254");
    format!(
        "{text}\n[[virtual_server]]\nname = \"six\"\nlisten = \"[{V6}]:80\"\ncheck = \"icmp\"\n\
         [[virtual_server.real_server]]\naddress = \"[2001:db8:0:2::11]:8080\"\n"
    )
}

pub fn the_doctor_finds_what_hides_clients() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Kernel, with_ipv6()))?;
    give_ipv6_addresses()?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    for (service, address) in [("nginx", V4), ("six", V6)] {
        finds(
            &mut scene,
            service,
            "good",
            &format!("nobody else answers for {address}"),
        )?;
    }
    a_server_loses_its_gateway(&mut scene)?;
    somebody_else_has_the_address(&mut scene)?;
    a_node_sends_clients_on(&mut scene)
}

fn findings(scene: &mut Scene, service: &str) -> Result<Vec<Value>> {
    let said = scene.vm().json(&format!("doctor {service}"))?;
    let findings = said["services"][0]["findings"].as_array().cloned();
    Ok(findings.unwrap_or_default())
}

/// Waits for a finding of this word whose text has `what` in it.
fn finds(scene: &mut Scene, service: &str, word: &str, what: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let found = findings(scene, service)?;
        let is_it = |finding: &&Value| {
            finding["word"] == word && finding["what"].as_str().is_some_and(|text| text.contains(what))
        };
        if let Some(finding) = found.iter().find(is_it) {
            return Ok(finding.clone());
        }
        assert!(begun.elapsed() < VERDICT, "no {word} `{what}` in {found:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Its answers go elsewhere: the check still passes, for the lb is its neighbour, and clients hang.
fn a_server_loses_its_gateway(scene: &mut Scene) -> Told {
    let ways = "come back through the lb: connections of clients show it";
    finds(scene, "nginx", "good", ways)?;
    let gateway = ["via", "172.16.0.254"];
    let route = |verb| run(&[&["ip", "-n", "worker01", "route", verb, "default"], &gateway[..]].concat());
    route("del")?;
    let fetch = scene.lab.curl("host01", SERVICE)?;
    assert!(fetch.timed_out(), "answers found another way: {fetch:?}");
    let found = finds(scene, "nginx", "bad", "answered clients through the lb before")?;
    let remedy = found["remedy"].as_str().unwrap_or_default();
    assert!(
        remedy.contains("its default gateway has to be 172.16.0.254"),
        "{remedy}"
    );
    route("add")?;
    scene.wait_for_page(VERDICT)?;
    Ok(())
}

/// A machine takes addresses of services while they are in use: it is named, and its answer is the only trace of it.
fn somebody_else_has_the_address(scene: &mut Scene) -> Told {
    let shown = run(&["ip", "-n", "host02", "-j", "link", "show", "dev", "eth0"])?;
    let links: Value = serde_json::from_str(&shown)?;
    let mac = links[0]["address"].as_str().unwrap_or_default().to_owned();
    assert_eq!(mac.len(), 17, "{links:#}");
    for (service, address, length) in [("nginx", V4, 24), ("six", V6, 64)] {
        let with_length = format!("{address}/{length}");
        let change = |verb| run(&["ip", "-n", "host02", "addr", verb, &with_length, "dev", "eth0"]);
        // It does not ask first, which is how an address comes to be on a wire twice.
        run(&[
            "ip",
            "-n",
            "host02",
            "addr",
            "add",
            &with_length,
            "dev",
            "eth0",
            "nodad",
        ])?;
        let found = finds(
            scene,
            service,
            "bad",
            &format!("{address} is also the address of {mac}"),
        )?;
        let remedy = found["remedy"].as_str().unwrap_or_default();
        assert!(remedy.contains("take it from that machine"), "{remedy}");
        change("del")?;
        finds(
            scene,
            service,
            "good",
            &format!("nobody else answers for {address}"),
        )?;
    }
    Ok(())
}

/// Without a policy, the worker that has no pod passes its check, and hides the clients from the pod: it is farther away.
fn a_node_sends_clients_on(scene: &mut Scene) -> Told {
    run(&[
        "ip",
        "netns",
        "exec",
        "worker01",
        "nft",
        "delete",
        "table",
        "ip",
        "network-policy",
    ])?;
    scene.wait_for_report("services", VERDICT, |services| {
        health(services, "172.16.0.12:30080") == Some("up")
    })?;
    let found = finds(
        scene,
        "nginx",
        "doubtful",
        "answers of 172.16.0.12:30080 come from farther away",
    )?;
    assert!(
        found["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("externalTrafficPolicy: Local"))
    );
    Ok(())
}
