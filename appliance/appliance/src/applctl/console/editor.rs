//! The line editor: rustyline with the command tree behind completion and hints.
//! Must not: know what a command does.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::control::{FileReport, Request, Response, ServicesReport};
use rustix::stdio::dup2_stdin;
use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext,
    EventHandler, ExternalPrinter, Helper, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

use super::feed::{Fed, feed, open_pair};
use super::plain;
use crate::applctl::client::ask_within;
use crate::applctl::complete::{Continuation, Names, complete, hint};
use crate::applctl::input::{Input, Typing};
use crate::applctl::interrupt::Interrupt;

const HISTORY: usize = 500;
/// An escape sequence arrives faster than this even on a slow line, and a lone Escape is told by it, in milliseconds.
const ESCAPE_PATIENCE: u16 = 200;
/// Completion must feel immediate, or do without names.
const NAMES_PATIENCE: Duration = Duration::from_millis(500);
/// A second Tab does not ask again.
const NAMES_KEPT: Duration = Duration::from_secs(2);

/// What came of reading a line.
#[derive(Debug)]
pub enum Typed {
    Line(String),
    /// Ctrl-C, or a line that could not be read.
    Nothing,
    /// Ctrl-D on an empty line.
    EndOfFile,
    /// The terminal has gone.
    HungUp,
    /// Nothing was typed for so long that the console locks; what stood in the line is gone.
    MustLock,
}

pub struct LineEditor {
    editor: Editor<Words, MemHistory>,
    /// Our end of the editor's terminal. `None` where the machine has no pty to give: then lines are read without the editor.
    keys: Option<OwnedFd>,
    seen: Receiver<()>,
    printer: Printer,
    /// Lines in a row that could not be read.
    faults: u32,
}

/// After so many lines that could not be read something is wrong that a new line does not cure.
const MOST_FAULTS: u32 = 10;

impl LineEditor {
    /// From here on standard input belongs to the editor.
    pub fn new(socket: PathBuf, colour: bool) -> Result<LineEditor, String> {
        let keys = match open_pair() {
            Ok((ours, editors)) => dup2_stdin(&editors).ok().map(|()| ours),
            Err(_) => None,
        };
        let config = config(colour).map_err(|e| e.to_string())?;
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(|e| e.to_string())?;
        // A serial terminal may show what it does not know.
        editor.enable_synchronized_output(false);
        editor.set_helper(Some(Words {
            names: AgentNames::new(socket),
            colour,
        }));
        let (sender, seen) = channel();
        editor.bind_sequence(
            Event::Any,
            EventHandler::Conditional(Box::new(Watcher { sender })),
        );
        // There is no shell to go back to, and flow control of a terminal program is not typed.
        for key in ['Z', '\\', 'S', 'Q'] {
            editor.bind_sequence(KeyEvent::ctrl(key), Cmd::Noop);
        }
        let printer = Printer::new(editor.create_external_printer().ok().map(|p| Box::new(p) as Way));
        Ok(LineEditor {
            editor,
            keys,
            seen,
            printer,
            faults: 0,
        })
    }

