//! The way out of the cluster, changed by somebody who is far away: to a gateway that is none, and to one that answers.

use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::Result;
use lb_lab::command::run;
use lb_lab::story::Told;
use serde_json::Value;

/// What the console takes for a command on a slow machine.
const SOON: Duration = Duration::from_secs(30);
/// Behind host02, which is a router for this story.
const FAR: &str = "203.0.113.9";

/// The scenario with host02 as the gateway, which has to answer for a confirmation without a person.
fn with_gateway() -> String {
    let interface = "addresses = [\"192.168.0.1/24\"]";
    let text = scenario(QUICK);
    assert!(text.contains(interface), "{text}");
    let gateway = format!("{interface}\ngateway = \"192.168.0.20\"");
    format!(
        "{}\n[confirm]\ngateway_answers = true\n",
        text.replace(interface, &gateway)
    )
}

fn reaches(scene: &Scene) -> Result<bool> {
    Ok(scene.lab.curl("worker01", FAR)?.status == 200)
}

fn gateway(scene: &mut Scene) -> Result<String> {
    let shown = scene.vm().command("config show")?;
    let line = shown.lines().find(|line| line.starts_with("gateway ="));
    Ok(line.unwrap_or_default().trim().to_owned())
}

fn nothing_is_pending(status: &Value) -> bool {
    status["config"]["source"] == "file" && status["config"]["pending"].is_null()
}

pub fn wrong_gateway_returns() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, with_gateway()))?;
    run(&[
        "ip",
        "-n",
        "host02",
        "addr",
        "add",
        &format!("{FAR}/32"),
        "dev",
        "lo",
    ])?;
    scene.wait_until_serving()?;
    scene.wait_until_judged()?;
    assert!(reaches(&scene)?, "before");

    let said = scene
        .vm()
        .command("config set interface.eth0.gateway 192.168.0.77 --confirm 20s")?;
    assert!(said.contains("PENDING"), "{said}");
    scene.screen_is_as_kept("wrong_gateway_returns/pending", "lb> config set")?;
    assert!(!reaches(&scene)?, "through a gateway that is none");
    // Who is on the same network does not need it.
    scene.row_1(3)?;
    let status = scene.wait_for_report("status", SOON, nothing_is_pending)?;
    assert!(
        status["problems"]
            .to_string()
            .contains("not confirmed within 20 s"),
        "{status:#}"
    );
    assert!(reaches(&scene)?, "it has returned");
    assert_eq!(gateway(&mut scene)?, "gateway = \"192.168.0.20\"");
    let events = scene.vm().command("events --last 2")?;
    assert!(events.contains("RETURNED"), "{events}");
    scene.screen_is_as_kept("wrong_gateway_returns/returned", "lb> events")?;

    // This one answers: nobody has to confirm it.
    let said = scene
        .vm()
        .command("config set interface.eth0.gateway 192.168.0.10 --confirm 2m")?;
    assert!(said.contains("PENDING"), "{said}");
    scene.wait_for_report("status", SOON, nothing_is_pending)?;
    assert_eq!(gateway(&mut scene)?, "gateway = \"192.168.0.10\"");
    assert!(!reaches(&scene)?, "host01 leads nowhere");
    scene.cut_power()?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    assert_eq!(
        gateway(&mut scene)?,
        "gateway = \"192.168.0.10\"",
        "kept, and not on trial"
    );
    // What was told before the cut is still there.
    let events = scene.vm().command("events")?;
    assert!(events.contains("RETURNED"), "{events}");
    scene.rows_1_to_5()?;
    Ok(())
}
