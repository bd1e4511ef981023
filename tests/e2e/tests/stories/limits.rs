//! What a service's keys ask of the scheduler, as clients meet it: a server that comes back slowly, one with its most connections, and clients of
//! one network that are one client.

use std::path::Path;
use std::time::{Duration, Instant};

use lb_e2e::config::with_services;
use lb_e2e::farm::{IMPATIENT, ONE, SOON, TWO, server, service, wait_for, who_answers};
use lb_e2e::hold::Held;
use lb_e2e::{Peers, Scene, Setting, Start};
use lb_lab::load::Program;
use lb_lab::story::Told;

const SLOWLY: Duration = Duration::from_secs(30);
const FEW: usize = 4;
const MANY: usize = 20;

fn config() -> String {
    let slowly = format!("slow_start = \"{}s\"\n{IMPATIENT}", SLOWLY.as_secs());
    let slow = service("web", 8080, &slowly, &[ONE, TWO]).replace("\"rr\"", "\"wrr\"");
    let slow = slow.replace("address = ", "weight = 10\naddress = ");
    let few = format!("address = \"{ONE}\"\nmax_connections = {FEW}\n");
    let limited = service("limited", 8081, IMPATIENT, &[ONE, TWO]);
    let limited = limited.replace(&format!("address = \"{ONE}\"\n"), &few);
    let network = format!("persistence = {{ timeout = \"5m\", prefix = 24 }}\n{IMPATIENT}");
    with_services(&[slow, limited, service("network", 8082, &network, &[ONE, TWO])].concat())
}

pub fn slowly_to_a_limit_and_by_network() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config()))?;
    let load = Program::own()?;
    let _one = load.serve("worker01", "one", &[ONE])?;
    let two = load.serve("worker02", "two", &[TWO])?;
    scene.power_on()?;
    wait_for(&mut scene, &[(ONE, "up"), (TWO, "up")])?;
    has_all_of_it(&mut scene)?;

    drop(two);
    wait_for(&mut scene, &[(TWO, "down")])?;
    let _two = load.serve("worker02", "two", &[TWO])?;
    let services = wait_for(&mut scene, &[(TWO, "up")])?;
    let back = Instant::now();
    let first = server(&services, TWO)["weight"].as_u64();
    assert!(
        (Some(1)..Some(5)).contains(&first),
        "it begins with {first:?} of 10"
    );
    let who = who_answers(&load, "host01", 8080, 26)?;
    println!("{:?} after it was back: {who:?}", back.elapsed());
    let few = who.get("two").copied().unwrap_or(0);
    assert!((1..=8).contains(&few), "{who:?}");
    has_all_of_it(&mut scene)?;
    println!("all of its weight after {:?}", back.elapsed());
    assert!(back.elapsed() > SLOWLY / 2, "{:?} of {SLOWLY:?}", back.elapsed());
    let who = who_answers(&load, "host01", 8080, 20)?;
    assert_eq!(who, [("one".to_owned(), 10), ("two".to_owned(), 10)].into());

    // Round robin goes on with who has room.
    let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
    let mut held = Held::open(&peers, "host01", "192.168.0.1:8081", MANY)?;
    assert_eq!(
        (held.at("one").len(), held.at("two").len()),
        (FEW, MANY - FEW),
        "{held:?}"
    );
    held.assert_whole("a server has its most connections")?;

    // Without the prefix these two meet different servers (see clients_persist).
    let first = who_answers(&load, "host01", 8082, 5)?;
    let second = who_answers(&load, "host02", 8082, 5)?;
    assert_eq!((first.len(), &first), (1, &second));
    Ok(())
}

/// Until both have the weight that the file gives them.
fn has_all_of_it(scene: &mut Scene) -> Told {
    scene.wait_for_report("services", SLOWLY + SOON, |services| {
        [ONE, TWO]
            .iter()
            .all(|address| server(services, address)["weight"].as_u64() == Some(10))
    })?;
    Ok(())
}
