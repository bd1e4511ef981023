//! The password of the consoles: what is open without it, and that neither keys nor a power cut are a way around, while the traffic goes on; and the way back of those
//! who have forgotten it.

use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::{BOOT_LIMIT, SERVICE};
use lb_e2e::{Scene, Setting, Start, Stream, volume};
use lb_lab::Result;
use lb_lab::story::Told;

use crate::first_boot::open_menu;
use crate::rows::settle;

const PASSWORD: &str = "gr\u{fc}ne Wiese 7";
const FILE: &str = "console.password";
const ANSWER: Duration = Duration::from_secs(30);
const LOCKED: &str = "(?s)lb is locked.*Password: ";
const RESCUE: &str = "rescue> ";
const RESCUE_LOCKED: &str = "(?s)This machine needs help.*This prompt is locked.*Password: ";
/// The shortest time that `console idle` takes.
const IDLE: Duration = Duration::from_secs(10);

pub fn forgotten_password() -> Told {
    let original = scenario(QUICK);
    let mut scene = Scene::new(Setting::new(Start::Kernel, original.clone()))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    let stream = Stream::start("host01", SERVICE);
    set(&mut scene)?;
    locked_at_once_and_wrong(&mut scene)?;
    locked_when_left_alone(&mut scene)?;
    stream
        .stop()
        .assert_all_pages(40, "while the console was locked and unlocked");
    scene.cut_power()?;
    let file = volume::read(&scene.disk, FILE)?.expect("a password that was set survives a power cut");
    let file = String::from_utf8(file).expect("it is text");
    assert!(
        file.contains("$argon2id$v=19$") && !file.contains("Wiese"),
        "{file}"
    );
    scene.power_on()?;
    locked_from_the_start(&mut scene)?;
    forgotten(&mut scene, &original)?;
    damaged(&mut scene)
}

/// No console program lives: the rescue prompt asks for the password too, and locks again when it is left alone. Traffic goes on.
pub fn locked_rescue_prompt() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    set(&mut scene)?;
    let shown = scene.vm().command("console idle 10s")?;
    assert!(shown.contains("OK. A console locks after 10 seconds"), "{shown}");
    let saboteur = scene.saboteur()?;
    scene.vm().console.forget();
    let haunting = std::thread::spawn(move || saboteur.sh("saboteur haunt console 15"));
    scene.vm().wait_for(RESCUE_LOCKED, Duration::from_secs(60))?;
    scene.screen_is_as_kept("locked_rescue_prompt/locked", "*** This machine needs help")?;
    // Its words are words of those who know the password.
    scene.vm().console.send(b"poweroff\r")?;
    scene
        .vm()
        .wait_for("Wrong. The next one is looked at in 1 s", ANSWER)?;
    scene.row_1(5)?;
    haunting.join().expect("the saboteur answers")?;
    assert!(!scene.vm().console.text().contains(RESCUE), "there was a prompt");
    open_rescue(&mut scene)?;
    let why = scene.vm().console.command(RESCUE, "why", ANSWER)?;
    assert!(why.contains("console program"), "`why` said:\n{why}");
    let begun = Instant::now();
    scene.screen_is_as_kept("locked_rescue_prompt/why", "rescue> why")?;
    scene.vm().wait_for(RESCUE_LOCKED, ANSWER)?;
    assert!(
        begun.elapsed() >= IDLE - Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    scene.row_2()?;
    open_rescue(&mut scene)?;
    scene.vm().console.send(b"retry\r")?;
    scene.vm().wait_for(LOCKED, ANSWER)?;
    unlock(&mut scene)?;
    scene.rows_1_to_5()?;
    Ok(())
}

fn open_rescue(scene: &mut Scene) -> Result<()> {
    scene.vm().console.send(format!("{PASSWORD}\r").as_bytes())?;
    let opened = "(?s)`help` lists what can be typed.*rescue> ";
    scene.vm().wait_for(opened, ANSWER).map(drop)
}

/// Nothing of it is shown, and `status` says that it is there.
fn set(scene: &mut Scene) -> Told {
    let status = scene.vm().json("status")?;
    assert_eq!(status["console"]["password"], "none", "{status:#}");
    let console = &scene.vm().console;
    console.reach_prompt("lb> ", ANSWER)?;
    console.send(b"console password set\r")?;
    console.wait_for("New password: ", ANSWER)?;
    console.send(format!("{PASSWORD}\r").as_bytes())?;
    console.wait_for("The same again: ", ANSWER)?;
    console.send(format!("{PASSWORD}\r").as_bytes())?;
    console.wait_for("OK. Each console asks for it", ANSWER)?;
    let status = scene.vm().json("status")?;
    assert_eq!(status["console"]["password"], "set", "{status:#}");
    assert_eq!(status["console"]["idle_s"], 600, "{status:#}");
    assert!(!scene.vm().console.text().contains("Wiese"), "it was shown");
    Ok(())
}

