//! bench: takes the figures of the appliance beside those of keepalived and of a bare kernel, in one run, and prints them
//! as one table. Exits with 1 when a goal is missed. Must not: hold more than the command line and the order of the steps.

mod boot;
mod boots;
mod checks;
mod client;
mod compare;
mod configs;
mod datapath;
mod error;
mod figures;
mod gauge;
mod machine;
mod many;
mod memory;
mod packages;
mod ratios;
mod reload;
mod roots;
mod stream;
mod subject;
mod system;
mod table;
mod traffic;
mod worker;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lb_lab::{LabError, build_dir, cage, nginx};

use checks::{Amount, Row};
use compare::{Comparison, Part};
pub use error::{BenchError, Result, io};
use figures::{Figures, Plan};
use machine::Side;
use packages::Packages;
use system::Parts;
use traffic::Amounts;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Takes the appliance's figures")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Measure sizes, boots, failed requests and memory, and print the table
    Figures(FiguresArguments),
    /// Measure what the work costs, beside keepalived, iptables and HAProxy on the same kernel, and print the table
    Compare(CompareArguments),
    /// Ask SERVER for / until it answers with 200, and say so; what host01 runs
    #[command(hide = true)]
    Client { server: SocketAddr },
}

#[derive(Debug, Args)]
struct FiguresArguments {
    /// The kernel of the image, for direct kernel boots
    #[arg(long)]
    kernel: PathBuf,
    /// The appliance's image
    #[arg(long, default_value = "build/lb.img")]
    image: PathBuf,
    /// The lb.toml of the lab
    #[arg(long, default_value = "tests/configs/good/scenario.toml")]
    config: PathBuf,
    /// Where every sample is kept, as JSON
    #[arg(long, default_value = "build/figures.json")]
    json: PathBuf,
    /// Direct kernel boots of each system
    #[arg(long, default_value_t = 5)]
    direct_boots: u32,
    /// Boots from disk of each product, by BIOS and by UEFI
    #[arg(long, default_value_t = 3)]
    disk_boots: u32,
    /// How long host01 asks after a boot
    #[arg(long, default_value_t = 120)]
    stream_seconds: u64,
}

#[derive(Debug, Args)]
struct CompareArguments {
    /// The kernel of both sides
    #[arg(long)]
    kernel: PathBuf,
    /// The appliance's image
    #[arg(long, default_value = "build/lb.img")]
    image: PathBuf,
    /// The lb.toml of the lab, for the boots and for the checks of an idle machine
    #[arg(long, default_value = "tests/configs/good/scenario.toml")]
    config: PathBuf,
    /// The test program that reads the busy time inside of both sides
    #[arg(long)]
    saboteur: PathBuf,
    /// What is measured; by default all
    #[arg(long, value_delimiter = ',')]
    part: Vec<Part>,
    /// Of the part `checks`, what is measured; by default all
    #[arg(long, value_delimiter = ',')]
    row: Vec<Row>,
    /// Leave the other side out
    #[arg(long)]
    only: Option<Side>,
    /// A tenth of the traffic: figures within some percent
    #[arg(long)]
    quick: bool,
    /// Instead of the usual number
    #[arg(long)]
    connections: Option<u64>,
    #[arg(long)]
    requests: Option<u64>,
    #[arg(long)]
    megabytes: Option<u64>,
    /// Where every sample is kept, as JSON
    #[arg(long, default_value = "build/bench.json")]
    json: PathBuf,
}

fn main() -> ExitCode {
    if let Some(played) = lb_lab::load::asked() {
        return played;
    }
    let done = match Arguments::parse().command {
        Action::Figures(arguments) => figures(&arguments),
        Action::Compare(arguments) => compare(&arguments),
        Action::Client { server } => client(server),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("bench: {}", lb_lab::error::chain(&failure));
        ExitCode::FAILURE
    })
}

fn client(server: SocketAddr) -> Result<ExitCode> {
    client::first_answer(server).map_err(LabError::io("ask for /"))?;
    // Whoever reads this may have gone.
    let _ = writeln!(std::io::stdout(), "200");
    Ok(ExitCode::SUCCESS)
}

/// Progress, apart from the report.
pub fn say(line: &str) {
    eprintln!("bench: {line}");
}

/// Outside of the cage what needs the machine's network and tools, then inside it the measuring.
fn figures(arguments: &FiguresArguments) -> Result<ExitCode> {
    let parts = Parts {
        image: arguments.image.clone(),
        kernel: arguments.kernel.clone(),
        directory: directory()?,
    };
    if !cage::inside() {
        cage::check()?;
        cage::check_tun()?;
        nginx::unpack()?;
        let packages = Packages::unpack(&parts.directory)?;
        parts.make_disks(&packages, &arguments.config)?;
    }
    cage::enter()?;
    let plan = Plan {
        direct_boots: arguments.direct_boots,
        disk_boots: arguments.disk_boots,
        stream_seconds: arguments.stream_seconds,
    };
    let figures = Figures::measure(plan, &parts, &Packages::unpack(&parts.directory)?)?;
    fs::write(&arguments.json, figures.to_json()?).map_err(io("write", &arguments.json))?;
    let _ = write!(std::io::stdout(), "{}", table::render(&figures));
    let met = table::goals(&figures).iter().all(|goal| goal.met);
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The like of [`figures`].
fn compare(arguments: &CompareArguments) -> Result<ExitCode> {
    let parts = Parts {
        image: arguments.image.clone(),
        kernel: arguments.kernel.clone(),
        directory: directory()?,
    };
    if !cage::inside() {
        cage::check()?;
        cage::check_tun()?;
        nginx::unpack()?;
        let packages = Packages::unpack(&parts.directory)?;
        parts.make_watched_disks(&packages, &arguments.saboteur)?;
        if arguments.parts().contains(&Part::Boot) {
            parts.make_disks(&packages, &arguments.config)?;
        }
    }
    cage::enter()?;
    let packages = Packages::unpack(&parts.directory)?;
    let scenario = fs::read_to_string(&arguments.config).map_err(io("read", &arguments.config))?;
    let comparison = Comparison::measure(arguments.plan(), &parts, &packages, &scenario)?;
    fs::write(&arguments.json, comparison.to_json()?).map_err(io("write", &arguments.json))?;
    let _ = write!(std::io::stdout(), "{}", ratios::render(&comparison));
    let missed = ratios::rows(&comparison)
        .iter()
        .any(|row| row.met() == Some(false));
    Ok(if missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl CompareArguments {
    fn parts(&self) -> Vec<Part> {
        if self.part.is_empty() {
            return Part::value_variants().to_vec();
        }
        self.part.clone()
    }

    fn plan(&self) -> compare::Plan {
        let usual = if self.quick {
            Amounts::QUICK
        } else {
            Amounts::WHOLE
        };
        compare::Plan {
            parts: self.parts(),
            amounts: Amounts {
                connections: self.connections.unwrap_or(usual.connections),
                requests: self.requests.unwrap_or(usual.requests),
                megabytes: self.megabytes.unwrap_or(usual.megabytes),
            },
            checks: match self.quick {
                true => Amount::QUICK,
                false => Amount::WHOLE,
            },
            rows: match self.row.is_empty() {
                true => Row::value_variants().to_vec(),
                false => self.row.clone(),
            },
            only: self.only,
        }
    }
}

/// Where everything is made that a run needs.
fn directory() -> Result<PathBuf> {
    let directory = build_dir().join("bench");
    fs::create_dir_all(&directory).map_err(io("create", &directory))?;
    Ok(directory)
}
