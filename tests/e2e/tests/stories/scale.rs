//! A large configuration: it is loaded, and a change of one server costs one server.

use std::fmt::Write;
use std::time::{Duration, Instant};

use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::story::Told;

const SERVICES: usize = 1_000;
const SERVERS: usize = 5;
/// Emulated, beside another machine. On real hardware it is a tenth of a second.
const CHANGE_LIMIT: Duration = Duration::from_secs(5);
const LOAD_LIMIT: Duration = Duration::from_secs(90);

/// `heavy`: the server of this number gets the weight 7.
fn many(heavy: Option<usize>) -> String {
    let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
                    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/16\"]\n"
        .to_owned();
    for service in 0..SERVICES {
        let port = 10_000 + service;
        let _ = write!(
            text,
            "[[virtual_server]]\nname = \"s{service}\"\nlisten = \"192.168.0.1:{port}\"\ncheck = {{ type = \"none\" }}\n"
        );
        for server in 0..SERVERS {
            let number = service * SERVERS + server;
            let (third, last) = (1 + number / 250, 1 + number % 250);
            let _ = write!(
                text,
                "[[virtual_server.real_server]]\naddress = \"172.16.{third}.{last}:80\"\n"
            );
            if heavy == Some(number) {
                text.push_str("weight = 7\n");
            }
        }
    }
    text
}

/// From `config apply` to its answer, after which the kernel has the new weight: one step, and nothing else is touched.
pub fn one_change_among_many() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, many(None)))?;
    let changed = SERVICES * SERVERS / 2;
    volume::write(&scene.disk, "changed.toml", many(Some(changed)).as_bytes())?;
    scene.power_on()?;
    let status = scene.wait_for_report("status", LOAD_LIMIT, |status| {
        status["servers_up"] == SERVICES * SERVERS
    })?;
    let saboteur = scene.saboteur()?;
    let before = saboteur.sh("ipvsadm -Sn")?;
    assert_eq!(before.lines().count(), SERVICES * (1 + SERVERS));
    saboteur.sh("saboteur copy /config/changed.toml /config/lb.toml")?;
    let started = Instant::now();
    let said = saboteur.sh("applctl config apply")?;
    let took = started.elapsed();
    assert!(said.contains("Applied, 1 step"), "{said}");
    let after = saboteur.sh("ipvsadm -Sn")?;
    let differ: Vec<(&str, &str)> = before
        .lines()
        .zip(after.lines())
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(differ.len(), 1, "{differ:?}");
    assert!(differ[0].1.ends_with("-w 7"), "{differ:?}");
    println!(
        "{} servers: one changed in {:.2} s; {} kB resident",
        SERVICES * SERVERS,
        took.as_secs_f64(),
        status["agent"]["resident_kb"]
    );
    assert!(took < CHANGE_LIMIT, "the change took {took:?}");
    Ok(())
}
