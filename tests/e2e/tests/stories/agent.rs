//! The agent dies; the kernel goes on forwarding.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::SERVICE;
use lb_e2e::{Scene, Setting, Start, Stream};
use lb_lab::story::Told;

use crate::rows::settle;

/// SIGKILL, five times, while a client asks without a pause.
pub fn killed_during_requests() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let saboteur = scene.saboteur()?;
    let before = saboteur.kernel_state()?;
    let stream = Stream::start("host01", SERVICE);
    for _ in 0..5 {
        let killed = saboteur.kill_agent()?;
        scene.wait_for_report("status", Duration::from_secs(30), |status| {
            status["agent"]["pid"]
                .as_u64()
                .is_some_and(|pid| pid != u64::from(killed))
        })?;
    }
    // The last agent has proved the servers for itself, and found nothing to change.
    settle(&mut scene)?;
    stream
        .stop()
        .assert_all_pages(40, "while the agent was killed five times");
    assert_eq!(
        saboteur.kernel_state()?,
        before,
        "a new agent leaves what is right"
    );
    let status = scene.vm().json("status")?;
    assert!(status["init"]["agent_restarts"].as_u64() >= Some(5), "{status:#}");
    Ok(())
}

/// No agent lives for more than a few milliseconds, for 20 seconds.
pub fn crashes_at_every_start() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let saboteur = scene.saboteur()?;
    let stream = Stream::start("host01", SERVICE);
    let haunting = std::thread::spawn(move || {
        let killed = saboteur.sh("saboteur haunt agent 20");
        (saboteur, killed)
    });
    // Meanwhile the console answers every command with a sentence, and does not hang.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(15) {
        let shown = scene.vm().command("status")?;
        assert!(!shown.trim().is_empty(), "`status` said nothing");
        assert!(!shown.contains("panicked"), "{shown}");
        scene.vm().command("help")?;
    }
    let (_, killed) = haunting.join().expect("the saboteur answers");
    let killed: u32 = killed?.trim().parse()?;
    // Held back: a start at once after each crash would make hundreds.
    assert!((3..60).contains(&killed), "{killed} agents were killed in 20 s");
    stream.stop().assert_all_pages(50, "while no agent lived");
    // With the curse gone it recovers by itself, back-off included.
    let recovered = scene.wait_for_report("status", Duration::from_secs(90), |status| {
        status["agent"]["pid"].as_u64().is_some()
    })?;
    assert!(
        recovered["init"]["agent_restarts"].as_u64() >= Some(3),
        "{recovered:#}"
    );
    settle(&mut scene)?;
    scene.rows_1_to_5()?;
    Ok(())
}