fn locked_at_once_and_wrong(scene: &mut Scene) -> Told {
    scene.vm().console.reach_prompt("lb> ", ANSWER)?;
    scene.vm().console.send(b"console lock\r")?;
    scene.vm().wait_for(LOCKED, ANSWER)?;
    scene.screen_is_as_kept("forgotten_password/locked", "")?;
    let begun = Instant::now();
    for wait in ["1 s", "2 s", "4 s"] {
        scene.vm().console.send(b"secret\r")?;
        scene
            .vm()
            .wait_for(&format!("Wrong. The next one is looked at in {wait}"), ANSWER)?;
        // What is typed before its time is not looked at.
        scene.vm().console.send(format!("{PASSWORD}\r").as_bytes())?;
        scene.vm().wait_for("Password: ", ANSWER)?;
    }
    scene.screen_is_as_kept("forgotten_password/wrong", "")?;
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
    // Ctrl-C, Ctrl-D, Ctrl-Z, Ctrl-\ and a BREAK.
    scene.vm().console.send(b"\x03\x04\x1a\x1c\x00status\x03")?;
    scene.vm().console.forget();
    unlock(scene)?;
    let events = scene.vm().command("events --last 20")?;
    for event in [
        "console ttyS0: the password of the consoles was set",
        "console ttyS0: 3 wrong passwords in a row",
        "console ttyS0: unlocked after 3 wrong passwords",
    ] {
        assert!(events.contains(event), "{event}: {events}");
    }
    Ok(())
}

/// At the prompt, and inside of `top`, which goes on.
fn locked_when_left_alone(scene: &mut Scene) -> Told {
    let shown = scene.vm().command("console idle 10s")?;
    assert!(shown.contains("OK. A console locks after 10 seconds"), "{shown}");
    let begun = Instant::now();
    scene.vm().wait_for(LOCKED, ANSWER)?;
    assert!(
        begun.elapsed() >= IDLE - Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    unlock(scene)?;
    scene.vm().console.send(b"top\r")?;
    scene.vm().wait_for("(?s)SERVICE.*nginx", ANSWER)?;
    scene.vm().wait_for(LOCKED, ANSWER)?;
    scene.vm().console.send(format!("{PASSWORD}\r").as_bytes())?;
    scene.vm().wait_for("(?s)Unlocked.*SERVICE.*nginx", ANSWER)?;
    scene.vm().console.send(b"q")?;
    scene.vm().command("console idle 10m").map(drop)?;
    Ok(())
}

/// Keys of the screen do not lead to the boot menu either.
fn locked_from_the_start(scene: &mut Scene) -> Told {
    scene.vm().wait_for(LOCKED, BOOT_LIMIT)?;
    scene.wait_until_serving()?;
    assert!(!scene.vm().console.text().contains("lb> "), "there was a prompt");
    scene.vm().ctrl_alt_del()?;
    unlock(scene)?;
    let log = scene.vm().command("log --last 200")?;
    assert!(
        log.contains("Ctrl-Alt-Del was pressed, and does nothing"),
        "{log}"
    );
    scene.rows_1_to_5()?;
    Ok(())
}

/// The configuration stays, and that the password is gone is told everywhere.
fn forgotten(scene: &mut Scene, original: &str) -> Told {
    scene.cut_power()?;
    scene.power_on()?;
    let menu = open_menu(scene)?;
    assert!(menu.contains("forget-password "), "{menu}");
    scene.screen_is_as_kept("forgotten_password/menu", "*** Boot menu")?;
    forget(scene)?;
    scene.wait_until_serving()?;
    let status = scene.vm().json("status")?;
    assert_eq!(status["console"]["password"], "none", "{status:#}");
    settle(scene)?;
    scene.vm().command("status")?;
    scene.screen_is_as_kept("forgotten_password/status", "lb> status")?;
    let events = scene.vm().command("events --last 20")?;
    assert!(
        events.contains("the password of the consoles was removed at the boot menu"),
        "{events}"
    );
    assert_eq!(scene.vm().command("config show")?.trim(), original.trim());
    scene.rows_1_to_5()?;
    scene.cut_power()?;
    assert_eq!(volume::read(&scene.disk, FILE)?, None);
    Ok(())
}

/// A file that cannot be read opens nothing, and says what does.
fn damaged(scene: &mut Scene) -> Told {
    volume::write(&scene.disk, FILE, b"lb console password 1\nidle 6")?;
    scene.power_on()?;
    scene.vm().wait_for(
        "(?s)lb is locked.*it is not complete.*`forget-password`.*Password: ",
        BOOT_LIMIT,
    )?;
    scene.vm().console.send(format!("{PASSWORD}\r").as_bytes())?;
    scene.vm().wait_for(LOCKED, ANSWER)?;
    scene.wait_until_serving()?;
    scene.cut_power()?;
    scene.power_on()?;
    open_menu(scene)?;
    forget(scene)?;
    scene.wait_until_serving()?;
    Ok(())
}

fn forget(scene: &mut Scene) -> Result<()> {
    scene.vm().console.send(b"forget-password\r")?;
    scene.vm().wait_for("is removed; `go` boots", BOOT_LIMIT)?;
    scene.vm().console.send(b"go\r")?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)
}

fn unlock(scene: &mut Scene) -> Result<()> {
    let begun = Instant::now();
    scene.vm().console.send(format!("{PASSWORD}\r").as_bytes())?;
    scene.vm().wait_for("Unlocked", ANSWER)?;
    println!(
        "unlocked {} ms after the password was typed",
        begun.elapsed().as_millis()
    );
    scene.vm().wait_for_prompt(ANSWER)
}
