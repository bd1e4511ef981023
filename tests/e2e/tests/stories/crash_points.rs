//! Every write and flush of the disk while configurations are put, applied as somebody has left them in lb.toml, tried out, confirmed,
//! given up, returned by their deadline, rolled back and imported, servers are drained, and the machine is reset to its factory state.
//! The disk is built again as it was at each flush, and with seeded choices of the writes between two flushes,
//! torn ones among them: a start finds the old configuration or the new one, and never the old one once the new one was
//! acknowledged; so do the copies that it falls back to. Some of these disks are booted.
//! The same judgement sees a disk that lied about its flushes, and condemns it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use lb_core::export::{Export, Origin};
use lb_e2e::config::{QUICK, marked};
use lb_e2e::crash::{Bench, CERTIFICATE, Chance, State, Step, Verdict, allowed, write_some};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::traffic::is_whole;
use lb_e2e::write_log::{self, Disk, Entry};
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::story::Told;
use lb_lab::{LabError, Result, cage};
use serde_json::Value;

use crate::first_boot::type_reset;
use crate::transfer;

const SERVER: &str = "172.16.0.12:30080";
const RESET: &str = "reset but for the identity";
const SOON: Duration = Duration::from_secs(30);
/// Choices of the writes between two flushes.
const CHOICES: usize = 1;
const CHOICES_WHOLE: usize = 40;
const BOOTS: usize = 3;
const BOOTS_WHOLE: usize = 8;
/// Choices by which a disk that lies is found out, and how far back it has lost writes.
const LIES: usize = 16;
const LOST_ENTRIES: usize = 60;

/// A disk to be booted, and the steps that it may show.
struct Point {
    disk: Disk,
    steps: RangeInclusive<usize>,
}

pub fn a_configuration_is_never_lost() -> Told {
    let first = marked(QUICK, "version 1");
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, first.clone()))?;
    let (name, content) = CERTIFICATE;
    volume::write(&scene.disk, name, content.as_bytes())?;
    let base = Disk::of(&scene.disk)?;
    let directory = cage::scratch("crash")?;
    let log = directory.join("write.log");
    std::fs::write(&log, "")?;
    scene.log_writes(Some(log.clone()));
    scene.power_on()?;
    scene.wait_until_serving()?;
    let steps = record(&mut scene, &log, first)?;
    scene.cut_power()?;
    let entries = write_log::read(&log)?;
    let seed = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64;
    println!("the choices follow from {seed}");
    let mut chance = Chance::new(seed);
    let bench = Bench::new(directory);
    let points = judge(&bench, &base, &entries, &steps, &mut chance)?;
    a_disk_that_lies_is_seen(&bench, &base, &entries, &steps, &mut chance)?;
    scene.log_writes(None);
    points
        .iter()
        .try_for_each(|point| boot(&mut scene, point, &steps))
}

/// What is asked, one after another, each with its places in the log.
fn record(scene: &mut Scene, log: &Path, first: String) -> Result<Vec<Step>> {
    // The first one is in force; that it is in the history too is written behind the first page.
    scene.wait_for_report("config history", SOON, |report| {
        report.to_string().contains("sha256")
    })?;
    let mut recorder = Recorder {
        scene,
        log,
        steps: vec![Step {
            name: "boot",
            begun: 0,
            acknowledged: length(log)?,
            state: State {
                text: Some(first.clone()),
                drained: false,
                identity: true,
            },
            meanwhile: None,
        }],
    };
    recorder.put_and_tried_out(&first)?;
    recorder.imported(&first)?;
    recorder.applied_from_the_file()?;
    recorder.reset()?;
    Ok(recorder.steps)
}

fn length(log: &Path) -> Result<usize> {
    write_log::length(log).map_err(LabError::io("read the log of the writes"))
}

struct Recorder<'s> {
    scene: &'s mut Scene,
    log: &'s Path,
    steps: Vec<Step>,
}

