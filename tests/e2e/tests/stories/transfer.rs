//! A machine goes out over its serial line as one text, is reset, and comes back by it: with its drains and its authority, in one step, whenever
//! the power fails.

use std::path::Path;
use std::time::Duration;

use lb_core::export::{Export, read};
use lb_e2e::config::with_services;
use lb_e2e::farm::{IMPATIENT, ONE, SERVICE, SOON, TWO, server, service, wait_for, who_answers};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::load::Program;
use lb_lab::nginx::{Answer, Nginx};
use lb_lab::story::Told;
use lb_lab::{LabError, Result, cage};

use crate::checks::Authority;
use crate::first_boot::{as_from_the_factory, seed_disk, type_reset};

const NAME: &str = "www.example.com";
const SECURE: &str = "172.16.0.12:8443";
/// After the word that puts it in force: moments of the write, not waits for it.
const MOMENTS_MS: [u64; 5] = [0, 20, 60, 150, 400];
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn config() -> String {
    let secure = format!(
        "check = {{ type = \"https\", server_name = \"{NAME}\", ca = \"ca.pem\", interval = \"1s\", timeout = \"2s\", retries = 1, retry_interval = \"500ms\" }}\n"
    );
    with_services(
        &(service("web", 8080, IMPATIENT, &[ONE, TWO]) + &service("secure", 8443, &secure, &[SECURE])),
    )
}

/// Exports, and reads what came.
fn export(scene: &mut Scene) -> Result<(String, Export)> {
    let console = &scene.vm().console;
    console.reach_prompt("lb> ", BOOT_LIMIT)?;
    console.forget();
    console.send(b"config export\r")?;
    let text = console.wait_for(
        r"(?s)lb-export 1\n.*\nend \d+ bytes, sha256 [0-9a-f]{64}\n",
        BOOT_LIMIT,
    )?;
    let export =
        read(text.as_bytes(), VERSION).map_err(|fault| LabError::Unexpected(format!("{fault}\n{text}")))?;
    Ok((text, export))
}

/// Up to the question, and the word for it.
pub fn begin_import(scene: &mut Scene, options: &str, text: &str) -> Result<usize> {
    let start = scene
        .vm()
        .begin_to_put(&format!("config import{options}"), text)?;
    scene.vm().wait_for("anything else changes", BOOT_LIMIT)?;
    scene.vm().wait_for("(?m)^> ", BOOT_LIMIT)?;
    scene.vm().console.send(b"import\r")?;
    Ok(start)
}

/// What it says at its end.
pub fn import(scene: &mut Scene, options: &str, text: &str) -> Result<String> {
    let start = begin_import(scene, options, text)?;
    scene.vm().console.until_prompt("lb> ", start, BOOT_LIMIT)
}

fn only_two_answers(load: &Program, occasion: &str) -> Told {
    let who = who_answers(load, "host01", SERVICE.1, 6)?;
    assert_eq!(who, [("two".to_owned(), 6)].into(), "{occasion}");
    Ok(())
}

/// The authority vouches for the server, and one server of the other service is set aside.
fn is_the_machine(scene: &mut Scene, load: &Program, occasion: &str) -> Told {
    wait_for(scene, &[(ONE, "up"), (TWO, "up"), (SECURE, "up")])?;
    scene.wait_for_report("services", SOON, |services| {
        let one = server(services, ONE);
        one["weight"] == 0 && !one["drained_by"].is_null()
    })?;
    only_two_answers(load, occasion)
}

pub fn a_machine_moves_as_one_text() -> Told {
    let authority = Authority::new();
    let mut scene = Scene::dark(Setting::new(Start::Kernel, config()))?;
    volume::write(&scene.disk, "ca.pem", authority.0.pem().as_bytes())?;
    let load = Program::own()?;
    let _one = load.serve("worker01", "one", &[ONE])?;
    let _two = load.serve("worker02", "two", &[TWO])?;
    let _secure = Nginx::start_tls(
        "worker02",
        "secure",
        8443,
        Answer::Health("secure"),
        &authority.vouch(NAME).0,
    )?;
    scene.power_on()?;
    wait_for(&mut scene, &[(ONE, "up"), (TWO, "up"), (SECURE, "up")])?;
    scene.vm().command(&format!("drain {ONE} --yes"))?;
    is_the_machine(&mut scene, &load, "before")?;
    let (text, exported) = export(&mut scene)?;
    println!("the export has {} bytes", text.len());

    type_reset(&mut scene, "factory-reset", "reset")?;
    scene.wait_for_restart()?;
    as_from_the_factory(&mut scene)?;
    scene
        .vm()
        .begin_to_put("config import", &text.replace("|hostname", "|hostnam3"))?;
    scene.vm().wait_for(
        "nothing was changed: the export cannot be used: line 7",
        BOOT_LIMIT,
    )?;
    scene.screen_is_as_kept("a_machine_moves_as_one_text/fault", "nothing was changed")?;
    as_from_the_factory(&mut scene)?;
    let said = import(&mut scene, "", &text)?;
    assert!(
        said.contains("OK. Applied") && said.contains("It is saved"),
        "{said}"
    );
    // At once: it was acknowledged.
    scene.cut_power()?;
    scene.power_on()?;
    is_the_machine(&mut scene, &load, "after a reset, an import and a power cut")?;
    same_state(&mut scene, &[&exported])?;
    on_trial(&mut scene, &load, &exported)?;
    in_power_cuts(&mut scene, exported)?;
    from_a_disk(&mut scene, &load, &text)
}

