//! The pod moves while host01 asks without pause: what was sent to the dead pod until the checks knew is lost, and nothing
//! else. host02 is let in by nobody at any time.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::farm::wait_for;
use lb_e2e::scene::SERVICE;
use lb_e2e::{Scene, Setting, Start, Stream};
use lb_lab::Result;
use lb_lab::load::{Client, Program, Report, Running};
use lb_lab::story::Told;
use lb_lab::{GATEWAY, HOST01, HOST02};

use crate::rows::settle;

const WORKERS: [&str; 2] = ["172.16.0.11:30080", "172.16.0.12:30080"];
/// The quick timing's worst case, 1 s + 2 x 1 s + 500 ms, and as much again for an emulated machine beside another.
const DETECTION: Duration = Duration::from_secs(7);
/// For an answer, as row 1 has it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Long enough to prove that all is well again.
const AFTER: Duration = Duration::from_secs(4);
const RATE: u32 = 40;
const LONG: usize = 10;
const INTERVAL: Duration = Duration::from_millis(250);
/// Below those of the kernel's choice.
const PORTS: u16 = 10_000;
const PORTS_EACH: u16 = 4_000;

/// host01's clients.
struct Clients {
    short: Running,
    long: Running,
}

impl Clients {
    /// `number`: of these clients; no others have their ports. A worker remembers for two minutes where it sent a port's SYN, be
    /// it to a pod that is gone.
    fn start(load: &Program, number: u16) -> Result<Clients> {
        let first = PORTS + number * PORTS_EACH;
        let to: SocketAddr = SERVICE.parse().expect("an address");
        let short = Client {
            until_told: true,
            // Who waits for the dead pod must not keep others from asking.
            parallel: 2 * RATE as usize,
            rate: Some(RATE),
            patience: PATIENCE,
            from_ports: Some((first + LONG as u16, first + PORTS_EACH - 1)),
            ..Client::short(to, 0)
        };
        let long = Client {
            patience: PATIENCE,
            from_ports: Some((first, first + LONG as u16 - 1)),
            ..Client::long(to, LONG, INTERVAL)
        };
        let clients = Clients {
            short: load.start("host01", &short)?,
            long: load.start("host01", &long)?,
        };
        let limit = Duration::from_secs(20);
        clients.long.wait_for("long connections", limit, |so_far| {
            so_far.answers >= 2 * LONG as u64
        })?;
        Ok(clients)
    }
}

pub fn pod_moves_under_load() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let load = Program::own()?;
    let stranger = Stream::start("host02", SERVICE);
    for (number, (worker, new, old)) in [("worker02", 1, 0), ("worker01", 0, 1)].into_iter().enumerate() {
        let clients = Clients::start(&load, 2 * number as u16)?;
        let moved = UNIX_EPOCH.elapsed()?;
        scene.lab.move_pod(worker)?;
        wait_for(&mut scene, &[(WORKERS[new], "up"), (WORKERS[old], "down")])?;
        let well = UNIX_EPOCH.elapsed()?;
        let later = Clients::start(&load, 2 * number as u16 + 1)?;
        std::thread::sleep(AFTER);
        let short = clients.short.report()?;
        judge(worker, &short, moved, well);
        let long = clients.long.report()?;
        println!("to {worker}, long: {}", long.summary());
        assert_eq!(long.losses, LONG as u64, "they end with their pod: {long:?}");
        for report in [later.short.report()?, later.long.report()?] {
            println!("after the move to {worker}: {}", report.summary());
            assert!(report.lost().is_empty(), "to {worker}: {:#?}", report.lost());
        }
        only_who_may(&scene)?;
    }
    let records = stranger.stop();
    let met: Vec<_> = records.0.iter().filter(|record| record.fetch.exit == 0).collect();
    assert!(met.is_empty(), "host02 was let in: {met:?}");
    assert!(records.0.len() >= 5, "{} requests of host02", records.0.len());
    Ok(())
}

/// Times are since the epoch. A loss is told when its patience is over.
fn judge(worker: &str, report: &Report, moved: Duration, well: Duration) {
    println!(
        "to {worker}, noticed after {:?}: {}",
        well - moved,
        report.summary()
    );
    assert!(report.losses == report.first_losses.len() as u64, "{report:?}");
    let since_move = |at_s: f64| report.started_unix_ms as f64 / 1_000.0 + at_s - moved.as_secs_f64();
    let last = (DETECTION + PATIENCE).as_secs_f64();
    for loss in &report.first_losses {
        let at = since_move(loss.at_s);
        assert!(
            (-0.1..last).contains(&at),
            "{at:.1} s after the move to {worker}: {loss}"
        );
    }
    assert!(report.answers > 100, "{}", report.summary());
}

/// The pod that runs now saw host01 alone, and the policy let in nobody but it and the checks.
fn only_who_may(scene: &Scene) -> Told {
    scene.row_3()?;
    let policy = scene.lab.policy()?;
    for source in policy.accepted.keys() {
        let source = source.to_string();
        assert!(source == HOST01 || source == GATEWAY, "{source} was let in");
    }
    let refused = |source: &str| policy.refused.keys().any(|known| known.to_string() == source);
    assert!(refused(HOST02), "host02 was not even refused: {policy:?}");
    assert!(!refused(HOST01), "{policy:?}");
    Ok(())
}
