//! `applctl`: the client of the agent's control socket, as a program and as the console's prompt.
//! Must not: decide anything about the appliance; it asks, shows, and hands over.

mod ask;
mod bundle;
mod capture;
mod change;
mod client;
mod complete;
mod configure;
mod console;
mod drain;
mod edit;
mod execute;
mod export;
mod factory;
mod failure;
mod files;
mod fullscreen;
mod help;
mod import;
mod input;
mod interrupt;
mod kmsg;
mod line;
mod link;
mod lock;
mod log;
mod parse;
mod password;
mod paste;
mod pasted;
mod power;
mod probe;
mod put;
mod reach;
mod render;
mod restore;
mod setup;
mod sound;
#[cfg(test)]
mod tests;
mod top;
mod transfer;
mod tree;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use execute::{Context, Places, Verdict, execute, explain, explain_json};
use failure::{EXIT_FAILED, EXIT_USAGE, Failure};
use input::Input;
use interrupt::Interrupt;
use parse::Parsed;
use render::Screen;
use rustix::termios::{isatty, tcgetwinsize};

/// The environment's name for another socket than the appliance's.
const SOCKET_VARIABLE: &str = "LB_CONTROL_SOCKET";
const SOCKET_OPTION: &str = "--socket";
/// The same for the directory of lb.toml.
const VOLUME_VARIABLE: &str = "LB_CONFIG_DIRECTORY";

/// Runs one command, or the console. `words` are those after the program's name.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words: Vec<String> = words
        .into_iter()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let mut socket = env::var_os(SOCKET_VARIABLE).map(PathBuf::from);
    if words.first().is_some_and(|w| w == SOCKET_OPTION) {
        if words.len() < 2 {
            return usage_fault("`--socket` needs the path of the agent's socket after it");
        }
        socket = Some(PathBuf::from(&words[1]));
        words.drain(..2);
    }
    let places = Places::new(socket, env::var_os(VOLUME_VARIABLE).map(PathBuf::from));
    match words.split_first() {
        // Other words behind it are commands.
        Some((first, rest)) if first == "console" && console::is_meant(rest) => console::run(rest, &places),
        _ => ExitCode::from(program(&words, &places)),
    }
}

fn usage_fault(sentence: &str) -> ExitCode {
    // Nothing is left to do if even this cannot be written.
    let _ = writeln!(io::stderr(), "applctl: {sentence}");
    ExitCode::from(EXIT_USAGE)
}

/// One command. JSON is the only thing on standard output when it is asked for, also for errors.
fn program(words: &[String], places: &Places) -> u8 {
    let json = words.iter().any(|w| w == tree::JSON);
    let screen = screen();
    match command(words, places, screen) {
        Ok(Verdict::Good) => 0,
        Ok(Verdict::Bad) => EXIT_FAILED,
        Err(failure) => {
            let code = failure.exit_code();
            let _ = if failure.is_lost_output() {
                Ok(())
            } else if json {
                io::stdout().write_all(explain_json(&failure, places).as_bytes())
            } else {
                let text = explain("applctl: ", &failure, places, &screen);
                io::stderr().write_all(text.as_bytes())
            };
            code
        }
    }
}

fn command(words: &[String], places: &Places, screen: Screen) -> Result<Verdict, Failure> {
    let parsed = match parse::parse(words)? {
        Parsed::Nothing => Parsed::Help(Vec::new()),
        parsed => parsed,
    };
    let interrupt = Interrupt::install().map_err(Failure::Terminal)?;
    let mut input = Input::new(io::stdin().as_fd()).map_err(Failure::Terminal)?;
    let mut out = io::stdout().lock();
    let mut remarks = io::stderr();
    let mut context = Context {
        places,
        interrupt: &interrupt,
        input: &mut input,
        out: &mut out,
        remarks: &mut remarks,
        screen,
        terminal: isatty(io::stdout()),
        who: "program",
    };
    let verdict = execute(&parsed, &mut context);
    input.restore();
    verdict
}

/// What standard output allows.
fn screen() -> Screen {
    let out = io::stdout();
    if !isatty(&out) {
        return Screen::plain(80);
    }
    let columns = tcgetwinsize(&out).map_or(0, |size| size.ws_col);
    Screen::terminal(
        if columns == 0 { 80 } else { usize::from(columns) },
        colours_allowed(),
    )
}

/// NO_COLOR is respected, and a terminal without a name or a dumb one gets no escape sequences. Every other takes
/// SGR, at worst by ignoring it.
fn colours_allowed() -> bool {
    let plain = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let capable = env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
    capable && !plain
}
