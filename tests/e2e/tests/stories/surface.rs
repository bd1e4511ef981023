//! What can be reached of the appliance: the services, from both sides, and nothing else.

use std::path::Path;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::{Peers, Scene, Setting, Start};
use lb_lab::command::run;
use lb_lab::story::Told;
use lb_lab::{GATEWAY, VIP};

use crate::rows::settle;

/// All TCP ports of both addresses, from outside and from a node.
pub fn only_services_answer() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    // host01 knows a way to the inner address: the filter has to hold by itself.
    run(&["ip", "-n", "host01", "route", "add", "172.16.0.0/24", "via", VIP])?;
    let services: &[u16] = &[6_443, 30_080];
    let scans = [
        ("host01", VIP, services),
        ("worker01", VIP, services),
        ("host01", GATEWAY, &[]),
        ("worker01", GATEWAY, &[]),
    ];
    let running: Vec<_> = scans
        .into_iter()
        .map(|(from, address, expected)| {
            let peers = Peers::new(Path::new(env!("CARGO_BIN_EXE_peer")));
            let scan = std::thread::spawn(move || peers.scan(from, address));
            (from, address, expected, scan)
        })
        .collect();
    for (from, address, expected, scan) in running {
        let open = scan.join().expect("a scan ends")?;
        assert_eq!(open, expected, "ports of {address} that answer {from}");
    }
    // It was no burden.
    scene.rows_1_to_5()?;
    Ok(())
}
