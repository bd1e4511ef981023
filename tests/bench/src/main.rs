//! bench: takes the figures of the appliance beside those of keepalived and of a bare kernel, in one run, and prints them
//! as one table. Exits with 1 when a goal is missed. Must not: hold more than the command line and the order of the steps.

mod boot;
mod client;
mod error;
mod figures;
mod memory;
mod packages;
mod roots;
mod stream;
mod system;
mod table;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lb_lab::{LabError, build_dir, cage, nginx};

pub use error::{BenchError, Result, io};
use figures::{Figures, Plan};
use packages::Packages;
use system::Parts;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Takes the appliance's figures")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Measure everything and print the table
    Figures(FiguresArguments),
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

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Action::Figures(arguments) => figures(&arguments),
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

/// Outside of the cage what needs the machine's network and tools, then inside it the measuring.
fn figures(arguments: &FiguresArguments) -> Result<ExitCode> {
    let directory = build_dir().join("bench");
    fs::create_dir_all(&directory).map_err(io("create", &directory))?;
    let parts = Parts {
        image: arguments.image.clone(),
        kernel: arguments.kernel.clone(),
        config: arguments.config.clone(),
        directory: directory.clone(),
    };
    if !cage::inside() {
        cage::check()?;
        cage::check_tun()?;
        nginx::unpack()?;
        let packages = Packages::unpack(&directory)?;
        parts.make_disks(&packages)?;
    }
    cage::enter()?;
    let plan = Plan {
        direct_boots: arguments.direct_boots,
        disk_boots: arguments.disk_boots,
        stream_seconds: arguments.stream_seconds,
    };
    let figures = Figures::measure(plan, &parts, &Packages::unpack(&directory)?)?;
    fs::write(&arguments.json, figures.to_json()?).map_err(io("write", &arguments.json))?;
    let _ = write!(std::io::stdout(), "{}", table::render(&figures));
    let met = table::goals(&figures).iter().all(|goal| goal.met);
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
