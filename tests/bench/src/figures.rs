//! The run: what is booted, how often and in which order, and everything that it yields. Systems take turns, so that a
//! machine that is slow for a while is slow for all. Must not: render, or judge against goals.

use std::collections::BTreeMap;
use std::time::Duration;

use lb_image::report::{Report, report};
use lb_lab::vm::Accel;
use lb_lab::{cage, command};
use serde::Serialize;

use crate::boot::{Bench, MEMORY_MB, Path, Times};
use crate::memory::{self, Resident};
use crate::packages::Packages;
use crate::stream::Stream;
use crate::system::{Parts, System};
use crate::{BenchError, Result};

/// Between two requests of a stream.
const PACE: Duration = Duration::from_millis(500);
/// In which the appliance must serve.
pub const SMALL_MB: u32 = 128;
const SMALL_STREAM: Duration = Duration::from_secs(10);

/// How much is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Plan {
    pub direct_boots: u32,
    pub disk_boots: u32,
    pub stream_seconds: u64,
}

/// Bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Sizes {
    pub raw: u64,
    pub allocated: u64,
    pub compressed: u64,
    pub squashfs: u64,
    pub kernel: u64,
    pub executable: u64,
    pub shared_objects: u64,
}

/// What a VM with little memory did.
#[derive(Debug, Clone, Serialize)]
pub enum Small {
    Served {
        power_on_to_first_200: f64,
        stream: Stream,
    },
    Failed(String),
}

/// Everything measured, with each sample.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub plan: Plan,
    pub kernel: String,
    pub keepalived: String,
    pub qemu: String,
    pub accel: &'static str,
    pub processors: usize,
    /// The machine's load average before the run: what else was going on.
    pub load_before: f64,
    pub sizes: BTreeMap<System, Sizes>,
    pub times: BTreeMap<System, Vec<Times>>,
    pub streams: BTreeMap<System, Stream>,
    pub resident: BTreeMap<System, Resident>,
    pub small: BTreeMap<System, Small>,
}

impl Figures {
    /// Measures everything; inside a cage, with the disks made.
    pub fn measure(plan: Plan, parts: &Parts, packages: &Packages) -> Result<Figures> {
        let mut figures = Figures {
            plan,
            kernel: lb_image::kernel::version(&parts.kernel)
                .map_err(|source| BenchError::Kernel { source })?,
            keepalived: packages.version("keepalived")?,
            qemu: qemu_version()?,
            accel: Accel::choose(&cage::scratch("accel")?).as_str(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            load_before: load_average(),
            sizes: BTreeMap::new(),
            times: BTreeMap::new(),
            streams: BTreeMap::new(),
            resident: BTreeMap::new(),
            small: BTreeMap::new(),
        };
        let bench = Bench::new(parts.clone())?;
        say("appliance: first boot");
        bench.first_boot()?;
        figures.boots(&bench)?;
        figures.small(&bench)?;
        figures.long_runs(&bench)?;
        figures.weigh(parts)?;
        Ok(figures)
    }

    fn boots(&mut self, bench: &Bench) -> Result<()> {
        for _ in 0..self.plan.direct_boots {
            for system in System::ALL {
                self.timed_boot(bench, system, Path::Direct)?;
            }
        }
        for _ in 0..self.plan.disk_boots {
            for path in [Path::Bios, Path::Uefi] {
                for system in System::PRODUCTS {
                    self.timed_boot(bench, system, path)?;
                }
            }
        }
        Ok(())
    }

    fn timed_boot(&mut self, bench: &Bench, system: System, path: Path) -> Result<()> {
        let (vm, times) = bench.boot(system, path, MEMORY_MB)?;
        vm.power_cut()?;
        let reached = times.power_on_to_first_200.or(times.power_on_to_init);
        say(&format!(
            "{system}: {path:?} boot, {:.2} s",
            reached.unwrap_or_default()
        ));
        self.times.entry(system).or_default().push(times);
        Ok(())
    }

    /// A boot in little memory; that it fails is a figure as well.
    fn small(&mut self, bench: &Bench) -> Result<()> {
        for system in System::PRODUCTS {
            say(&format!("{system}: with {SMALL_MB} MB"));
            let small = match bench.serve(system, Path::Direct, SMALL_MB) {
                Ok((vm, first_200)) => {
                    let stream = Stream::run(SMALL_STREAM, PACE);
                    vm.power_cut()?;
                    Small::Served {
                        power_on_to_first_200: first_200.as_secs_f64(),
                        stream,
                    }
                }
                Err(failure) => Small::Failed(lb_lab::error::chain(&failure)),
            };
            self.small.insert(system, small);
        }
        Ok(())
    }

    /// The first minutes after a boot as host01 sees them, and the memory after that.
    fn long_runs(&mut self, bench: &Bench) -> Result<()> {
        for system in System::PRODUCTS {
            let seconds = self.plan.stream_seconds;
            say(&format!("{system}: requests for {seconds} s after a boot"));
            let (vm, _) = bench.serve(system, Path::Direct, MEMORY_MB)?;
            let stream = Stream::run(Duration::from_secs(seconds), PACE);
            say(&format!(
                "{system}: {} of {} failed",
                stream.failed.len(),
                stream.requests
            ));
            self.streams.insert(system, stream);
            let resident = match system {
                System::Keepalived => memory::of_keepalived(&vm)?,
                _ => memory::of_appliance(&vm)?,
            };
            self.resident.insert(system, resident);
            vm.power_cut()?;
        }
        Ok(())
    }

    fn weigh(&mut self, parts: &Parts) -> Result<()> {
        say("weighing the images");
        // The appliance's as it was built, before a configuration and a boot went over it.
        let images = [
            (System::Appliance, parts.image.clone()),
            (System::Keepalived, parts.disk(System::Keepalived)),
        ];
        for (system, image) in images {
            let weighed = report(&image, true).map_err(|source| BenchError::Weigh { image, source })?;
            self.sizes.insert(system, Sizes::from(weighed));
        }
        Ok(())
    }

    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|source| BenchError::Json {
            what: "the figures".into(),
            source,
        })
    }
}

impl From<Report> for Sizes {
    fn from(report: Report) -> Sizes {
        Sizes {
            raw: report.raw,
            allocated: report.allocated,
            compressed: report.compressed.unwrap_or_default(),
            squashfs: report.squashfs,
            kernel: report.kernel,
            executable: report.executable,
            shared_objects: report.shared_objects,
        }
    }
}

/// Of the last minute; not a number if the machine does not tell.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(f64::NAN)
}

/// `QEMU emulator version 7.2.22 (Debian ...)` is its first line.
pub fn qemu_version() -> Result<String> {
    let said = command::run(&["qemu-system-x86_64", "--version"])?;
    Ok(said.split_whitespace().nth(3).unwrap_or("unknown").to_owned())
}

/// Progress, apart from the report.
fn say(line: &str) {
    eprintln!("figures: {line}");
}
