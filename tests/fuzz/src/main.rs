//! `fuzz TARGET`: so many damaged inputs, with what was found as files.
//! Must not: judge anything.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, io};

use clap::Parser;
use lb_fuzz::run::{Found, Run, write_found};
use lb_fuzz::targets;

/// Damages inputs of one reader and judges what it makes of them.
#[derive(Debug, Parser)]
#[command(name = "fuzz")]
struct Arguments {
    /// Which reader: its name, or a wrong one to see them all
    target: String,
    /// How many inputs.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// The same seed gives the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first input.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Judge this file alone.
    #[arg(long)]
    input: Option<PathBuf>,
}

/// Between two lines that say how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match fuzz(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found.
fn fuzz(arguments: &Arguments) -> io::Result<bool> {
    let name = arguments.target.as_str();
    let Some(target) = targets::ALL.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
        let message = format!("there is no target `{name}`; there are {}", names.join(", "));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    let mut run = Run::new(target, arguments.seed)?;
    if let Some(path) = &arguments.input {
        let found = run.judge(&fs::read(path)?);
        found.iter().for_each(|why| println!("{why}"));
        return Ok(found.is_none());
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(name);
    run.watch(directory.clone());
    println!("{name}: seed {}, from input {}", arguments.seed, arguments.from);
    let begun = Instant::now();
    let mut told = begun;
    let mut found = run.entries();
    found.iter().try_for_each(|found| tell(&directory, found))?;
    for index in arguments.from..arguments.from + arguments.runs {
        if let Some(new) = run.one(index) {
            tell(&directory, &new)?;
            found.push(new);
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            progress(index - arguments.from + 1, begun, run.repeated);
        }
    }
    progress(arguments.runs, begun, run.repeated);
    println!("{name}: {} found", found.len());
    Ok(found.is_empty())
}

fn tell(directory: &Path, found: &Found) -> io::Result<()> {
    let path = write_found(directory, found)?;
    println!("{found}\n  {}", path.display());
    Ok(())
}

fn progress(runs: u64, begun: Instant, repeated: u64) {
    let seconds = begun.elapsed().as_secs_f64();
    let rate = runs as f64 / seconds;
    println!(
        "{runs} inputs in {seconds:.0} s, {rate:.0} per second; {repeated} more of what was found before"
    );
}
