//! Somebody meets the machine for the first time: `setup` on the serial line, a mistake and a step back, to the first page.

use std::time::Duration;

use lb_e2e::Scene;
use lb_e2e::scene::{BOOT_LIMIT, health};
use lb_lab::Result;
use lb_lab::story::Told;

const SOON: Duration = Duration::from_secs(30);

/// What each question begins with, and the answer.
const ANSWERS: [(&str, &str); 13] = [
    ("Interface to the outside", ""),
    // The prefix length is forgotten, and then the address mistyped.
    ("Address of eth0", "192.168.0.1"),
    ("Address of eth0", "192.168.0.11/24"),
    ("Gateway", "back"),
    ("Address of eth0", "192.168.0.1/24"),
    ("Gateway", ""),
    ("Interface to the servers", ""),
    ("Address of eth1", "172.16.0.254/24"),
    ("May the servers reach the outside", ""),
    ("Name of a first service", "nginx"),
    ("Where clients reach it", "192.168.0.1:30080"),
    ("Its servers", "172.16.0.11:30080 172.16.0.12:30080"),
    ("How they are checked", ""),
];

/// The answer that is refused, as the screen shows it then.
const MISTAKE: (&str, &str) = ("Address of eth0", "192.168.0.1");
/// The last question.
const DECISION: &str = "Put this in force";

/// From the prompt of a machine without a configuration to host01's first page; lb.toml then.
pub fn sets_up(scene: &mut Scene) -> Result<String> {
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    scene.vm().console.forget();
    scene.vm().console.send(b"setup\r")?;
    for (question, line) in ANSWERS {
        asked(scene, question)?;
        scene.vm().console.send(format!("{line}\r").as_bytes())?;
        if (question, line) == MISTAKE {
            scene.screen_is_as_kept("first_boot/mistake", "lb> setup")?;
        }
    }
    asked(scene, DECISION)?;
    scene.screen_is_as_kept("first_boot/decision", "")?;
    scene.vm().console.send(b"yes\r")?;
    scene.vm().wait_for("OK. Applied", SOON)?;
    scene.vm().wait_for(r"change\s+it", SOON)?;
    scene.screen_is_as_kept("first_boot/in-force", DECISION)?;
    scene.wait_for_page(SOON)?;
    scene.vm().command("config show")
}

/// The question, and the mark behind which its answer is typed.
fn asked(scene: &mut Scene, question: &str) -> Result<()> {
    scene.vm().wait_for(question, SOON)?;
    scene.vm().wait_for("(?m)^> ", SOON).map(drop)
}

/// What a newcomer looks at next: who serves.
pub fn looks_around(scene: &mut Scene) -> Told {
    scene.wait_for_report("services", SOON, |services| {
        health(services, "172.16.0.11:30080") == Some("up")
            && health(services, "172.16.0.12:30080") == Some("down")
    })?;
    // No screen is kept: when the next check is due decides how its lines are folded.
    let shown = scene.vm().command("services")?;
    let serves = |line: &str| line.contains("172.16.0.11:30080") && line.contains(" up ");
    assert!(shown.lines().any(serves), "{shown}");
    Ok(())
}
