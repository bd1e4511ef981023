//! A server that comes and goes all the time: after the third time it is held, whatever its checks say, and disturbs nobody.
//! When nobody else is left, it serves all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lb_e2e::config::with_services;
use lb_e2e::farm::{
    ONE, SOON, TWO, asking, count, log, server, service, wait_for, wait_for_mode, who_answers,
};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::load::{Program, Server};
use lb_lab::story::Told;

/// One failure is down, one pass is up: every flap is seen. Who is held stays so to the end of the story.
const KEYS: &str =
    "check = { interval = \"100ms\", timeout = \"500ms\", retries = 0, rise = 1, hold_down = \"3m\" }\n";
const FLAPS: u32 = 100;
const A_MINUTE: Duration = Duration::from_secs(60);
/// A port stays closed, and open, for so long.
const HALF: Duration = Duration::from_millis(200);
/// Connections a second.
const RATE: u32 = 50;

/// A server whose port opens and closes.
struct Flapping {
    stop: Arc<AtomicBool>,
    flaps: Arc<AtomicU32>,
    thread: JoinHandle<Result<Server>>,
}

impl Flapping {
    fn start(load: &Program, first: Server) -> Flapping {
        let (stop, flaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, counted, load) = (Arc::clone(&stop), Arc::clone(&flaps), load.clone());
        let thread = std::thread::spawn(move || {
            let mut open = first;
            while !stopped.load(Ordering::Relaxed) {
                drop(open);
                std::thread::sleep(HALF);
                open = load.serve("worker02", "two", &[TWO])?;
                std::thread::sleep(HALF);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(open)
        });
        Flapping { stop, flaps, thread }
    }

    fn count(&self) -> u32 {
        self.flaps.load(Ordering::Relaxed)
    }

    /// With its port open.
    fn stop(self) -> Result<Server> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the server flaps until it is stopped")
    }
}

pub fn a_hundred_flaps_in_a_minute() -> Told {
    let config = with_services(&service("web", 8080, KEYS, &[ONE, TWO]));
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config))?;
    let load = Program::own()?;
    let one = load.serve("worker01", "one", &[ONE])?;
    let two = load.serve("worker02", "two", &[TWO])?;
    scene.power_on()?;
    wait_for(&mut scene, &[(ONE, "up"), (TWO, "up")])?;

    let before = asking(&load, "host01", RATE)?;
    let begun = Instant::now();
    let flapping = Flapping::start(&load, two);
    scene.wait_for_report("services", SOON, |services| {
        server(services, TWO)["held_for_ms"].is_u64()
    })?;
    let (flaps, report) = (flapping.count(), before.report()?);
    println!(
        "held after {flaps} flaps and {:?}: {}",
        begun.elapsed(),
        report.summary()
    );
    // Whoever was sent to the closed port was refused; nobody else lost anything.
    let kinds: Vec<&str> = report.losses_by_kind.keys().map(String::as_str).collect();
    assert!(
        kinds
            .iter()
            .all(|kind| ["refused", "reset", "short"].contains(kind)),
        "{report:#?}"
    );

    let during = asking(&load, "host01", RATE)?;
    while flapping.count() < FLAPS {
        assert!(begun.elapsed() < A_MINUTE, "{} flaps", flapping.count());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{FLAPS} flaps in {:?}", begun.elapsed());
    let report = during.report()?;
    println!("while it is held: {}", report.summary());
    assert!(report.lost().is_empty(), "{:#?}", report.lost());
    assert_eq!(report.servers.keys().collect::<Vec<_>>(), ["one"]);
    let seconds = begun.elapsed().as_secs();
    assert!(
        report.answers > seconds * u64::from(RATE) / 4,
        "{}",
        report.summary()
    );

    let two = flapping.stop()?;
    the_held_one_serves(&mut scene, &load, one)?;
    drop(two);
    Ok(())
}

fn the_held_one_serves(scene: &mut Scene, load: &Program, one: Server) -> Told {
    let services = wait_for(scene, &[(ONE, "up"), (TWO, "held")])?;
    let held = server(&services, TWO);
    assert!(held["flaps"].as_u64() >= Some(3), "{held:#}");
    let shown = scene.vm().command("services")?;
    assert!(shown.contains("held for"), "{shown}");
    drop(one);
    wait_for_mode(scene, "held")?;
    let who = who_answers(load, "host01", 8080, 20)?;
    assert_eq!(who, [("two".to_owned(), 20)].into());
    let _one = load.serve("worker01", "one", &[ONE])?;
    wait_for_mode(scene, "primary")?;
    let who = who_answers(load, "host01", 8080, 20)?;
    assert_eq!(who, [("one".to_owned(), 20)].into());
    let log = log(scene)?;
    assert_eq!(
        count(&log, "has only servers that flap: they serve all the same"),
        1,
        "{log:#?}"
    );
    Ok(())
}
