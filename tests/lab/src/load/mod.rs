//! Load: a client that opens thousands of connections a second and accounts for every one of them, and a server that is
//! fast enough for it and says who it is. Both are this very program, started again inside of a namespace:
//!
//! `PROGRAM --load serve|serve-held|serve-udp NAME ADDRESS...`: answers `GET /bytes/N` with N bytes, anything else with its name and the
//! client's address; datagrams with its name and what came. Prints `ready` when it listens.
//! `PROGRAM --load short|long|held|udp --to ADDRESS[,ADDRESS...] [--OPTION VALUE]...`: see [`options::Client`]. Prints one JSON
//! document, a [`Report`], at the end; and a line with the counts so far on standard error, several times a second.
//!
//! What is lost is counted, with its kind and its time, and never tried again. Must not: know who is in between.

mod client;
mod datagrams;
mod exchange;
mod harness;
mod held;
pub mod options;
mod pattern;
mod report;
mod server;

use std::io;
use std::process::ExitCode;

pub use harness::{Program, Running, Server};
pub use options::{Client, Kind};
pub use report::{Loss, Moments, Progress, Report};

/// The first argument of a program that is to be client or server.
pub const WORD: &str = "--load";

/// For the first line of `main`: plays client or server if that is what the arguments ask for.
pub fn asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (word, rest) = arguments.split_first()?;
    (word == WORD).then(|| match play(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    })
}

fn play(arguments: &[String]) -> io::Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", name, addresses @ ..] => server::serve(name, &options::addresses(addresses)?),
        ["serve-held", name, addresses @ ..] => held::serve(name, &options::addresses(addresses)?),
        ["serve-udp", name, addresses @ ..] => datagrams::serve(name, &options::addresses(addresses)?),
        [kind, options @ ..] => client::run(&Client::parse(kind, options)?),
        [] => Err(io::Error::other("client or server?")),
    }
}
