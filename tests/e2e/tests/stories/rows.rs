//! The seven rows of the scenario.

use std::time::Duration;

use lb_e2e::config::{ORIGINAL, QUICK, QUICK_DETECTION, scenario};
use lb_e2e::scene::{SERVICE, health};
use lb_e2e::{Scene, Setting, Start, Stream};
use lb_lab::story::Told;
use lb_lab::{GATEWAY, HOST01, HOST02, Options, SourceNat};

/// All seven, from power-on, with a client that asks from before the beginning.
pub fn bios() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Bios, scenario(QUICK)))?;
    let stream = Stream::start("host01", SERVICE);
    scene.power_on()?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    scene.rows_1_to_5()?;
    let records = stream.stop();
    records
        .since_first_page()
        .assert_all_pages(30, "row 1 from the first page on");

    // Row 7, and back.
    moved(&mut scene, "worker02", "172.16.0.12:30080", "172.16.0.11:30080")?;
    moved(&mut scene, "worker01", "172.16.0.11:30080", "172.16.0.12:30080")?;

    // Row 6: a reboot from the console, then a power cut; nobody touches anything.
    scene.reboot()?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    scene.cut_power()?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    Ok(())
}

/// Row 7: within the detection time the new worker is in the pool and the old one is not.
fn moved(scene: &mut Scene, worker: &str, new: &str, old: &str) -> Told {
    scene.lab.move_pod(worker)?;
    scene.wait_for_report("services", QUICK_DETECTION, |services| {
        health(services, new) == Some("up") && health(services, old) == Some("down")
    })?;
    scene.row_1(20)?;
    scene.row_3()?;
    Ok(())
}

/// Rows 1, 2 and 6.
pub fn uefi() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Uefi, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    scene.row_1(20)?;
    scene.row_2()?;
    scene.reboot()?;
    scene.wait_until_serving()?;
    scene.row_1(20)?;
    scene.cut_power()?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.rows_1_to_5()?;
    Ok(())
}

/// As the original configuration has it: 30 s until the wrong worker's first check has timed out. It is never asked.
pub fn original_timing() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Kernel, scenario(ORIGINAL)))?;
    let stream = Stream::start("host01", SERVICE);
    scene.power_on()?;
    scene.wait_until_serving()?;
    // The first verdict on worker02 falls while requests run.
    scene.wait_for_report("services", Duration::from_secs(60), |services| {
        health(services, "172.16.0.12:30080") == Some("down")
    })?;
    scene.rows_1_to_5()?;
    let records = stream.stop();
    records
        .since_first_page()
        .assert_all_pages(50, "row 1 for the first half minute and more");
    Ok(())
}

/// With `externalTrafficPolicy: Cluster` the pod sees its worker; the policy still sees host01.
pub fn source_nat_always() -> Told {
    let mut setting = Setting::new(Start::Kernel, scenario(QUICK));
    setting.lab = Options {
        source_nat: SourceNat::Always,
    };
    let mut scene = Scene::new(setting)?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    scene.row_1(20)?;
    scene.row_2()?;
    let policy = scene.lab.policy()?;
    let accepted: Vec<String> = policy.accepted.keys().map(|source| source.to_string()).collect();
    let mut expected = [HOST01, GATEWAY].map(String::from);
    expected.sort();
    assert_eq!(sorted(accepted), expected, "row 3: who the policy let in");
    let refused: Vec<String> = policy.refused.keys().map(|source| source.to_string()).collect();
    assert!(refused.contains(&HOST02.to_owned()), "{refused:?}");
    assert!(!refused.contains(&HOST01.to_owned()), "{refused:?}");
    Ok(())
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

/// Until every server has its verdict: the worker without the pod is down.
pub fn settle(scene: &mut Scene) -> lb_lab::Result<()> {
    let settled = |services: &serde_json::Value| {
        health(services, "172.16.0.11:30080") == Some("up")
            && health(services, "172.16.0.12:30080") == Some("down")
            && health(services, "172.16.0.1:6443") == Some("up")
    };
    scene
        .wait_for_report("services", Duration::from_secs(30), settled)
        .map(drop)
}
