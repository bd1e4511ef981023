//! Every write and flush of the disk while configurations are put, tried out, confirmed, returned and rolled back, and servers are
//! drained. The disk is built again as it was at each flush, and with seeded choices of the writes between two flushes,
//! torn ones among them: a start finds the old configuration or the new one, and never the old one once the new one was
//! acknowledged; so do the copies that it falls back to. Some of these disks are booted.
//! The same judgement sees a disk that lied about its flushes, and condemns it.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use lb_core::config::fingerprint;
use lb_e2e::config::{QUICK, marked};
use lb_e2e::crash::{Bench, Chance, Step, Verdict, allowed, write_some};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::traffic::is_whole;
use lb_e2e::write_log::{self, Disk, Entry};
use lb_e2e::{Scene, Setting, Start};
use lb_lab::cage;
use lb_lab::story::Told;

const SERVER: &str = "172.16.0.12:30080";
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
    let mut scene = Scene::dark(Setting::new(Start::Kernel, first.clone()))?;
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
fn record(
    scene: &mut Scene,
    log: &Path,
    first: String,
) -> Result<Vec<Step>, Box<dyn std::error::Error + Send + Sync>> {
    let second = marked(QUICK, "version 2");
    let third = marked(QUICK, "version 3");
    let tried = marked(QUICK, "only tried");
    // The first one is in force; that it is in the history too is written behind the first page.
    scene.wait_for_report("config history", SOON, |report| {
        report.to_string().contains("sha256")
    })?;
    let start = write_log::length(log)?;
    let mut steps = vec![Step {
        name: "boot",
        begun: 0,
        acknowledged: start,
        text: first.clone(),
        drained: false,
    }];
    let mut step = |scene: &mut Scene,
                    name,
                    text: &str,
                    drained,
                    deed: &dyn Fn(&mut Scene) -> lb_lab::Result<String>| {
        let begun = write_log::length(log)?;
        let said = deed(scene)?;
        assert!(!said.contains("error"), "{name}: {said}");
        steps.push(Step {
            name,
            begun,
            acknowledged: write_log::length(log)?,
            text: text.to_owned(),
            drained,
        });
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    step(scene, "put", &second, false, &|scene| {
        scene.vm().config_put(&second)
    })?;
    step(scene, "drain", &second, true, &|scene| {
        scene.vm().command(&format!("drain {SERVER}"))
    })?;
    step(scene, "try out", &second, true, &|scene| {
        scene.vm().config_put_with("--confirm 60s", &third)
    })?;
    step(scene, "confirm", &third, true, &|scene| {
        scene.vm().command("config confirm")
    })?;
    step(scene, "try out again", &third, true, &|scene| {
        scene.vm().config_put_with("--confirm 60s", &tried)
    })?;
    step(scene, "return", &third, true, &|scene| {
        scene.vm().command("config abort")
    })?;
    step(scene, "undrain", &third, false, &|scene| {
        scene.vm().command(&format!("undrain {SERVER}"))
    })?;
    step(scene, "roll back", &first, false, &|scene| {
        scene.vm().command("config rollback 1")
    })?;
    step(scene, "put once more", &second, false, &|scene| {
        scene.vm().config_put(&second)
    })?;
    Ok(steps)
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
    let chosen: Vec<usize> = (0..boots).map(|_| chance.below(epochs.len())).collect();
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
    assert_eq!(status["config"]["source"], "file", "{status:#}");
    assert_eq!(
        status["init"]["config_volume"]["state"], "persistent",
        "{status:#}"
    );
    let shown = scene.vm().command("config show")?;
    let text = format!("{}\n", shown.trim_end());
    let steps = &steps[point.steps.clone()];
    let is_one = steps
        .iter()
        .any(|step| fingerprint(step.text.trim().as_bytes()) == fingerprint(text.trim().as_bytes()));
    assert!(
        is_one,
        "none of {:?}:\n{shown}",
        steps.iter().map(|step| step.name).collect::<Vec<_>>()
    );
    scene.cut_power()?;
    Ok(())
}