impl Recorder<'_> {
    /// `change`: of what the machine had before.
    fn step(
        &mut self,
        name: &'static str,
        change: impl FnOnce(&mut State),
        deed: impl FnOnce(&mut Scene) -> Result<String>,
    ) -> Result<()> {
        let mut state = self.steps[self.steps.len() - 1].state.clone();
        change(&mut state);
        let begun = length(self.log)?;
        let said = deed(self.scene)?;
        assert!(!said.contains("error"), "{name}: {said}");
        self.steps.push(Step {
            name,
            begun,
            acknowledged: length(self.log)?,
            state,
            meanwhile: None,
        });
        Ok(())
    }

    fn put(&mut self, name: &'static str, text: &str) -> Result<()> {
        let change = |state: &mut State| state.text = Some(text.to_owned());
        self.step(name, change, |scene| scene.vm().config_put(text))
    }

    fn command(&mut self, name: &'static str, change: impl FnOnce(&mut State), line: &str) -> Result<()> {
        self.step(name, change, |scene| scene.vm().command(line))
    }

    /// The text is for the trial; what a start uses stays.
    fn try_out(&mut self, name: &'static str, text: &str) -> Result<()> {
        let deed = |scene: &mut Scene| scene.vm().config_put_with("--confirm 60s", text);
        self.step(name, |_| {}, deed)
    }

    /// The text is lb.toml already when it is applied for so long.
    fn apply_on_trial(&mut self, name: &'static str, text: &str, window: &str) -> Result<()> {
        let deed = |scene: &mut Scene| {
            edit(scene, text)?;
            let said = scene.vm().command(&format!("config apply --confirm {window}"))?;
            assert!(said.contains("PENDING"), "{said}");
            Ok(said)
        };
        self.step(name, |_| {}, deed)?;
        let last = self.steps.len() - 1;
        self.steps[last].meanwhile = Some(text.to_owned());
        Ok(())
    }

    fn put_and_tried_out(&mut self, first: &str) -> Result<()> {
        let third = marked(QUICK, "version 3");
        let tried = marked(QUICK, "only tried");
        self.put("put", &marked(QUICK, "version 2"))?;
        self.command(
            "drain",
            |state| state.drained = true,
            &format!("drain {SERVER} --yes"),
        )?;
        self.try_out("try out", &third)?;
        self.command("confirm", |state| state.text = Some(third), "config confirm")?;
        self.try_out("try out again", &tried)?;
        self.command("give up", |_| {}, "config abort")?;
        self.command(
            "undrain",
            |state| state.drained = false,
            &format!("undrain {SERVER}"),
        )?;
        let back = |state: &mut State| state.text = Some(first.to_owned());
        self.command("roll back", back, "config rollback 1")
    }

    /// What is set aside changes with lb.toml; there and back again.
    fn imported(&mut self, first: &str) -> Result<()> {
        let text = marked(QUICK, "imported");
        let there = exported(&text, true)?;
        let change = |state: &mut State| (state.text, state.drained) = (Some(text), true);
        self.step("import", change, |scene| transfer::import(scene, "", &there))?;
        let back = exported(first, false)?;
        let deed = |scene: &mut Scene| transfer::import(scene, " --confirm 60s", &back);
        self.step("import on trial", |_| {}, deed)?;
        let change = |state: &mut State| (state.text, state.drained) = (Some(first.to_owned()), false);
        self.command("confirm the import", change, "config confirm")
    }

    /// lb.toml is edited in its place, and then applied.
    fn applied_from_the_file(&mut self) -> Result<()> {
        let applied = marked(QUICK, "version 4");
        let change = |state: &mut State| state.text = Some(applied.clone());
        self.step("apply", change, |scene| {
            edit(scene, &applied)?;
            scene.vm().command("config apply")
        })?;
        self.apply_on_trial("apply on trial", &marked(QUICK, "tried from the file"), "3s")?;
        let deadline = |scene: &mut Scene| {
            let is_over = |status: &Value| status["config"]["pending"].is_null() && status.is_object();
            scene.wait_for_report("status", SOON, is_over)?;
            let events = scene.vm().json("events")?.to_string();
            assert!(events.contains("not confirmed within 3 s"), "{events}");
            Ok(String::new())
        };
        self.step("return by itself", |_| {}, deadline)?;
        let kept = marked(QUICK, "version 5");
        self.apply_on_trial("apply on trial again", &kept, "60s")?;
        self.command(
            "confirm what was applied",
            |state| state.text = Some(kept),
            "config confirm",
        )
    }

    /// To the factory with what the machine is known by, and again without it in a whole run: what differs is one file.
    fn reset(&mut self) -> Result<()> {
        let again = |recorder: &mut Self, name, command, identity| {
            let change = |state: &mut State| {
                (state.text, state.drained) = (None, false);
                state.identity &= identity;
            };
            recorder.step(name, change, |scene| {
                type_reset(scene, command, "reset")?;
                scene.wait_for_restart().map(|()| String::new())
            })
        };
        again(self, RESET, "factory-reset --keep-identity", true)?;
        self.put("put after the reset", &marked(QUICK, "version 6"))?;
        if is_whole() {
            again(self, "reset of everything", "factory-reset", false)?;
            self.put("put once more", &marked(QUICK, "version 7"))?;
        }
        Ok(())
    }
}

/// Somebody writes lb.toml, and does not wait for the disk.
fn edit(scene: &mut Scene, text: &str) -> Result<()> {
    scene
        .saboteur()?
        .run(&["saboteur", "replace", "/config/lb.toml", text])
        .map(drop)
}

/// A whole state, as `config export` gives it.
fn exported(text: &str, drained: bool) -> Result<String> {
    let drains = match drained {
        true => format!("[[drain]]\nserver = \"{SERVER}\"\nsince = 1764134400\n"),
        false => String::new(),
    };
    let export = Export {
        origin: Origin {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: "lb".to_owned(),
            made: "2026-11-26 19:05:00 UTC".to_owned(),
        },
        configuration: text.to_owned(),
        drains,
        files: BTreeMap::new(),
        left_out: BTreeSet::new(),
    };
    export
        .text()
        .map_err(|error| LabError::Unexpected(error.to_string()))
}

