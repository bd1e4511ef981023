//! What is counted while traffic flows, and how fast, for scripts and for somebody at the serial line.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::{BOOT_LIMIT, SERVICE};
use lb_e2e::{Scene, Setting, Start, Stream};
use lb_lab::LabError;
use lb_lab::story::Told;
use serde_json::Value;

use crate::rows::settle;

const LIMIT: Duration = Duration::from_secs(30);

/// A client's own count and the appliance's rates agree; `top` is entered, sorted, opened and left.
pub fn top_follows_the_traffic() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let started = Instant::now();
    let stream = Stream::start("host01", SERVICE);
    let document = scene.wait_for_report("top --interval 1s", LIMIT, |top| {
        per_second(&top["services"][nginx(top)]).is_some_and(|rate| rate > 0.0)
    })?;
    let first = per_second(&document["services"][nginx(&document)]);
    at_the_screen(&mut scene)?;
    let document = scene.vm().json("top nginx --interval 1s")?;
    let pace = stream.stop();
    pace.assert_all_pages(20, "while somebody watched");
    let own = pace.pages() as f64 / started.elapsed().as_secs_f64();

    let service = &document["service"];
    let (rate, server) = (per_second(service), per_second(&service["servers"][0]));
    let plausible = |rate: Option<f64>| rate.is_some_and(|rate| (own / 4.0..own * 4.0).contains(&rate));
    assert!(
        plausible(rate) && plausible(server),
        "the client got {own} pages per second, first {first:?}: {document:#}"
    );
    let traffic = |counted: &Value, what: &str| counted["traffic"][what].as_u64().unwrap_or(0);
    let (connections, packets) = (traffic(service, "connections"), traffic(service, "in_packets"));
    assert!(connections > 0 && packets > 3 * connections, "{document:#}");
    assert!(
        traffic(service, "out_bytes") > traffic(service, "in_bytes"),
        "{document:#}"
    );
    for interface in document["interfaces"].as_array().into_iter().flatten() {
        assert!(
            interface["rates"]["rx_bits_per_second"].as_f64() > Some(1000.0),
            "{document:#}"
        );
    }
    assert!(
        document["load"]["busiest_percent"].as_f64() > Some(0.0),
        "{document:#}"
    );
    assert!(
        document["memory"]["available_kb"].as_u64() > Some(0),
        "{document:#}"
    );
    assert!(
        document["ipvs"]["table_buckets"].as_u64() > Some(0),
        "{document:#}"
    );
    // Everything that was counted is in the totals as soon as the kernel has added it up.
    let pages = pace.pages() as u64;
    scene.wait_for_report("services nginx", LIMIT, |services| {
        traffic(&services["services"][0], "connections") >= pages
    })?;
    let status = scene.vm().json("status")?;
    assert_eq!(status["problems"].as_array().map(Vec::len), Some(0), "{status:#}");
    Ok(())
}

fn at_the_screen(scene: &mut Scene) -> Told {
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    scene.vm().console.send(b"top\r")?;
    shows(scene, "the busiest service first, with its rate", |screen| {
        marked(screen).starts_with(">nginx") && !marked(screen).contains(" - ")
    })?;
    scene.vm().console.send(b"n")?;
    shows(scene, "by name", |screen| {
        marked(screen).starts_with(">kube-apiserver")
    })?;
    scene.vm().console.send(b"\x1b[B\r")?;
    shows(scene, "the servers of nginx", |screen| {
        marked(screen).starts_with(">172.16.0.11:30080") && screen.contains(" 172.16.0.12:30080")
    })?;
    scene.vm().console.send(b"q")?;
    shows(scene, "the prompt on an empty screen", |screen| {
        screen.trim() == "lb>"
    })
}

/// The marked line of the list.
fn marked(screen: &str) -> &str {
    screen
        .lines()
        .find(|line| line.starts_with('>'))
        .unwrap_or_default()
}

/// Waits until the screen of the serial line is like this.
pub fn shows(scene: &mut Scene, what: &str, holds: impl Fn(&str) -> bool) -> Told {
    let started = Instant::now();
    loop {
        let screen = scene.vm().console.screen();
        if holds(&screen) {
            return Ok(());
        }
        if started.elapsed() > LIMIT {
            return Err(LabError::Timeout {
                what: what.into(),
                limit: LIMIT,
                seen: screen,
            }
            .into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn nginx(top: &Value) -> usize {
    let services = top["services"].as_array().into_iter().flatten();
    services
        .map(|s| &s["name"])
        .position(|name| name == "nginx")
        .unwrap_or(usize::MAX)
}

fn per_second(counted: &Value) -> Option<f64> {
    counted["rates"]["connections_per_second"].as_f64()
}
