//! The one executable of the image. What it does is chosen by its name, or by its first argument: `init`, `agent` or
//! `applctl`. Must not: hold anything but that choice.

mod agent;
mod applctl;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = env::args_os();
    let name = words.next().unwrap_or_default();
    if let Some(code) = act(&base_name(&name), &mut words) {
        return code;
    }
    let first = words.next().unwrap_or_default();
    act(&base_name(&first), &mut words).unwrap_or_else(|| {
        // Nothing is left to do if even this cannot be written.
        let _ = writeln!(
            io::stderr(),
            "appliance: the first argument must be init, agent or applctl"
        );
        ExitCode::from(2)
    })
}

fn act(name: &str, words: &mut impl Iterator<Item = OsString>) -> Option<ExitCode> {
    match name {
        "init" => Some(lb_init::run(
            lb_kernel::ext4::grow,
            lb_kernel::resident::give_back,
        )),
        "agent" => Some(agent::run()),
        "applctl" => Some(applctl::run(words)),
        _ => None,
    }
}

fn base_name(path: &OsString) -> String {
    Path::new(path)
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}
