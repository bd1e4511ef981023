//! A configuration on trial that takes the service's address away: whatever happens then, the former one comes back by itself. And
//! what was in force before is put back by its number.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::{BOOT_LIMIT, SERVICE};
use lb_e2e::{Scene, Setting, Start, Stream, volume};
use lb_lab::story::Told;
use lb_lab::{LabError, Result};
use serde_json::Value;

/// What the console takes for a command on a slow machine.
const SOON: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(10);

/// The address that clients use becomes another one.
fn wrong() -> String {
    let text = scenario(QUICK);
    let moved = text.replace("192.168.0.1/24", "192.168.0.9/24");
    moved.replace("192.168.0.1:", "192.168.0.9:")
}

fn assert_pending(said: &str) {
    assert!(
        said.contains("PENDING") && said.contains("config confirm"),
        "{said}"
    );
}

fn assert_not_served(scene: &Scene) -> Told {
    let fetch = scene.lab.curl("host01", SERVICE)?;
    assert!(fetch.timed_out(), "the address is still there: {fetch:?}");
    Ok(())
}

/// Nothing is pending, the file is the former one, and this was told.
fn assert_returned(scene: &mut Scene, told: &str) -> Told {
    let status = scene.vm().json("status")?;
    assert_eq!(status["config"]["pending"], Value::Null, "{status:#}");
    assert_eq!(status["config"]["source"], "file", "{status:#}");
    let shown = scene.vm().command("config show")?;
    assert!(same(&shown, &scenario(QUICK)), "{shown}");
    let events = scene.vm().json("events")?.to_string();
    assert!(events.contains("RETURNED") && events.contains(told), "{events}");
    Ok(())
}

/// Whatever the console made of the end of its lines.
fn same(found: &str, expected: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.trim().lines().map(|line| line.trim_end().to_owned());
        lines.collect()
    };
    lines(found) == lines(expected)
}

pub fn confirm_returns_by_itself() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    scene.wait_until_judged()?;
    let begun = Instant::now();
    let said = scene
        .vm()
        .config_put_with("--confirm 10s --comment \"another address\"", &wrong())?;
    assert_pending(&said);
    scene.screen_is_as_kept("confirm_returns_by_itself/pending", "OK. ")?;
    assert_not_served(&scene)?;
    let refused = scene.vm().command("config apply")?;
    assert!(refused.contains("config abort"), "{refused}");
    scene.screen_is_as_kept("confirm_returns_by_itself/refused", "lb> config apply")?;
    let status = scene.vm().json("status")?;
    assert_eq!(
        status["config"]["pending"]["why"], "put: another address",
        "{status:#}"
    );
    scene.wait_for_page(WINDOW + SOON)?;
    println!("served again after {:?}", begun.elapsed());
    assert!(begun.elapsed() > WINDOW, "it returned too early");
    assert_returned(&mut scene, "not confirmed within 10 s")?;
    scene.vm().command("events --last 2")?;
    scene.screen_is_as_kept("confirm_returns_by_itself/returned", "lb> events")?;
    scene.rows_1_to_5()?;
    Ok(())
}

pub fn power_cut_while_pending() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    let saboteur = scene.saboteur()?;
    assert_pending(&scene.vm().config_put_with("--confirm 10m", &wrong())?);
    assert_not_served(&scene)?;
    // The next agent has what is on the disk.
    saboteur.kill_agent()?;
    scene.wait_for_page(SOON)?;
    assert_returned(&mut scene, "when the agent or the machine ended")?;

    // lb.toml is the new text already, and is put back.
    saboteur.run(&["saboteur", "write", "/config/lb.toml", &wrong()])?;
    assert_pending(&scene.vm().command("config apply --confirm 10m")?);
    assert_not_served(&scene)?;
    scene.cut_power()?;
    volume::assert_replayable(&scene.disk)?;
    assert_eq!(text_on(&scene, "lb.toml")?, scenario(QUICK));
    assert_eq!(text_on(&scene, "lb.pending.toml")?, wrong());
    scene.power_on()?;
    scene.wait_until_serving()?;
    assert_returned(&mut scene, "when the agent or the machine ended")?;
    scene.rows_1_to_5()?;

    // What is confirmed survives the next cut.
    let kept = format!("# confirmed\n{}", scenario(QUICK));
    assert_pending(&scene.vm().config_put_with("--confirm 10m", &kept)?);
    let said = scene.vm().command("config confirm")?;
    assert!(said.contains("survives a power cut"), "{said}");
    scene.cut_power()?;
    volume::assert_replayable(&scene.disk)?;
    for name in ["lb.toml", "lb.applied.toml"] {
        assert!(same(&text_on(&scene, name)?, &kept), "{name}");
    }
    Ok(())
}

