//! Clients inside the cluster: a node that asks for a service address is answered, also by a server beside it, or by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::{API, SERVICE};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::story::Told;
use lb_lab::{GATEWAY, HOST01, MASTER_ANSWER};

use crate::rows::settle;

const TIMES: u64 = 10;

/// Every node reaches both services, every time; only these connections are hidden, and they are counted.
pub fn nodes_reach_the_services() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let nodes = ["master", "worker01", "worker02"];
    for node in nodes {
        for number in 1..=TIMES {
            let page = scene.lab.curl(node, SERVICE)?;
            assert!(page.is_default_page(), "{node} to nginx, {number}: {page:?}");
            let answer = scene.lab.curl(node, API)?;
            assert_eq!(
                answer.body.trim(),
                MASTER_ANSWER,
                "{node} to the API server, {number}"
            );
        }
    }
    // The pod sees the box for those, and host01 as itself.
    let clients: BTreeSet<String> = scene.lab.pod_clients().iter().map(ToString::to_string).collect();
    let expected: BTreeSet<String> = [HOST01, GATEWAY].map(String::from).into();
    assert_eq!(clients, expected);
    let asked = TIMES * 2 * nodes.len() as u64;
    let gateway = scene.wait_for_report("gateway", Duration::from_secs(10), |gateway| {
        gateway["hairpins"][0]["connections"] == asked
    })?;
    let hairpin = &gateway["hairpins"][0];
    assert_eq!(hairpin["from"], "172.16.0.0/24", "{gateway:#}");
    assert_eq!(hairpin["out"], "eth1", "{gateway:#}");
    assert_eq!(hairpin["active"], true, "{gateway:#}");
    // The world outside is reached as before.
    scene.row_5()?;
    scene.row_2()?;
    Ok(())
}