    pub fn read_line(
        &mut self,
        prompt: &str,
        input: &mut Input,
        interrupt: &Interrupt,
    ) -> Result<Typed, String> {
        input.set_typing(Typing::Keys).map_err(|e| e.to_string())?;
        if self.keys.is_none() {
            let typed = plain::read_line(prompt, input, interrupt, &mut io::stdout());
            return typed.map_err(|error| format!("the line cannot be read: {error}"));
        }
        let (line, fed) = self.read_fed(prompt, input).map_err(|e| e.to_string())?;
        let hung_up = self.keys.is_none();
        match line {
            _ if hung_up => Ok(Typed::HungUp),
            _ if fed == Fed::MustLock => Ok(Typed::MustLock),
            Ok(line) => {
                self.faults = 0;
                if !line.trim().is_empty() {
                    // A history in memory takes every line.
                    let _ = self.editor.add_history_entry(line.as_str());
                }
                Ok(Typed::Line(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Nothing),
            // A terminal that has gone is noticed when its modes are set next.
            Err(ReadlineError::Eof) => Ok(Typed::EndOfFile),
            // The real terminal is well, or the feed would have ended: only this line is lost.
            Err(_) if self.faults < MOST_FAULTS => {
                self.faults += 1;
                Ok(Typed::Nothing)
            }
            Err(error) => Err(format!("the line cannot be read: {error}")),
        }
    }

    /// Reads a line while a second thread hands over the keys.
    fn read_fed(&mut self, prompt: &str, input: &mut Input) -> io::Result<(rustyline::Result<String>, Fed)> {
        let (stop, complete) = UnixStream::pair()?;
        let (editor, keys, seen, printer) = (
            &mut self.editor,
            &mut self.keys,
            &mut self.seen,
            &mut self.printer,
        );
        thread::scope(|scope| {
            let feeder = thread::Builder::new()
                .spawn_scoped(scope, move || feed(input, keys, &stop, seen, printer))?;
            let line = editor.readline(prompt);
            drop(complete);
            match feeder.join() {
                Ok(fed) => fed.map(|fed| (line, fed)),
                Err(_) => Err(io::Error::other("the keys cannot be read")),
            }
        })
    }
}

type Way = Box<dyn ExternalPrinter + Send>;

/// Shows lines above the one that is being edited. The editor takes them when it is between two keys, and none while it shows a list or searches; whoever
/// hands over the keys must not wait for that, or no key would end the search.
pub struct Printer {
    free: Option<Way>,
    back: Receiver<Way>,
    give_back: Sender<Way>,
}

/// Enough for handing over one text.
const PRINTER_STACK: usize = 64 << 10;

impl Printer {
    pub fn new(free: Option<Way>) -> Printer {
        let (give_back, back) = channel();
        Printer {
            free,
            back,
            give_back,
        }
    }

    pub fn is_free(&mut self) -> bool {
        self.free = self.free.take().or_else(|| self.back.try_recv().ok());
        self.free.is_some()
    }

    pub fn print(&mut self, text: String) {
        let Some(mut way) = self.free.take() else { return };
        let give_back = self.give_back.clone();
        let hand_over = move || {
            // An editor that has gone shows nothing; the log has it.
            let _ = way.print(text);
            let _ = give_back.send(way);
        };
        let builder = thread::Builder::new().stack_size(PRINTER_STACK);
        if let Err(error) = builder.spawn(hand_over) {
            log::warn!("show lines of the log above the prompt: {error}");
        }
    }
}

/// What suits a serial line: nothing that a terminal may not know, and no waiting for its answers.
fn config(colour: bool) -> rustyline::Result<Config> {
    let builder = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?;
    let colour = if colour {
        ColorMode::Enabled
    } else {
        ColorMode::Disabled
    };
    Ok(builder
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .keyseq_timeout(Some(ESCAPE_PATIENCE))
        .bracketed_paste(false)
        .color_mode(colour)
        .build())
}

/// Tells the feed that a key has arrived which may have ended the line.
struct Watcher {
    sender: Sender<()>,
}

impl ConditionalEventHandler for Watcher {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        if let Event::KeySeq(keys) = event {
            let ends = |key: &KeyEvent| match key {
                KeyEvent(KeyCode::Enter, _) => true,
                KeyEvent(KeyCode::Char(c), Modifiers::CTRL) => "CDJM".contains(*c),
                _ => false,
            };
            if keys.iter().any(ends) {
                // Without a feed nobody waits.
                let _ = self.sender.send(());
            }
        }
        None
    }
}

/// Completion and hints for the editor.
struct Words {
    names: AgentNames,
    colour: bool,
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&line[..pos], &self.names))
    }
}

impl Hint for Continuation {
    fn display(&self) -> &str {
        &self.display
    }

    fn completion(&self) -> Option<&str> {
        Some(&self.insert).filter(|i| !i.is_empty()).map(String::as_str)
    }
}

impl Hinter for Words {
    type Hint = Continuation;

    /// Only in colour: else a hint could not be told from what was typed.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Continuation> {
        if self.colour && pos == line.len() {
            hint(line)
        } else {
            None
        }
    }
}

