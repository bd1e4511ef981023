//! The nodes' way out.

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::story::Told;
use lb_lab::{HOST02, VIP};

const OWN_ADDRESS: &str = "192.168.0.5";

/// A node with an egress address of its own is seen by it, whatever the order of the file; the others by the interface's.
pub fn nodes_leave_by_their_address() -> Told {
    let own = format!("\n[[masquerade]]\nfrom = \"172.16.0.1/32\"\nout = \"eth0\"\nto = \"{OWN_ADDRESS}\"\n");
    let config = scenario(QUICK).replacen(
        "addresses = [\"192.168.0.1/24\"]",
        &format!("addresses = [\"192.168.0.1/24\", \"{OWN_ADDRESS}/24\"]"),
        1,
    ) + &own;
    let mut scene = Scene::new(Setting::new(Start::Kernel, config))?;
    scene.wait_until_serving()?;
    for (node, expected) in [("master", OWN_ADDRESS), ("worker01", VIP), ("worker02", VIP)] {
        for _ in 0..5 {
            let fetch = scene.lab.curl(node, HOST02)?;
            assert_eq!(fetch.body.trim(), expected, "from {node}: {fetch:?}");
        }
    }
    let gateway = scene.vm().json("gateway")?;
    let counted: u64 = gateway["masquerades"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|masquerade| masquerade["to"][0] == OWN_ADDRESS)
        .filter_map(|masquerade| masquerade["connections"].as_u64())
        .sum();
    assert_eq!(counted, 5, "{gateway:#}");
    Ok(())
}
