//! Carries a command out: asks the agent, or looks itself where the agent is not needed, and prints the answer.
//! The console and the program share all of it. Must not: parse words.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_core::console::IGNORED;
use lb_core::control::{
    ChangeState, CheckNowReport, CheckReport, INIT_REPORT, InitReport, Request, Response, SOCKET,
    VersionReport,
};
use lb_core::rates;
use lb_core::traffic::TRAFFIC_WINDOW_MS;
use serde::Serialize;

use super::bundle;
use super::capture;
use super::client::{AskError, ask};
use super::configure::{self, pending_for};
use super::console::size;
use super::drain;
use super::edit;
use super::export;
use super::factory;
use super::failure::Failure;
use super::files;
use super::help;
use super::import;
use super::input::Input;
use super::interrupt::Interrupt;
use super::link;
use super::log::{Log, Wanted};
use super::parse::{Invocation, Parsed, command_of};
use super::password;
use super::pasted;
use super::power::{self, Power};
use super::probe;
use super::reach;
use super::render::{self, Figures, Screen, wrap};
use super::restore;
use super::setup;
use super::sound;
use super::top;
use super::tree::{self, Action};

/// Links count at once; a second is short enough to wait for.
const LINK_WINDOW: Duration = Duration::from_secs(1);
/// For checks that somebody waits for, and between two looks at them.
const CHECKS_LIMIT: Duration = Duration::from_secs(10);
const CHECKS_GLANCE: Duration = Duration::from_millis(100);

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    pub socket: PathBuf,
    pub init_report: PathBuf,
    pub config_file: PathBuf,
}

impl Places {
    /// The appliance's own; init's report lies beside the agent's socket.
    pub fn new(socket: Option<PathBuf>, volume: Option<PathBuf>) -> Places {
        let socket = socket.unwrap_or_else(|| PathBuf::from(SOCKET));
        let init_report = match socket.parent().zip(Path::new(INIT_REPORT).file_name()) {
            Some((directory, name)) => directory.join(name),
            None => PathBuf::from(INIT_REPORT),
        };
        Places {
            socket,
            init_report,
            config_file: volume.unwrap_or_else(|| PathBuf::from("/config")).join("lb.toml"),
        }
    }

    /// While a configuration is on trial: until when. It lies beside the agent's socket.
    pub fn pending_mark(&self) -> PathBuf {
        self.socket.with_file_name(lb_agent::PENDING_MARK)
    }

    /// While the password of the consoles does not count. It lies there too.
    pub fn ignored_mark(&self) -> PathBuf {
        self.socket.with_file_name(IGNORED)
    }

    /// What is forgotten with the machine's end.
    pub fn runtime(&self) -> &Path {
        self.socket.parent().unwrap_or(Path::new("/run/lb"))
    }

    /// Where lb.toml is, and what must not be lost.
    pub fn volume(&self) -> &Path {
        self.config_file.parent().unwrap_or(Path::new("/config"))
    }

    /// The directory of lb.toml, and of the certificates that it names, if there is one.
    pub fn config_directory(&self) -> Option<&Path> {
        self.config_file.parent().filter(|directory| directory.is_dir())
    }

    /// What init has written about itself, if it runs and can be understood.
    pub fn init(&self) -> Option<InitReport> {
        serde_json::from_slice(&std::fs::read(&self.init_report).ok()?).ok()
    }
}

/// What a command needs besides its words.
pub struct Context<'a> {
    pub places: &'a Places,
    pub interrupt: &'a Interrupt,
    pub input: &'a mut Input,
    pub out: &'a mut dyn Write,
    /// Remarks that are not the answer; they must not mix with JSON in a pipe.
    pub remarks: &'a mut dyn Write,
    pub screen: Screen,
    /// Whether `out` is a terminal.
    pub terminal: bool,
    /// Who gives the command, for the history: `console ttyS0`, `program`.
    pub who: &'a str,
}

/// Whether the answer, already printed, is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Good,
    Bad,
}

pub fn execute(parsed: &Parsed, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    match parsed {
        Parsed::Nothing => Ok(Verdict::Good),
        Parsed::Help(path) => help_for(path, context),
        Parsed::Run(invocation) => run(invocation, context),
    }
}

fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let limit =
        |option, default| usize::try_from(invocation.number(option).unwrap_or(default)).unwrap_or(usize::MAX);
    let argument = |place: usize| invocation.arguments.get(place).cloned();
    let response = match invocation.command.action {
        Action::Status => context.ask(&Request::Status)?,
        Action::Services => return services(invocation, context),
        Action::CheckNow => check_now(invocation.arguments.first(), context)?,
        Action::Drain => drain::run(invocation, context)?,
        Action::ConfigFiles | Action::ConfigRemove => files::run(invocation, context)?,
        Action::Undrain => context.ask(&Request::Undrain {
            server: argument(0).unwrap_or_default(),
            service: argument(1),
        })?,
        Action::Events => context.ask(&Request::Events {
            last: limit(tree::LAST, tree::EVENTS_DEFAULT),
            about: argument(0),
        })?,
        Action::Doctor => context.ask(&Request::Doctor { name: argument(0) })?,
        Action::Checks => context.ask(&Request::Checks { name: argument(0) })?,
        Action::Drains => context.ask(&Request::Drains)?,
        Action::Interfaces => rated(&Request::Interfaces, LINK_WINDOW, invocation, context)?,
        Action::Gateway => rated(&Request::Gateway, LINK_WINDOW, invocation, context)?,
        Action::Connections => context.ask(&Request::Connections {
            limit: limit(tree::LIMIT, tree::LIMIT_DEFAULT),
        })?,
        Action::ConfigShow
        | Action::ConfigCheck
        | Action::ConfigSet
        | Action::ConfigAdd
        | Action::ConfigDelete
        | Action::ConfigApply
        | Action::ConfigConfirm
        | Action::ConfigAbort
        | Action::ConfigDiff
        | Action::ConfigHistory
        | Action::ConfigRollback => configure::run(invocation, context)?,
        Action::Link => return link::link(invocation, LINK_WINDOW, context),
        Action::Capture => return capture::run(invocation, context),
        Action::ConfigExport => return export::run(invocation, context),
        Action::ConfigImport => {
            return restore::run(invocation, configure::terms(invocation, context), context);
        }
        Action::ConfigPut => return pasted::run(invocation, context),
        Action::ConfigEdit => return edit::run(invocation, configure::terms(invocation, context), context),
        Action::Arp => return reach::arp(invocation, context),
        Action::Route => return reach::route(invocation, context),
        Action::Probe => return probe::probe(invocation, context),
        Action::Ping => return sound::ping(invocation, context),
        Action::Trace => return sound::trace(invocation, context),
        Action::Explain => match reach::packet(invocation)? {
            Some(packet) => reach::to_its_end(context.ask(&Request::Path(packet))?),
            None => return explain_key(invocation, context),
        },
        Action::SupportBundle => return bundle::run(invocation, context),
        Action::Version => Response::Version(version(context.places)),
        Action::Top => return top::run(invocation, context),
        Action::Log => {
            let wanted = Wanted {
                last: limit(tree::LAST, tree::LAST_DEFAULT),
                all: invocation.has(tree::ALL),
            };
            return log(invocation, wanted, context);
        }
        Action::ImportKeepalived | Action::ImportHaproxy => return import::run(invocation, context),
        Action::Reboot => return end(Power::Reboot, invocation, context),
        Action::PowerOff => return end(Power::Off, invocation, context),
        Action::ConsolePassword => return password::password(invocation, context),
        Action::ConsoleIdle => return password::idle(invocation, context),
        Action::ConsoleLock => return password::lock_now(context),
        Action::Setup => return setup::run(context),
        Action::FactoryReset => return factory::run(invocation, context),
        Action::Help => return help_for(&invocation.arguments, context),
        Action::Clear => return context.print("\x1b[H\x1b[2J"),
        Action::Resize => return resize(context),
        Action::Exit => {
            return context.say("There is nothing to log out of. `reboot` and `poweroff` end the machine.");
        }
        Action::Group => return help_for(std::slice::from_ref(&invocation.path), context),
    };
    answer(response, invocation.json(), context)
}