fn text_on(scene: &Scene, name: &str) -> Result<String> {
    let content = volume::read(&scene.disk, name)?;
    let content = content.ok_or_else(|| LabError::Unexpected(format!("there is no {name}")))?;
    let text = String::from_utf8(content);
    text.map_err(|error| LabError::Unexpected(format!("{name} is not text: {error}")))
}

pub fn reset_while_pending() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    assert_pending(&scene.vm().config_put_with("--confirm 10m", &wrong())?);
    assert_not_served(&scene)?;
    scene.vm().reset()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.wait_for_page(BOOT_LIMIT)?;
    assert_returned(&mut scene, "when the agent or the machine ended")?;
    scene.rows_1_to_5()?;
    Ok(())
}

fn version(weight: u32) -> String {
    let server = "address = \"172.16.0.11:30080\"\n";
    scenario(QUICK).replace(server, &format!("{server}weight = {weight}\n"))
}

/// The operator finds in the history what was in force three changes ago, looks at it, and puts it back, on the serial line and while a client asks
/// without a pause.
pub fn rollback_three_versions() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, version(1)))?;
    scene.wait_until_serving()?;
    let stream = Stream::start("host01", SERVICE);
    for weight in 2..=5 {
        let comment = format!("--comment \"a weight of {weight}\"");
        let said = scene.vm().config_put_with(&comment, &version(weight))?;
        assert!(
            said.contains(&format!("number {weight} of the history")),
            "{said}"
        );
    }
    looked_at(&mut scene)?;
    let said = scene
        .vm()
        .command("config rollback 2 --comment \"it was better\"")?;
    assert!(said.contains("number 6 of the history"), "{said}");
    scene.screen_is_as_kept("rollback_three_versions/rolled-back", "lb> config rollback 2")?;
    weighs(&mut scene, 2)?;
    // On trial it is as any other.
    assert_pending(&scene.vm().command("config rollback 3 --confirm 10m")?);
    weighs(&mut scene, 3)?;
    let said = scene.vm().command("config abort")?;
    assert!(said.contains("former configuration is in force again"), "{said}");
    scene.screen_is_as_kept("rollback_three_versions/aborted", "lb> config abort")?;
    weighs(&mut scene, 2)?;
    stream.stop().assert_all_pages(20, "while versions came and went");
    scene.reboot()?;
    scene.wait_until_serving()?;
    weighs(&mut scene, 2)?;
    let history = scene.vm().command("config history")?;
    assert!(history.contains("rollback to 2: it was better"), "{history}");
    let shown = scene.vm().command("config show")?;
    assert!(same(&shown, &version(2)), "{shown}");
    scene.row_1(5)?;
    Ok(())
}

/// `config history`, `show` and `diff` tell which one it is.
fn looked_at(scene: &mut Scene) -> Told {
    scene.vm().command("config history")?;
    scene.screen_is_as_kept("rollback_three_versions/history", "lb> config history")?;
    let shown = scene.vm().command("config show 2")?;
    assert!(same(&shown, &version(2)), "{shown}");
    scene.vm().command("config diff 2")?;
    scene.screen_is_as_kept("rollback_three_versions/difference", "lb> config diff")?;
    Ok(())
}

fn weighs(scene: &mut Scene, weight: u64) -> Result<()> {
    scene
        .wait_for_report("services", SOON, |services| {
            configured_weight(services) == Some(weight)
        })
        .map(drop)
}

fn configured_weight(services: &Value) -> Option<u64> {
    let servers = services["services"]
        .as_array()?
        .iter()
        .filter_map(|one| one["servers"].as_array());
    let mut all = servers.flatten();
    all.find(|server| server["address"] == "172.16.0.11:30080")?["configured_weight"].as_u64()
}