/// Which of them the machine is now, whole.
fn same_state(scene: &mut Scene, states: &[&Export]) -> Result<usize> {
    let (_, now) = export(scene)?;
    let which = states.iter().position(|state| {
        (&state.configuration, &state.drains, &state.files) == (&now.configuration, &now.drains, &now.files)
    });
    which.ok_or_else(|| LabError::Unexpected(format!("a mixture: {now:?}")))
}

/// The same machine with another authority under the same name, and nothing set aside.
fn another(exported: &Export) -> Export {
    let ca = Authority::new().0.pem().into_bytes();
    Export {
        configuration: format!("# another\n{}", exported.configuration),
        drains: "# Written by `drain` and `undrain`.\ndrain = []\n".to_owned(),
        files: [("ca.pem".to_owned(), ca)].into(),
        ..exported.clone()
    }
}

fn written(export: &Export) -> Result<String> {
    export
        .text()
        .map_err(|error| LabError::Unexpected(error.to_string()))
}

/// Its authority does not vouch for the server; the former one comes back with the rest.
fn on_trial(scene: &mut Scene, load: &Program, exported: &Export) -> Told {
    let said = import(scene, " --confirm 60s", &written(&another(exported))?)?;
    assert!(said.contains("PENDING"), "{said}");
    wait_for(scene, &[(ONE, "up"), (SECURE, "down")])?;
    let who = who_answers(load, "host01", SERVICE.1, 6)?;
    assert_eq!(who, [("one".to_owned(), 3), ("two".to_owned(), 3)].into());
    scene.vm().command("config abort")?;
    is_the_machine(scene, load, "an import has returned")?;
    same_state(scene, &[exported]).map(drop)?;
    Ok(())
}

fn in_power_cuts(scene: &mut Scene, exported: Export) -> Told {
    let mut states = [exported.clone(), another(&exported)];
    let mut seen = [0, 0];
    for moment in MOMENTS_MS {
        begin_import(scene, "", &written(&states[1])?)?;
        std::thread::sleep(Duration::from_millis(moment));
        scene.cut_power()?;
        volume::assert_replayable(&scene.disk)?;
        scene.power_on()?;
        scene.vm().wait_for_prompt(BOOT_LIMIT)?;
        let which = same_state(scene, &[&states[0], &states[1]])?;
        println!(
            "cut {moment} ms after the word: {}",
            ["the old state", "the new state"][which]
        );
        seen[which] += 1;
        if which == 1 {
            states.swap(0, 1);
        }
    }
    println!("old {}, new {}", seen[0], seen[1]);
    import(scene, "", &written(&exported)?).map(drop)?;
    Ok(())
}

/// The first machine once more, as a file on a disk labelled LBSEED, after another reset.
fn from_a_disk(scene: &mut Scene, load: &Program, text: &str) -> Told {
    let directory = cage::scratch("export-disk")?;
    write(&directory.join("lb.export"), &text.replace('\n', "\r\n"))?;
    scene.cut_power()?;
    scene.attach(seed_disk(&directory));
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    type_reset(scene, "factory-reset", "reset")?;
    scene.wait_for_restart()?;
    as_from_the_factory(scene)?;
    let shown = scene.vm().command("config import --disk --dry-run")?;
    assert!(
        shown.contains("certificate ca.pem: new") && shown.contains(&format!("drain of {ONE}")),
        "{shown}"
    );
    as_from_the_factory(scene)?;
    let console = &scene.vm().console;
    console.reach_prompt("lb> ", BOOT_LIMIT)?;
    console.forget();
    console.send(b"config import --disk\r")?;
    console.wait_for("anything else changes", BOOT_LIMIT)?;
    console.wait_for("(?m)^> ", BOOT_LIMIT)?;
    scene.screen_is_as_kept("a_machine_moves_as_one_text/question", "")?;
    scene.vm().console.send(b"import\r")?;
    scene.vm().wait_for("OK. Applied", BOOT_LIMIT)?;
    is_the_machine(scene, load, "from a disk")
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(LabError::io("write an export"))
}