/// The answer, with rates where they are asked for: then it is the second of two.
fn rated(
    request: &Request,
    window: Duration,
    invocation: &Invocation,
    context: &Context<'_>,
) -> Result<Response, Failure> {
    let first = context.ask(request)?;
    if !invocation.has(tree::RATE) {
        return Ok(first);
    }
    if !context.interrupt.pause(window).map_err(Failure::Terminal)? {
        return Err(AskError::Interrupted.into());
    }
    let mut second = context.ask(request)?;
    rates::between(&first, &mut second);
    Ok(second)
}

fn services(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let request = Request::Services {
        name: invocation.arguments.first().cloned(),
    };
    let window = Duration::from_millis(TRAFFIC_WINDOW_MS);
    let response = rated(&request, window, invocation, context)?;
    let shown = match (invocation.has(tree::RATE), invocation.has(tree::TRAFFIC)) {
        (true, _) => Some(Figures::Rates),
        (false, true) => Some(Figures::Totals),
        (false, false) => None,
    };
    match (&response, shown) {
        (Response::Services(report), Some(figures)) if !invocation.json() => {
            context.print(&render::traffic(report, figures, &context.screen))
        }
        _ => answer(response, invocation.json(), context),
    }
}

/// Begins the checks, and gives the services when as many have ended as were begun.
fn check_now(name: Option<&String>, context: &Context<'_>) -> Result<Response, Failure> {
    let begun = Instant::now();
    let answer = context.ask(&Request::CheckNow { name: name.cloned() })?;
    let Response::CheckNow(CheckNowReport { checks }) = answer else {
        return Ok(answer);
    };
    loop {
        let response = context.ask(&Request::Services { name: name.cloned() })?;
        let Response::Services(report) = &response else {
            return Ok(response);
        };
        let servers = report.services.iter().flat_map(|service| &service.servers);
        let ages = servers.filter_map(|server| Some(server.last_check.as_ref()?.age_ms));
        let elapsed = begun.elapsed();
        let ended = ages.filter(|age| u128::from(*age) <= elapsed.as_millis()).count();
        if ended >= checks || elapsed > CHECKS_LIMIT {
            return Ok(response);
        }
        if !context
            .interrupt
            .pause(CHECKS_GLANCE)
            .map_err(Failure::Terminal)?
        {
            return Err(AskError::Interrupted.into());
        }
    }
}

impl Context<'_> {
    pub fn ask(&self, request: &Request) -> Result<Response, Failure> {
        match ask(&self.places.socket, request, self.interrupt)? {
            Response::Error { message } => Err(Failure::Refused(message)),
            response => Ok(response),
        }
    }

    pub fn print(&mut self, text: &str) -> Result<Verdict, Failure> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(Failure::Output)?;
        Ok(Verdict::Good)
    }

    pub fn say(&mut self, sentence: &str) -> Result<Verdict, Failure> {
        let text = wrap(sentence, self.screen.width, 0);
        self.print(&format!("{text}\n"))
    }

    pub fn print_json(&mut self, document: &impl Serialize) -> Result<Verdict, Failure> {
        let mut text = serde_json::to_string_pretty(document).map_err(|e| Failure::Output(e.into()))?;
        text.push('\n');
        self.print(&text)
    }
}

/// Prints the report, for humans or as JSON, and says whether it is good news.
pub fn answer(response: Response, json: bool, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    if json {
        match &response {
            Response::Status(report) => context.print_json(report),
            Response::Services(report) => context.print_json(report),
            Response::CheckNow(report) => context.print_json(report),
            Response::Drains(report) => context.print_json(report),
            Response::Checks(report) => context.print_json(report),
            Response::Doctor(report) => context.print_json(report),
            Response::Events(report) => context.print_json(report),
            Response::Interfaces(report) => context.print_json(report),
            Response::Gateway(report) => context.print_json(report),
            Response::Path(report) => context.print_json(report),
            Response::Probe(report) => context.print_json(report),
            Response::Counters(report) => context.print_json(report),
            Response::Connections(report) => context.print_json(report),
            Response::Config(report) => context.print_json(report),
            Response::Check(report) => context.print_json(report),
            Response::Apply(report) => context.print_json(report),
            Response::Diff(report) => context.print_json(report),
            Response::History(report) => context.print_json(report),
            Response::Files(report) => context.print_json(report),
            Response::Console(report) => context.print_json(report),
            Response::Export(report) => context.print_json(report),
            Response::Version(report) => context.print_json(report),
            Response::Error { message } => return Err(Failure::Refused(message.clone())),
        }?;
    } else {
        context.print(&render::report(&response, &context.screen))?;
    }
    Ok(match response {
        Response::Check(CheckReport { ok: false, .. }) => Verdict::Bad,
        Response::Apply(report) => {
            let saved = report.persisted || report.state == ChangeState::Pending;
            match report.applied && report.failed.is_empty() && saved {
                true => Verdict::Good,
                false => Verdict::Bad,
            }
        }
        Response::Diff(report) if !report.check.ok => Verdict::Bad,
        Response::Path(report) if !report.passes => Verdict::Bad,
        Response::Drains(report) if report.persist_fault.is_some() => Verdict::Bad,
        _ => Verdict::Good,
    })
}

