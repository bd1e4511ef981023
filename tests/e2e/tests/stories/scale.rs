//! Large configurations: they are loaded, a change of one server costs one server, and the memory stays small.
//! What was measured is also in scale.txt beside the image.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use lb_e2e::artifacts::Artifacts;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::LabError;
use lb_lab::story::Told;

/// Emulated, beside another machine. On real hardware it is a tenth of a second.
const CHANGE_LIMIT: Duration = Duration::from_secs(5);
const LOAD_LIMIT: Duration = Duration::from_secs(120);
/// Of init and agent together, with any number of servers up to 40,000: 25 MB.
const MEMORY_LIMIT_KB: u64 = 24_414;
/// While they are loaded. The executable of the tests' image is 1.9 MB larger than the released one, for which 25 MB hold
/// then, too (`make bench`).
const PEAK_LIMIT_KB: u64 = 24_414 + 1_900;

/// So many services, and servers of each.
#[derive(Debug, Clone, Copy)]
struct Size {
    services: usize,
    servers: usize,
}

impl Size {
    fn all(self) -> usize {
        self.services * self.servers
    }

    /// `heavy`: the server of this number gets the weight 7.
    fn config(self, heavy: Option<usize>) -> String {
        let mut text = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
                        [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/16\"]\n"
            .to_owned();
        for service in 0..self.services {
            let port = 10_000 + service;
            let _ = write!(
                text,
                "[[virtual_server]]\nname = \"s{service}\"\nlisten = \"192.168.0.1:{port}\"\ncheck = {{ type = \"none\" }}\n"
            );
            for server in 0..self.servers {
                let number = service * self.servers + server;
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
}

/// From `config apply` to its answer, after which the kernel has the new weight: one step.
fn load_and_change(size: Size, compare_tables: bool) -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, size.config(None)))?;
    let changed = size.config(Some(size.all() / 2));
    volume::write(&scene.disk, "changed.toml", changed.as_bytes())?;
    scene.power_on()?;
    let status = scene.wait_for_report("status", LOAD_LIMIT, |status| status["servers_up"] == size.all())?;
    let loaded = scene.vm().powered_on.elapsed();
    let saboteur = scene.saboteur()?;
    let table = || match compare_tables {
        true => saboteur.sh("ipvsadm -Sn"),
        false => Ok(String::new()),
    };
    // A change that comes while the load goes on is carried out with it, and has no steps of its own.
    let started = Instant::now();
    while saboteur.sh("ipvsadm -Sn")?.lines().count() < size.services + size.all() {
        assert!(
            started.elapsed() < LOAD_LIMIT,
            "the kernel does not have all servers"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    let before = table()?;
    saboteur.sh("saboteur copy /config/changed.toml /config/lb.toml")?;
    let started = Instant::now();
    let said = saboteur.sh("applctl config apply")?;
    let took = started.elapsed();
    assert!(said.contains("Applied, 1 step"), "{said}");
    if compare_tables {
        only_one_differs(&before, &table()?, size);
    }
    let weighs = format!("services s{}", size.services / 2);
    scene.wait_for_report(&weighs, LOAD_LIMIT, |report| {
        let servers = report["services"][0]["servers"].as_array();
        servers.is_some_and(|servers| servers.iter().any(|server| server["weight"] == 7))
    })?;
    let after = scene.wait_for_report("status", LOAD_LIMIT, |status| status["servers_up"] == size.all())?;
    let resident = [&status, &after].map(|status| {
        let kb = |field: &str| status["agent"][field].as_u64().unwrap_or(0);
        (kb("resident_kb"), kb("init_resident_kb"))
    });
    let peak: serde_json::Value = serde_json::from_str(&saboteur.sh("saboteur resident")?)
        .map_err(|error| LabError::Unexpected(format!("the saboteur's answer: {error}")))?;
    let peak = ["agent_peak_kb", "init_peak_kb"].map(|field| peak[field].as_u64().unwrap_or(0));
    let figures = format!(
        "{} servers: up {:.1} s after power-on; one changed in {:.2} s; kB resident (agent, init): {resident:?}, at most {peak:?}",
        size.all(),
        loaded.as_secs_f64(),
        took.as_secs_f64(),
    );
    println!("{figures}");
    let file = Artifacts::locate().image.with_file_name("scale.txt");
    let open = std::fs::OpenOptions::new().create(true).append(true).open(file);
    // The figures are also printed; that they cannot be kept is no fault of the appliance.
    let _ = open.and_then(|mut file| writeln!(file, "{figures}"));
    assert!(took < CHANGE_LIMIT, "the change took {took:?}");
    for (agent, init) in resident {
        assert!(agent > 0 && agent + init <= MEMORY_LIMIT_KB, "{figures}");
    }
    assert!(
        peak[0] > 0 && peak.iter().sum::<u64>() <= PEAK_LIMIT_KB,
        "{figures}"
    );
    Ok(())
}

fn only_one_differs(before: &str, after: &str, size: Size) {
    assert_eq!(before.lines().count(), size.services + size.all());
    let pairs = before.lines().zip(after.lines());
    let differ: Vec<(&str, &str)> = pairs.filter(|(a, b)| a != b).collect();
    assert_eq!(differ.len(), 1, "{differ:?}");
    assert!(differ[0].1.ends_with("-w 7"), "{differ:?}");
}

/// Nothing but the server that was changed is touched.
pub fn one_change_among_many() -> Told {
    let size = Size {
        services: 1_000,
        servers: 5,
    };
    load_and_change(size, true)
}

pub fn one_change_among_forty_thousand() -> Told {
    let size = Size {
        services: 1_000,
        servers: 40,
    };
    load_and_change(size, false)
}
