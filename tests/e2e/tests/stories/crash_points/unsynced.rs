//! The proof that the judgement can condemn: the same image and the same program, while nothing that asks the disk to flush does
//! anything. The kernel's own commits come every five seconds, so what was just acknowledged is in memory only, even if all that was
//! written has arrived. Must not: change what is asked of the appliance, or what is asked of its disk.

use std::collections::BTreeMap;
use std::time::Instant;

use lb_e2e::crash::{Step, Verdict};
use lb_e2e::cuts::{Cut, Moment, Run};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::write_log::{self, Disk};
use lb_e2e::{Scene, Start};
use lb_lab::story::Told;

use super::{CHOICES, SOON, chance, recorded};

/// In what place of /proc/1/status the kernel says that calls are filtered.
const FILTERED: &str = "Seccomp:\t2";

/// What was condemned.
#[derive(Default)]
struct Findings {
    looked: usize,
    condemned: usize,
    /// By the names of the steps: lost though it was acknowledged, and all that was written had arrived.
    lost: BTreeMap<&'static str, (usize, String)>,
    /// A disk that has lost what was put, and the step's number.
    put: Option<(usize, Disk)>,
}

pub fn what_is_not_synced_is_lost() -> Told {
    let (mut scene, run, bench) = recorded(Start::Unsynced)?;
    let mut found = Findings::default();
    let look = |cut: Cut| {
        found.looked += 1;
        let verdict = bench.judge(&cut.disk, &run.steps[cut.steps.clone()], cut.settled)?;
        if let Verdict::Broken(why) = verdict {
            found.note(&run, cut, why);
        }
        Ok(())
    };
    run.each_cut(CHOICES, Instant::now(), &mut chance(), look)?;
    found.tell(&run);
    let (number, disk) = found
        .put
        .expect("a configuration that was put without a flush is lost");
    it_is_lost_at_a_boot(&mut scene, &disk, &run.steps[number])
}

impl Findings {
    fn note(&mut self, run: &Run, cut: Cut, why: String) {
        self.condemned += 1;
        let Moment::Acknowledged(number) = cut.moment else {
            return;
        };
        let name = run.steps[number].name;
        if name.starts_with("put") {
            self.put.get_or_insert((number, cut.disk));
        }
        self.lost.insert(name, (number, why));
    }

    fn tell(&self, run: &Run) {
        println!(
            "without fsync {} of {} disks at {} flushes and {} acknowledgements were condemned: {} entries",
            self.condemned,
            self.looked,
            write_log::epochs(&run.entries).len(),
            run.steps.len(),
            run.entries.len()
        );
        for (name, (number, why)) in &self.lost {
            let why = why.lines().next().unwrap_or_default();
            println!("lost when step {number}, `{name}`, was acknowledged: {why}");
        }
    }
}

/// The real machine agrees: it starts, and not with what it had acknowledged.
fn it_is_lost_at_a_boot(scene: &mut Scene, disk: &Disk, step: &Step) -> Told {
    disk.put_on(&scene.disk)?;
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let filtered = scene.saboteur()?.proc("1/status")?;
    assert!(filtered.contains(FILTERED), "{filtered}");
    scene.wait_for_report("status", SOON, |status| status["config"]["source"].is_string())?;
    let shown = scene.vm().command("config show")?;
    let acknowledged = step.state.text.as_deref().expect("it was put");
    assert_ne!(shown.trim(), acknowledged.trim(), "it is there");
    println!(
        "`{}` is not there at a boot; there is: {:?}",
        step.name,
        shown.lines().next()
    );
    Ok(scene.cut_power()?)
}
