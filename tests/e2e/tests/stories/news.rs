//! Urgent lines of the kernel's log come while somebody types: they stand above the prompt, and what is typed stays whole.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start};
use lb_lab::LabError;
use lb_lab::story::Told;

use crate::counters::shows;

/// For init to see that the consoles run.
const LOWERED: Duration = Duration::from_secs(20);
const FLOOD: usize = 300;

/// A half-typed line with the cursor inside, a flood, and the editor.
pub fn prompt_stays_whole() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    let saboteur = scene.saboteur()?;
    printk_is_low(&saboteur)?;
    half_typed(&mut scene, &saboteur)?;
    flood(&mut scene, &saboteur)?;
    editor(&mut scene, &saboteur)?;
    followed(&mut scene, &saboteur)?;
    Ok(())
}

fn printk_is_low(saboteur: &Saboteur) -> Told {
    let started = Instant::now();
    loop {
        let level = saboteur.run(&["saboteur", "read", "/proc/sys/kernel/printk"])?;
        if level.starts_with('1') {
            return Ok(());
        }
        if started.elapsed() > LOWERED {
            return Err(LabError::Unexpected(format!("printk still writes to the consoles: {level}")).into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An error as the agent writes it: without the end of its line a record is not to be read before the next one comes.
fn say(saboteur: &Saboteur, text: &str) -> Told {
    saboteur.run(&["saboteur", "write", "/dev/kmsg", &format!("<2>agent: {text}\n")])?;
    Ok(())
}

/// Whether the last line is this one, and one above it ends so.
fn stands_above(screen: &str, news: &str, line: &str) -> bool {
    let lines: Vec<&str> = screen.trim_end().lines().collect();
    lines.split_last().is_some_and(|(last, above)| {
        last.trim_end() == line && above.iter().any(|l| l.trim_end().ends_with(news))
    })
}

fn half_typed(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    scene
        .vm()
        .console
        .send(b"config how samp\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D")?;
    shows(scene, "the half-typed line", |screen| {
        screen.trim_end().ends_with("lb> config how samp")
    })?;
    say(saboteur, "the disk \x1b[2Jis gone")?;
    shows(scene, "the message above the line", |screen| {
        stands_above(screen, "agent: the disk ?[2Jis gone", "lb> config how samp")
    })?;
    // The cursor is where it was, and the line can be finished and is carried out.
    scene.vm().console.send(b"s\x05le\r")?;
    shows(scene, "the sample", |screen| {
        stands_above(screen, "", "lb>") && screen.trim_end().lines().count() > 20
    })?;
    Ok(())
}

fn flood(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    // A window of its own.
    std::thread::sleep(Duration::from_secs(3));
    scene.vm().console.send(b"stat")?;
    saboteur.run(&["saboteur", "flood", &FLOOD.to_string()])?;
    // What the line could go on with stands behind it.
    let is_begun = |screen: &str| {
        let last = screen.trim_end().lines().last();
        last.is_some_and(|last| last.starts_with("lb> stat"))
    };
    shows(scene, "the first lines, a number, and the prompt", |screen| {
        let shown = screen.matches("agent: flood ").count();
        (5..20).contains(&shown) && screen.contains(" more: `log`") && is_begun(screen)
    })?;
    scene.vm().console.send(b"us\r")?;
    shows(scene, "the status", |screen| {
        screen.contains("Configuration") && screen.trim_end().ends_with("lb>")
    })?;
    Ok(())
}

fn editor(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    std::thread::sleep(Duration::from_secs(3));
    scene.vm().console.send(b"config edit\r")?;
    shows(scene, "the editor", |screen| {
        screen.starts_with("lb.toml") && screen.contains("^X leave")
    })?;
    say(saboteur, "while it is edited")?;
    shows(scene, "a mark and no line", |screen| {
        screen.starts_with("lb.toml")
            && screen
                .lines()
                .next()
                .is_some_and(|row| row.contains("1 message: see log"))
            && !screen.contains("while it is edited")
    })?;
    scene.vm().console.send(b"\x18")?;
    shows(scene, "the line when the editor is left", |screen| {
        stands_above(screen, "agent: while it is edited", "lb>")
    })?;
    Ok(())
}

/// Who reads the log has each line once.
fn followed(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    scene.vm().console.send(b"log --follow\r")?;
    shows(scene, "the log", |screen| screen.contains("while it is edited"))?;
    for text in [
        "the first while it is followed",
        "the second while it is followed",
    ] {
        say(saboteur, text)?;
        shows(scene, text, |screen| screen.contains(text))?;
    }
    scene.vm().console.send(b"\x03")?;
    shows(scene, "the prompt", |screen| screen.trim_end().ends_with("lb>"))?;
    scene.vm().console.send(b"\r")?;
    shows(scene, "each of them once", |screen| {
        let lines: Vec<&str> = screen.trim_end().lines().rev().take(2).collect();
        let shown = screen.matches("while it is followed").count();
        lines.iter().all(|line| line.trim_end() == "lb>") && shown == 2
    })?;
    Ok(())
}
