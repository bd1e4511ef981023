//! Every write and flush of the disk while configurations are put, applied as somebody has left them in lb.toml, tried out, confirmed,
//! given up, returned by their deadline, rolled back and imported, servers are drained, and the machine is reset to its factory state.
//! The disk is built again as it was at each flush, with seeded choices of the writes between two flushes,
//! torn ones among them, and as it was when each step was acknowledged: a start finds the old configuration or the new one, and never the old one once the new one was
//! acknowledged; so do the copies that it falls back to. Some of these disks are booted.
//! The same judgement sees a disk that lied about its flushes, and a machine whose programs flush nothing (`unsynced`), and condemns them.

mod record;
mod unsynced;

use std::ops::{Range, RangeInclusive};
use std::time::{Duration, Instant, UNIX_EPOCH};

use lb_e2e::config::{QUICK, marked};
use lb_e2e::crash::{Bench, CERTIFICATE, Judged, Step, Verdict};
use lb_e2e::cuts::{Chance, Cut, Moment, Run, write_some};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::traffic::is_whole;
use lb_e2e::write_log::{self, Disk};
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::cage;
use lb_lab::story::Told;

pub use unsynced::what_is_not_synced_is_lost;

const RESET: &str = "reset but for the identity";
const SOON: Duration = Duration::from_secs(30);
/// Choices of the writes between two flushes.
const CHOICES: usize = 1;
const CHOICES_WHOLE: usize = 40;
/// Behind this there are no further choices.
const LOOKING: Duration = Duration::from_secs(240);
const LOOKING_WHOLE: Duration = Duration::from_secs(1_500);
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
    let (mut scene, run, bench) = recorded(Start::Sabotage)?;
    let mut chance = chance();
    let points = judge(&bench, &run, &mut chance)?;
    a_disk_that_lies_is_seen(&bench, &run, &mut chance)?;
    points
        .iter()
        .try_for_each(|point| boot(&mut scene, point, &run.steps))
}

/// The whole run, told to a machine that comes up like this. The power is off then.
fn recorded(start: Start) -> Judged<(Scene, Run, Bench)> {
    let first = marked(QUICK, "version 1");
    let mut scene = Scene::dark(Setting::new(start, first.clone()))?;
    let (name, content) = CERTIFICATE;
    volume::write(&scene.disk, name, content.as_bytes())?;
    let base = Disk::of(&scene.disk)?;
    let directory = cage::scratch("crash")?;
    let log = directory.join("write.log");
    std::fs::write(&log, "")?;
    scene.log_writes(Some(log.clone()));
    scene.power_on()?;
    scene.wait_until_serving()?;
    let steps = record::record(&mut scene, &log, first)?;
    scene.cut_power()?;
    scene.log_writes(None);
    let entries = write_log::read(&log)?;
    let run = Run { base, entries, steps };
    Ok((scene, run, Bench::new(directory)))
}

fn chance() -> Chance {
    let seed = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64;
    println!("the choices follow from {seed}");
    Chance::new(seed)
}

fn names(run: &Run, steps: &RangeInclusive<usize>) -> Vec<&'static str> {
    run.steps[steps.clone()].iter().map(|step| step.name).collect()
}

/// Looks at every point, and keeps some of them to be booted.
fn judge(bench: &Bench, run: &Run, chance: &mut Chance) -> Judged<Vec<Point>> {
    let (choices, boots, looking) = match is_whole() {
        true => (CHOICES_WHOLE, BOOTS_WHOLE, LOOKING_WHOLE),
        false => (CHOICES, BOOTS, LOOKING),
    };
    let epochs = write_log::epochs(&run.entries);
    let mut chosen: Vec<usize> = (1..boots).map(|_| chance.below(epochs.len())).collect();
    chosen.push(one_within_the_reset(&epochs, &run.steps, chance));
    let (mut points, mut looked, mut restored) = (Vec::new(), 0, 0);
    let look = |cut: Cut| {
        let verdict = bench.judge(&cut.disk, &run.steps[cut.steps.clone()], cut.settled)?;
        let moment = cut.moment;
        assert!(
            !matches!(verdict, Verdict::Broken(_)),
            "{verdict:?}: {moment:?} of {} flushes, {:?}",
            epochs.len(),
            names(run, &cut.steps)
        );
        looked += 1;
        restored += usize::from(verdict == Verdict::Restored);
        if let Moment::Flush { number, choice } = moment
            && choice == usize::from(!epochs[number].is_empty())
            && chosen.contains(&number)
            && verdict == Verdict::Holds
        {
            let Cut { disk, steps, .. } = cut;
            points.push(Point { disk, steps });
        }
        Ok(())
    };
    let choices = run.each_cut(choices, Instant::now() + looking, chance, look)?;
    println!(
        "{looked} disks at {} flushes, with {choices} choices each, and {} acknowledgements were looked at, {restored} of them with a torn superblock: {} entries",
        epochs.len(),
        run.steps.len(),
        run.entries.len()
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
fn a_disk_that_lies_is_seen(bench: &Bench, run: &Run, chance: &mut Chance) -> Told {
    let (steps, entries) = (&run.steps, &run.entries);
    let mut seen = 0;
    for _ in 0..LIES {
        let number = 1 + chance.below(steps.len() - 1);
        let end = steps[number].acknowledged;
        let kept = end.saturating_sub(LOST_ENTRIES);
        let mut disk = run.base.clone();
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
