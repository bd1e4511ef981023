//! lb-image: the command line of the image build. Must not: hold any logic beyond choosing what is done and how it is said.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lb_core::config;
use lb_image::layout::{Slot, kernel_command_line};
use lb_image::rootfs::Ingredients;
use lb_image::{assemble, config_volume, report};

#[derive(Debug, Parser)]
#[command(
    name = "lb-image",
    about = "Makes the disk image of the lb appliance and works on /config in it"
)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the image
    Build {
        /// The kernel, a bzImage
        #[arg(long)]
        kernel: PathBuf,
        /// The appliance's executable
        #[arg(long)]
        appliance: PathBuf,
        /// Files that are laid over the root
        #[arg(long, default_value = "overlay")]
        overlay: PathBuf,
        /// What `cargo tree --prefix none --format {p}` prints of the appliance, for the bill of materials
        #[arg(long)]
        crates: Option<PathBuf>,
        /// The image to write
        #[arg(long, default_value = "build/lb.img")]
        out: PathBuf,
    },
    /// Write FILE as /config/lb.toml into IMAGE, refusing an invalid one
    PutConfig {
        image: PathBuf,
        file: PathBuf,
        /// Do not look at what FILE says: for tests of how the appliance meets an invalid file
        #[arg(long)]
        unchecked: bool,
    },
    /// Print /config/lb.toml of IMAGE
    GetConfig { image: PathBuf },
    /// List the files of /config in IMAGE: size and name
    ConfigFiles { image: PathBuf },
    /// Print what IMAGE and its parts weigh
    Report {
        image: PathBuf,
        /// Leave out the compressed size, which takes half a minute
        #[arg(long)]
        short: bool,
    },
    /// Print the kernel's command line for a slot (a or b)
    Cmdline { slot: Slot },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lb-image: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<(), Box<dyn Error>> {
    match action {
        Action::Build {
            kernel,
            appliance,
            overlay,
            crates,
            out,
        } => {
            let from = Ingredients {
                executable: &appliance,
                kernel: &kernel,
                overlay: &overlay,
                crates: crates.as_deref(),
            };
            assemble::build(&out, &from)?;
        }
        Action::PutConfig {
            image,
            file,
            unchecked,
        } => put_config(&image, &file, unchecked)?,
        Action::GetConfig { image } => say(&config_volume::read(&image, config_volume::LB_TOML)?)?,
        Action::ConfigFiles { image } => {
            for entry in config_volume::list(&image)? {
                say(format!("{:>10} {}\n", entry.size, entry.name).as_bytes())?;
            }
        }
        Action::Report { image, short } => say(report::report(&image, !short)?.to_string().as_bytes())?,
        Action::Cmdline { slot } => say(format!("{}\n", kernel_command_line(slot)).as_bytes())?,
    }
    Ok(())
}

/// Writes to standard output; a reader that has seen enough is no failure.
fn say(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn put_config(image: &Path, file: &Path, unchecked: bool) -> Result<(), Box<dyn Error>> {
    let bytes = lb_image::file::read(file)?;
    if !unchecked {
        check(&file.display().to_string(), &bytes)
            .map_err(|faults| format!("{} is unchanged, because of:\n{faults}", image.display()))?;
    }
    config_volume::write(image, config_volume::LB_TOML, &bytes)?;
    Ok(())
}

/// Every fault of the file, as the appliance prints them.
fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let config = config::parse_bytes(bytes).map_err(|faults| faults.render(name, &text))?;
    for warning in config::warnings(&config) {
        eprintln!("{name}: warning: {warning}");
    }
    Ok(())
}

/// An error and its causes, one line each.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    text
}