impl Highlighter for Words {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        format!("\x1b[2m{hint}\x1b[0m").into()
    }
}

impl Validator for Words {}
impl Helper for Words {}

/// Names of services and servers from the agent, kept for a moment.
struct AgentNames {
    socket: PathBuf,
    kept: RefCell<Option<(Instant, Known)>>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    services: Vec<String>,
    /// With and without their ports.
    servers: Vec<String>,
}

impl Known {
    fn of(report: ServicesReport) -> Known {
        let mut servers = BTreeSet::new();
        for server in report.services.iter().flat_map(|service| &service.servers) {
            if let Ok(key) = server.address.parse::<SocketAddr>() {
                servers.insert(key.ip().to_string());
            }
            servers.insert(server.address.clone());
        }
        Known {
            services: report.services.into_iter().map(|service| service.name).collect(),
            servers: servers.into_iter().collect(),
        }
    }
}

impl AgentNames {
    fn new(socket: PathBuf) -> AgentNames {
        AgentNames {
            socket,
            kept: RefCell::new(None),
        }
    }

    fn ask(&self) -> Option<Known> {
        match self.answer(&Request::Services { name: None })? {
            Response::Services(report) => Some(Known::of(report)),
            _ => None,
        }
    }

    fn answer(&self, request: &Request) -> Option<Response> {
        let interrupt = Interrupt::install().ok()?;
        ask_within(&self.socket, request, &interrupt, NAMES_PATIENCE).ok()
    }
}

impl AgentNames {
    fn known(&self) -> Known {
        let mut kept = self.kept.borrow_mut();
        if kept.as_ref().is_none_or(|(at, _)| at.elapsed() >= NAMES_KEPT) {
            *kept = Some((Instant::now(), self.ask().unwrap_or_default()));
        }
        kept.as_ref().map(|(_, names)| names.clone()).unwrap_or_default()
    }

    /// Names of files of the config volume.
    fn kept_files(&self, wanted: impl Fn(&FileReport) -> bool) -> Vec<String> {
        let Some(Response::Files(report)) = self.answer(&Request::ConfigFiles) else {
            return Vec::new();
        };
        let files = report.files.into_iter().filter(|file| wanted(file));
        files.map(|file| file.name).collect()
    }
}

impl Names for AgentNames {
    fn services(&self) -> Vec<String> {
        self.known().services
    }

    fn servers(&self) -> Vec<String> {
        self.known().servers
    }

    fn interfaces(&self) -> Vec<String> {
        let Some(Response::Interfaces(report)) = self.answer(&Request::Interfaces) else {
            return Vec::new();
        };
        let names = report.interfaces.into_iter();
        names
            .filter_map(|interface| interface.label.or(interface.link))
            .collect()
    }

    fn configuration(&self) -> String {
        match self.answer(&Request::ConfigShow { kept: None }) {
            Some(Response::Config(file)) => file.text,
            _ => String::new(),
        }
    }

    fn removable(&self) -> Vec<String> {
        self.kept_files(FileReport::is_removable)
    }

    fn beside(&self) -> Vec<String> {
        self.kept_files(|file| file.own.is_none())
    }

    fn history(&self) -> Vec<String> {
        match self.answer(&Request::ConfigHistory) {
            Some(Response::History(report)) => report.entries.iter().map(|e| e.number.to_string()).collect(),
            _ => Vec::new(),
        }
    }

    fn files(&self, begin: &str) -> Vec<String> {
        let (directory, name) = begin
            .rsplit_once('/')
            .map_or(("", begin), |(d, n)| (&begin[..=d.len()], n));
        let entries = fs::read_dir(if directory.is_empty() { "." } else { directory });
        let mut paths: Vec<String> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let found = entry
                    .file_name()
                    .into_string()
                    .ok()
                    .filter(|n| n.starts_with(name))?;
                let slash = if entry.path().is_dir() { "/" } else { "" };
                Some(format!("{directory}{found}{slash}"))
            })
            .collect();
        paths.sort();
        paths
    }
}
