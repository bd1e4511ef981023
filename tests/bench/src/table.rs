//! The report: one table for people, and the goals with what became of them. A MB is 1,000,000 bytes.
//! Must not: measure.

use std::fmt::Write;

use crate::boot::{Path, Times};
use crate::figures::{Figures, SMALL_MB, Small};
use crate::system::System;

/// Columns of the table: what, then the systems.
const WHAT: usize = 43;
const CELL: usize = 20;
const COLUMNS: [System; 3] = [System::Appliance, System::Keepalived, System::Nothing];
/// Programs whose memory is compared.
pub const OURS: [&str; 2] = ["init", "agent"];
pub const THEIRS: [&str; 2] = ["init", "keepalived"];
/// Goals.
const FIRST_200_RATIO: f64 = 1.3;
const IMAGE_BYTES: u64 = 12_000_000;
const RESIDENT_BYTES: u64 = 12_000_000;

/// One goal and the figure for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    pub text: String,
    pub figure: String,
    pub met: bool,
}

/// The whole report.
pub fn render(figures: &Figures) -> String {
    let mut text = heading(figures);
    for row in rows(figures) {
        text.push_str(&line(&row));
    }
    text.push_str("\nGoals\n");
    for goal in goals(figures) {
        let verdict = if goal.met { "met" } else { "MISSED" };
        let _ = writeln!(text, "  {:<61} {:<28} {verdict}", goal.text, goal.figure);
    }
    text
}

fn heading(figures: &Figures) -> String {
    let plan = figures.plan;
    let mut text = format!(
        "Linux {} under QEMU {} ({}, {} processors of the machine); keepalived {}.\n\
         Load average before the run: {:.2}; times on a busy machine say little.\n\
         Seconds: medians of {} direct and {} disk boots in turn (least-most). MB: 1,000,000 bytes.\n\n",
        figures.kernel,
        figures.qemu,
        figures.accel,
        figures.processors,
        figures.keepalived,
        figures.load_before,
        plan.direct_boots,
        plan.disk_boots
    );
    let names = ["appliance", "keepalived", "kernel alone"].map(String::from);
    text.push_str(&line(&Row {
        what: String::new(),
        cells: names,
    }));
    text
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    what: String,
    /// In the order of [`COLUMNS`].
    cells: [String; 3],
}

fn line(row: &Row) -> String {
    let [a, b, c] = &row.cells;
    let text = format!("{:<WHAT$} {a:>CELL$} {b:>CELL$} {c:>CELL$}", row.what);
    format!("{}\n", text.trim_end())
}

fn rows(figures: &Figures) -> Vec<Row> {
    let mut rows = size_rows(figures);
    rows.extend(time_rows(figures));
    rows.push(row("failed requests of host01 after its first 200", |system| {
        let stream = figures.streams.get(&system)?;
        Some(format!("{} of {}", stream.failed.len(), stream.requests))
    }));
    rows.push(row("  the last of them, seconds after that", |system| {
        let stream = figures.streams.get(&system)?;
        Some(stream.last_failure().map_or("-".into(), |at| format!("{at:.1}")))
    }));
    rows.push(row("resident: init, agent | init, keepalived", |system| {
        Some(megabytes(resident_bytes(figures, system)?))
    }));
    rows.push(row(&format!("first 200 with {SMALL_MB} MB"), |system| {
        Some(match figures.small.get(&system)? {
            Small::Served {
                power_on_to_first_200,
                ..
            } => format!("{power_on_to_first_200:.2} s"),
            Small::Failed(_) => "does not serve".into(),
        })
    }));
    rows
}

fn row(what: &str, cell: impl Fn(System) -> Option<String>) -> Row {
    Row {
        what: what.into(),
        cells: COLUMNS.map(|system| cell(system).unwrap_or_default()),
    }
}

fn size_rows(figures: &Figures) -> Vec<Row> {
    let size = |what: &str, bytes: fn(&crate::figures::Sizes) -> u64| {
        row(what, |system| Some(megabytes(bytes(figures.sizes.get(&system)?))))
    };
    // The reference's root is not compressed; see roots.rs.
    let ours = |what: &str, bytes: fn(&crate::figures::Sizes) -> u64| {
        row(what, |system| {
            (system == System::Appliance).then(|| figures.sizes.get(&system).map(|s| megabytes(bytes(s))))?
        })
    };
    vec![
        size("disk image, as a file", |sizes| sizes.raw),
        ours("  allocated", |sizes| sizes.allocated),
        size("  compressed (zstd -19 --long=27)", |sizes| sizes.compressed),
        ours("root file system of a slot", |sizes| sizes.squashfs),
        ours("  its kernel", |sizes| sizes.kernel),
        ours("  its executable", |sizes| sizes.executable),
        ours("  its shared objects", |sizes| sizes.shared_objects),
    ]
}

