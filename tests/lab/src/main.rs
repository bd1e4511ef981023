//! `lab run`: the network of lib.rs with the built image in it, its story told in a few lines, and the serial console.
//! `lab exec`: a command in one of its namespaces, from another terminal.
//! `lab --load ...`: a client or a server that is all load; see [`lb_lab::load`].
//! Must not: need anything but the built image and the packages of image/deps.

mod run;

use std::process::ExitCode;

use lb_lab::{error, load};

const USAGE: &str = "usage:
  lab run [--uefi] [--config FILE] [--disk FILE]
                                     boot build/lb.img (or LB_DISK_IMAGE) in the lab and connect to its console;
                                     --disk: from this copy of it, which stays for the next run
  lab exec NAMESPACE COMMAND...      run a command in the running lab: host01 host02 master worker01 worker02 pod";

fn main() -> ExitCode {
    if let Some(code) = load::asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run", options @ ..] => match run::Options::parse(options) {
            Some(options) => run::run(&options),
            None => return usage(),
        },
        ["exec", namespace, command @ ..] if !command.is_empty() => run::exec(namespace, command),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", error::chain(&failure));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
