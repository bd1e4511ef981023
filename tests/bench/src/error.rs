//! What can keep a figure from being taken. Must not: judge a figure; one that misses its goal is no error here.

use std::path::{Path, PathBuf};

use lb_lab::LabError;
use thiserror::Error;

pub type Result<T, E = BenchError> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum BenchError {
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("{} is not an ELF file", path.display())]
    NotElf {
        path: PathBuf,
        #[source]
        source: goblin::error::Error,
    },
    #[error("{} needs {name}, which is in none of the unpacked packages", needed_by.display())]
    NoLibrary { name: String, needed_by: PathBuf },
    #[error("{} is missing; make it: {remedy}", path.display())]
    NotBuilt { path: PathBuf, remedy: &'static str },
    #[error("the kernel's version cannot be told")]
    Kernel {
        #[source]
        source: lb_image::kernel::KernelError,
    },
    #[error("the root file system {} of {size} bytes does not fit in a slot of {room} bytes", path.display())]
    TooBig { path: PathBuf, size: u64, room: u64 },
    #[error("the config of the lab cannot be put into {}", image.display())]
    Config {
        image: PathBuf,
        #[source]
        source: lb_image::config_volume::ConfigVolumeError,
    },
    #[error("the image {} cannot be weighed", image.display())]
    Weigh {
        image: PathBuf,
        #[source]
        source: lb_image::report::ReportError,
    },
    #[error("{what} is not the JSON that it should be")]
    Json {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "{system}: no answer for host01 within {seconds} s of power-on; the end of its console:\n{console}"
    )]
    NoAnswer {
        system: &'static str,
        seconds: u64,
        console: String,
    },
}

/// For `map_err`: names verb and file.
pub fn io(verb: &str, path: &Path) -> impl FnOnce(std::io::Error) -> BenchError {
    let what = format!("{verb} {}", path.display());
    move |source| LabError::Io { what, source }.into()
}