fn time_rows(figures: &Figures) -> Vec<Row> {
    let time = |what: &str, path: Path, seconds: fn(&Times) -> Option<f64>| {
        row(what, |system| {
            Some(Spread::of(&samples(figures, system, path, seconds))?.to_string())
        })
    };
    let first_200: fn(&Times) -> Option<f64> = |times| times.power_on_to_first_200;
    vec![
        time("kernel to init, guest's clock", Path::Direct, |times| {
            Some(times.kernel_to_init)
        }),
        time("init to ready, guest's clock", Path::Direct, |times| {
            times.init_to_ready
        }),
        time("power-on to init, direct kernel boot", Path::Direct, |times| {
            times.power_on_to_init
        }),
        time(
            "power-on to first 200, direct kernel boot",
            Path::Direct,
            first_200,
        ),
        time("power-on to first 200, disk, BIOS", Path::Bios, first_200),
        time("power-on to first 200, disk, UEFI", Path::Uefi, first_200),
    ]
}

fn samples(figures: &Figures, system: System, path: Path, seconds: fn(&Times) -> Option<f64>) -> Vec<f64> {
    let times = figures.times.get(&system).into_iter().flatten();
    times
        .filter(|times| times.path == path)
        .filter_map(seconds)
        .collect()
}

/// VmRSS of the programs that do the work, together.
fn resident_bytes(figures: &Figures, system: System) -> Option<u64> {
    let programs = if system == System::Keepalived {
        &THEIRS
    } else {
        &OURS
    };
    let kibibytes = figures.resident.get(&system)?.sum(programs);
    Some(kibibytes * 1024)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

/// Median, least and most of some seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// `None` without samples.
    pub fn of(samples: &[f64]) -> Option<Spread> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        };
        Some(Spread { median, least, most })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}-{:.2})", self.median, self.least, self.most)
    }
}

/// The goals, and what became of them; one without its figure is missed.
pub fn goals(figures: &Figures) -> Vec<Goal> {
    let missing = || ("not measured".to_owned(), false);
    let goal = |text: String, (figure, met): (String, bool)| Goal { text, figure, met };
    let failed = figures.streams.get(&System::Appliance).map(|stream| {
        (
            format!("{} of {}", stream.failed.len(), stream.requests),
            stream.failed.is_empty(),
        )
    });
    let image = figures
        .sizes
        .get(&System::Appliance)
        .map(|sizes| sizes.compressed);
    let resident = resident_bytes(figures, System::Appliance);
    let below =
        |bytes: Option<u64>, most: u64| bytes.map_or_else(missing, |bytes| (megabytes(bytes), bytes <= most));
    let seconds = figures.plan.stream_seconds;
    vec![
        goal(
            format!("first 200, direct boot: at most {FIRST_200_RATIO} x power-on to a bare init"),
            ratio(figures).unwrap_or_else(missing),
        ),
        goal(
            "image: at most 12 MB compressed".into(),
            below(image, IMAGE_BYTES),
        ),
        goal(
            format!("serves in {SMALL_MB} MB"),
            served_small(figures).unwrap_or_else(missing),
        ),
        goal(
            "init and agent: at most 12 MB resident together".into(),
            below(resident, RESIDENT_BYTES),
        ),
        goal(
            format!("host01's failed requests in the first {seconds} s: 0"),
            failed.unwrap_or_else(missing),
        ),
    ]
}

fn ratio(figures: &Figures) -> Option<(String, bool)> {
    let first_200 = samples(figures, System::Appliance, Path::Direct, |times| {
        times.power_on_to_first_200
    });
    let bare = samples(figures, System::Nothing, Path::Direct, |times| {
        times.power_on_to_init
    });
    let (first_200, bare) = (Spread::of(&first_200)?.median, Spread::of(&bare)?.median);
    let ratio = first_200 / bare;
    Some((
        format!("{first_200:.2} / {bare:.2} s = {ratio:.2}"),
        ratio <= FIRST_200_RATIO,
    ))
}

fn served_small(figures: &Figures) -> Option<(String, bool)> {
    Some(match figures.small.get(&System::Appliance)? {
        Small::Failed(reason) => (reason.lines().next().unwrap_or_default().to_owned(), false),
        Small::Served { stream, .. } => {
            let answered = stream.requests - stream.failed.len();
            (
                format!("{answered} of {} answered", stream.requests),
                stream.failed.is_empty(),
            )
        }
    })
}

#[cfg(test)]
mod tests;
