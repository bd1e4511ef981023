//! Every file of tests/configs/bad, at boot and at the console: its message appears, the prompt answers, nothing panics.
//! Beside `NAME.toml`, `NAME.expected` holds lines that the message must contain, in their order.

use lb_configs::Bad;
use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::traffic::is_whole;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::story::Told;
use lb_lab::{LabError, Result};

/// What no operator must ever see.
const NEVER: [&str; 3] = ["panicked at", "stack backtrace", "Kernel panic"];

fn bad_configs() -> Result<Vec<Bad>> {
    lb_configs::bad().map_err(LabError::io("read tests/configs/bad"))
}

/// All expected lines, in their order; the console may have broken them at its width.
fn assert_shown(file: &Bad, shown: &str) {
    let words = one_line(shown);
    let mut rest = words.as_str();
    for line in file.expected.lines().map(one_line) {
        let Some(at) = rest.find(&line) else {
            panic!("{}: `{line}` was not shown; shown was:\n{shown}", file.name);
        };
        rest = &rest[at + line.len()..];
    }
    for word in NEVER {
        assert!(!shown.contains(word), "{}: {word}:\n{shown}", file.name);
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// The files are shared out among this many stories.
const SHARES: usize = 4;

pub fn at_boot_1() -> Told {
    at_boot(0)
}

pub fn at_boot_2() -> Told {
    at_boot(1)
}

pub fn at_boot_3() -> Told {
    at_boot(2)
}

pub fn at_boot_4() -> Told {
    at_boot(3)
}

/// One share of the files, every twelfth of it unless the whole is asked for: boots with each as the only lb.toml there ever
/// was. (The console is given all of them in any run.)
fn at_boot(share: usize) -> Told {
    let files = bad_configs()?;
    let mut scene = Scene::dark(Setting::unconfigured(Start::Kernel))?;
    let step = if is_whole() { SHARES } else { 12 * SHARES };
    for file in files.iter().skip(share).step_by(step) {
        volume::write(&scene.disk, "lb.toml", &file.text)?;
        scene.power_on()?;
        scene.vm().wait_for_prompt(BOOT_LIMIT)?;
        // The agent may have more to say after the first prompt.
        let shown = scene.vm().command("config check")?;
        let all = scene.vm().console.text();
        assert_shown(file, &all);
        assert!(
            shown.contains("lb.toml"),
            "{}: config check said:\n{shown}",
            file.name
        );
        scene.cut_power()?;
    }
    Ok(())
}

/// Pastes every file at the console of a machine that serves; the configuration in force stays.
pub fn at_the_console() -> Told {
    let good = scenario(QUICK);
    let mut scene = Scene::new(Setting::new(Start::Kernel, good.clone()))?;
    scene.wait_until_serving()?;
    let kept = scene.vm().command("config show")?;
    for file in bad_configs()? {
        let Ok(text) = String::from_utf8(file.text.clone()) else {
            continue; // Not text: nobody can paste it; told at boot.
        };
        let said = scene.vm().config_put(&text)?;
        assert_shown(&file, &said);
        scene.row_1(1)?;
    }
    // A paste that brought nothing.
    for nothing in ["", "# nothing but a remark\n", "hostname = \"other\"\n"] {
        let said = scene.vm().config_put(nothing)?;
        assert!(said.contains("nothing was changed"), "{nothing:?}: {said}");
        scene.row_1(1)?;
    }
    assert_eq!(
        scene.vm().command("config show")?,
        kept,
        "a refused file changes nothing"
    );
    // Valid, but this machine lacks the link: the answer says so, and the old file brings everything back.
    let said = scene.vm().config_put(&good.replace("\"eth1\"", "\"eth9\""))?;
    assert!(said.contains("no such link"), "{said}");
    scene.vm().config_put(&good)?;
    scene.wait_for_page(BOOT_LIMIT)?;
    let checked = scene.vm().command("config check")?;
    assert!(!checked.contains("error"), "{checked}");
    scene.rows_1_to_5()?;
    Ok(())
}
