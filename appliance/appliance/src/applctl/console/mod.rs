//! The prompt on a terminal of the appliance: reads lines, carries them out, never ends by itself.
//! Must not: need the agent.

mod attach;
mod editor;
mod feed;
pub mod news;
mod plain;
pub mod size;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lb_core::control::{Request, Response, StatusReport};

use super::client::ask_within;
use super::execute::{Context, Places, execute, explain, explain_json};
use super::failure::{EXIT_FAILED, Failure};
use super::input::{Came, Input, Typing};
use super::interrupt::Interrupt;
use super::lock::Guard;
use super::parse::Parsed;
use super::render::{self, Screen, Tone};
use super::tree::Action;
use super::{colours_allowed, line, parse, tree, usage_fault};
use editor::{LineEditor, Typed};
use news::{Between, News};

const TTY: &str = "--tty";
/// The banner does not wait longer for the agent.
const BANNER_PATIENCE: Duration = Duration::from_secs(1);

/// Whether these words begin a session; others are commands about consoles.
pub fn is_meant(words: &[String]) -> bool {
    words.first().is_none_or(|word| word == TTY)
}

/// `console` on its standard input, or `console --tty DEVICE`: takes the device as its terminal first.
pub fn run(words: &[String], places: &Places) -> ExitCode {
    let outcome = match words {
        [] => Session::begin(places).and_then(|mut session| session.converse()),
        [option, device] if option == TTY => {
            attach::attach(device, &places.socket).map_err(|e| e.to_string())
        }
        _ => return usage_fault("`console` takes nothing, or `--tty DEVICE`"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            // init has our standard error in the log when no terminal is left.
            let _ = writeln!(io::stderr(), "applctl console: {sentence}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

struct Session<'a> {
    places: &'a Places,
    interrupt: Rc<Interrupt>,
    input: Input,
    editor: LineEditor,
    screen: Screen,
    /// `console ttyS0`.
    who: String,
}

/// Whether there is a next prompt.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Prompt,
    End,
}

impl<'a> Session<'a> {
    fn begin(places: &'a Places) -> Result<Session<'a>, String> {
        let fault = |error: io::Error| format!("the terminal cannot be used: {error}");
        // Before the line editor puts a terminal of its own in its place.
        let news = News::inherited().map_err(fault)?;
        let who = format!("console {}", terminal_name());
        let interrupt = Rc::new(Interrupt::install().map_err(fault)?);
        let mut input = Input::new(io::stdin().as_fd()).map_err(fault)?;
        if !input.is_terminal() {
            return Err("standard input is not a terminal; `applctl COMMAND` works without one".to_owned());
        }
        input.set_typing(Typing::Command).map_err(fault)?;
        // A FILE without a directory is one of the config volume. Without a volume it is none.
        let _ = places.config_directory().map(std::env::set_current_dir);
        let found = size::establish(&mut input, &interrupt, &mut io::stdout()).map_err(fault)?;
        let screen = Screen::terminal(usize::from(found.columns), colours_allowed());
        let editor = LineEditor::new(places.socket.clone(), screen.colour)?;
        input.follow(news);
        input.watch(Guard::new(places, hostname, &who, screen));
        Ok(Session {
            places,
            interrupt,
            input,
            editor,
            screen,
            who,
        })
    }

    /// Until the terminal has gone.
    fn converse(&mut self) -> Result<(), String> {
        if self.lock()? == Next::End || self.show(&self.banner()).is_err() {
            return Ok(());
        }
        loop {
            if self.lock()? == Next::End {
                return Ok(());
            }
            self.show_news();
            let prompt = format!("{}> ", hostname());
            let typed = self.editor.read_line(&prompt, &mut self.input, &self.interrupt)?;
            self.input
                .set_typing(Typing::Command)
                .map_err(|e| format!("the terminal cannot be used: {e}"))?;
            self.interrupt.clear();
            let next = match typed {
                Typed::Line(text) => self.carry_out(&text),
                Typed::Nothing => Next::Prompt,
                Typed::EndOfFile => self.next_after(
                    self.show("There is nothing to log out of; `reboot` and `poweroff` end the machine.\n"),
                ),
                Typed::HungUp => Next::End,
                // Held before the next prompt.
                Typed::MustLock => Next::Prompt,
            };
            if next == Next::End {
                return Ok(());
            }
        }
    }

    /// Holds the lock if it is its time. A signal does not open it.
    fn lock(&mut self) -> Result<Next, String> {
        while self.input.must_lock() {
            self.interrupt.clear();
            let held = self.input.hold(&self.interrupt);
            match held.map_err(|e| format!("the terminal cannot be used: {e}"))? {
                Came::Ended => return Ok(Next::End),
                Came::Unlocked => return Ok(self.next_after(self.show(&self.reminder()))),
                Came::Bytes | Came::TimedOut | Came::Interrupted => {}
            }
        }
        Ok(Next::Prompt)
    }

    fn banner(&self) -> String {
        let status = self.status();
        let init = self.places.init();
        let banner = render::banner(
            &hostname(),
            env!("CARGO_PKG_VERSION"),
            status.as_ref(),
            init.as_ref(),
            &self.screen,
        );
        format!("\n{banner}\n")
    }

    fn status(&self) -> Option<StatusReport> {
        match ask_within(
            &self.places.socket,
            &Request::Status,
            &self.interrupt,
            BANNER_PATIENCE,
        ) {
            Ok(Response::Status(report)) => Some(report),
            _ => None,
        }
    }

    fn carry_out(&mut self, text: &str) -> Next {
        let words = match line::split(text) {
            Ok(words) => words,
            Err(error) => return self.report(&Failure::Usage(error.into()), false),
        };
        let json = words.iter().any(|w| w == tree::JSON);
        let mut tells_itself = false;
        let parsed = parse::parse(&words);
        let follows_log = parsed.as_ref().is_ok_and(follows_log);
        // A document is not interrupted, and who reads the log reads those lines there.
        let news = self.input.news().filter(|_| !json && !follows_log).cloned();
        let mut out = Between::new(io::stdout(), news.clone());
        let mut remarks = Between::new(io::stdout(), news);
        let outcome = parsed.map_err(Failure::from).and_then(|parsed| {
            tells_itself = tells_of_trial(&parsed);
            let mut context = Context {
                places: self.places,
                interrupt: &self.interrupt,
                input: &mut self.input,
                out: &mut out,
                remarks: &mut remarks,
                screen: self.screen,
                terminal: true,
                who: &self.who,
            };
            let verdict = execute(&parsed, &mut context);
            self.screen = context.screen;
            verdict
        });
        if let Some(news) = self.input.news().filter(|_| follows_log && !json) {
            news.forget(Instant::now());
        }
        match outcome {
            Ok(_) if json || tells_itself => Next::Prompt,
            Ok(_) => self.next_after(self.show(&self.reminder())),
            Err(failure) => {
                if failure.is_interruption() {
                    // Who stops a command does not want the lines that were pasted behind it.
                    self.input.pending().clear();
                }
                self.report(&failure, json)
            }
        }
    }

    /// A line before the next prompt while a configuration is on trial; else nothing. The agent need not be asked for it.
    fn reminder(&self) -> String {
        let left = super::configure::pending_for(&self.places.pending_mark());
        left.map_or_else(String::new, |left| render::reminder(left, &self.screen))
    }

    fn report(&self, failure: &Failure, json: bool) -> Next {
        if failure.is_lost_output() {
            return Next::End;
        }
        if json {
            return self.next_after(self.show(&explain_json(failure, self.places)));
        }
        let text = explain("", failure, self.places, &self.screen);
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        self.next_after(self.show(&format!("{}\n{rest}", self.screen.paint(Tone::Bad, first))))
    }

    /// Lines of the log that came during a command.
    fn show_news(&self) {
        if let Some(text) = self.input.news().and_then(|news| news.take(Instant::now())) {
            // A terminal that has gone is noticed by the next line.
            let _ = self.show(&text);
        }
    }

    fn next_after(&self, shown: io::Result<()>) -> Next {
        if shown.is_ok() { Next::Prompt } else { Next::End }
    }

    fn show(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// `ttyS0`; `terminal` where /proc does not tell.
fn terminal_name() -> String {
    let device = std::fs::read_link("/proc/self/fd/0").unwrap_or_default();
    let name = device
        .strip_prefix("/dev")
        .unwrap_or(&device)
        .display()
        .to_string();
    match name.is_empty() {
        true => "terminal".to_owned(),
        false => name,
    }
}

/// The kernel's name of this machine; lb.toml may change it while the console runs.
fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() || name == "(none)" {
        "lb".to_owned()
    } else {
        render::clean(&name).into_owned()
    }
}

/// Whether it shows each line of the log as it comes.
fn follows_log(parsed: &Parsed) -> bool {
    match parsed {
        Parsed::Run(invocation) => invocation.has(tree::FOLLOW),
        Parsed::Help(_) | Parsed::Nothing => false,
    }
}

/// Whether its answer says by itself what is PENDING.
fn tells_of_trial(parsed: &Parsed) -> bool {
    match parsed {
        Parsed::Run(invocation) => {
            invocation.time(tree::CONFIRM).is_some() || invocation.command.action == Action::ConfigEdit
        }
        Parsed::Help(_) | Parsed::Nothing => false,
    }
}