/// What it is about is known here: the agent is not asked.
fn explain_key(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let key = invocation.arguments.first().map(String::as_str);
    let report = lb_core::config::explain(key).map_err(Failure::UnknownKey)?;
    match invocation.json() {
        true => context.print_json(&report),
        false => context.print(&render::explain(&report, &context.screen)),
    }
}

fn help_for(words: &[String], context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let text = match words {
        [] => help::overview(&context.screen),
        words => {
            let (command, path) = command_of(words)?;
            help::about(command, &path, &context.screen)
        }
    };
    context.print(&text)
}

fn version(places: &Places) -> VersionReport {
    VersionReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        slot: places.init().and_then(|init| init.slot),
    }
}

fn log(invocation: &Invocation, wanted: Wanted, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let follow = invocation.has(tree::FOLLOW);
    if invocation.json() && follow {
        return Err(Failure::EndlessJson);
    }
    let mut log = Log::open()?;
    if invocation.json() {
        return context.print_json(&log.report(wanted)?);
    }
    let screen = context.terminal.then_some(&context.screen);
    log.show(wanted, context.out, screen)?;
    if follow {
        log.follow(wanted, context.interrupt, context.out, screen)?;
    }
    Ok(Verdict::Good)
}

/// A person at a terminal is asked: the console may be far away from the machine's switch.
fn end(power: Power, invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    // The appliance's own report, wherever the agent's socket was said to be: this is about process 1.
    let init = Path::new(INIT_REPORT);
    power::is_possible(power, init)?;
    let asks = context.terminal && context.input.is_terminal() && !invocation.has(tree::YES);
    if asks && !super::ask::yes(context, power.question())? {
        return Err(Failure::Refused(format!(
            "nothing was done: the answer was not yes; {} goes without the question",
            tree::YES
        )));
    }
    power::order(power, init)?;
    match pending_for(&context.places.pending_mark()) {
        Some(_) => context.say(&format!(
            "{} The configuration that is PENDING is given up by that; its text is kept (`config show returned`).",
            power.announcement()
        )),
        None => context.say(power.announcement()),
    }
}

fn resize(context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let found = size::ask(context.input, context.interrupt, context.out).map_err(Failure::Terminal)?;
    context.screen = Screen::terminal(usize::from(found.columns), context.screen.colour);
    let how = if found.answered {
        ""
    } else {
        " (the terminal does not answer; this is assumed)"
    };
    context.say(&format!("{} columns, {} lines{how}.", found.columns, found.rows))
}

/// A failure as it is shown to a human, with what init sees where the agent is not there. `who` stands in front.
pub fn explain(who: &str, failure: &Failure, places: &Places, screen: &Screen) -> String {
    let mut text = format!(
        "{}\n",
        wrap(&format!("{who}{}", failure.sentence()), screen.width, 0)
    );
    if failure.is_absence() {
        text.push_str(&render::without_agent(places.init().as_ref(), screen));
    }
    text
}

/// A failure as one JSON document.
pub fn explain_json(failure: &Failure, places: &Places) -> String {
    #[derive(Serialize)]
    struct Document {
        error: String,
    }
    let error = failure.sentence_with(places.init().as_ref());
    // A string always has a JSON form.
    serde_json::to_string(&Document { error }).unwrap_or_default() + "\n"
}