/// Looks at every point, and keeps some of them to be booted.
fn judge(
    bench: &Bench,
    base: &Disk,
    entries: &[Entry],
    steps: &[Step],
    chance: &mut Chance,
) -> Result<Vec<Point>, Box<dyn std::error::Error + Send + Sync>> {
    let (choices, boots) = match is_whole() {
        true => (CHOICES_WHOLE, BOOTS_WHOLE),
        false => (CHOICES, BOOTS),
    };
    let epochs = write_log::epochs(entries);
    let mut chosen: Vec<usize> = (1..boots).map(|_| chance.below(epochs.len())).collect();
    chosen.push(one_within_the_reset(&epochs, steps, chance));
    let (mut disk, mut points, mut looked) = (base.clone(), Vec::new(), 0);
    let mut restored = 0;
    for (number, epoch) in epochs.iter().enumerate() {
        let steps_here = allowed(steps, entries, epoch.start, epoch.end);
        let settled = *steps_here.start() > 0 || epoch.start >= steps[0].acknowledged;
        let writes = &entries[epoch.clone()];
        let choices = if writes.is_empty() { 0 } else { choices };
        for choice in 0..=choices {
            let mut some = disk.clone();
            if choice > 0 {
                write_some(&mut some, writes, chance)?;
            }
            let verdict = bench.judge(&some, &steps[steps_here.clone()], settled)?;
            assert!(
                !matches!(verdict, Verdict::Broken(_)),
                "{verdict:?}: flush {number} of {}, choice {choice} of its writes",
                epochs.len()
            );
            looked += 1;
            restored += usize::from(verdict == Verdict::Restored);
            if choice == choices && chosen.contains(&number) && verdict == Verdict::Holds {
                let steps = steps_here.clone();
                points.push(Point { disk: some, steps });
            }
        }
        disk.write_all(writes)?;
    }
    println!(
        "{looked} disks at {} flushes were looked at, {restored} of them with a torn superblock: {} entries",
        epochs.len(),
        entries.len()
    );
    assert!(epochs.len() > 30, "only {} flushes", epochs.len());
    Ok(points)
}

/// The number of a flush.
fn one_within_the_reset(epochs: &[Range<usize>], steps: &[Step], chance: &mut Chance) -> usize {
    let reset = steps.iter().find(|step| step.name == RESET);
    let reset = reset.expect("the machine was reset");
    let is_within = |epoch: &Range<usize>| reset.begun <= epoch.start && epoch.end <= reset.acknowledged;
    let within: Vec<usize> = (0..epochs.len())
        .filter(|number| is_within(&epochs[*number]))
        .collect();
    within[chance.below(within.len())]
}

/// A disk that forgets what it has flushed: the step that was acknowledged is not there, or nothing is whole.
fn a_disk_that_lies_is_seen(
    bench: &Bench,
    base: &Disk,
    entries: &[Entry],
    steps: &[Step],
    chance: &mut Chance,
) -> Told {
    let mut seen = 0;
    for _ in 0..LIES {
        let number = 1 + chance.below(steps.len() - 1);
        let end = steps[number].acknowledged;
        let kept = end.saturating_sub(LOST_ENTRIES);
        let mut disk = base.clone();
        disk.write_all(&entries[..kept])?;
        write_some(&mut disk, &entries[kept..end], chance)?;
        let verdict = bench.judge(&disk, &steps[number..=number], true)?;
        seen += usize::from(matches!(verdict, Verdict::Broken(_)));
    }
    println!("of {LIES} disks that lied about their flushes {seen} were condemned");
    assert!(seen > 0, "a disk that loses what it has flushed was not noticed");
    Ok(())
}

/// The real machine on this disk.
fn boot(scene: &mut Scene, point: &Point, steps: &[Step]) -> Told {
    point.disk.put_on(&scene.disk)?;
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let status = scene.wait_for_report("status", SOON, |status| status["config"]["source"].is_string())?;
    assert_eq!(
        status["init"]["config_volume"]["state"], "persistent",
        "{status:#}"
    );
    let shown = match status["config"]["source"].as_str() {
        Some("none") => None,
        Some("file") => Some(scene.vm().command("config show")?),
        other => panic!("{other:?}: {status:#}"),
    };
    let steps = &steps[point.steps.clone()];
    let shown = shown.as_deref().map(str::trim);
    let meanwhile = steps.iter().skip(1).filter_map(|step| step.meanwhile.as_deref());
    let mut texts = steps.iter().map(|step| step.state.text.as_deref());
    let is_one = texts.any(|text| text.map(str::trim) == shown)
        || meanwhile.map(str::trim).any(|text| Some(text) == shown);
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    assert!(is_one, "none of {names:?}:\n{shown:?}");
    println!("booted where the steps are {names:?}");
    scene.cut_power()?;
    Ok(())
}
