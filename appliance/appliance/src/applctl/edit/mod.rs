//! `config edit`: the text of lb.toml on a screen of its own, with its faults marked while it is typed; leaving it shows what
//! has changed and asks. The parts: `text` (lines and undoing) and `glyphs` (how they are seen), `keys` (bytes to keys), `state`
//! and `edits` (keys to changes), `marks` (faults), `page` (questions), `view` (the picture), `session` (the terminal), `leaving`
//! (what becomes of the text) and `draft` (so that nothing is lost). Must not: judge the text, or write lb.toml; the agent does.

mod draft;
mod edits;
mod glyphs;
mod keys;
mod leaving;
mod marks;
mod page;
mod refused;
mod session;
mod state;
mod text;
mod view;

use lb_core::control::{Response, Terms};

use super::configure::{pending_for, read_config, show, text_of};
use super::execute::{Context, Verdict, answer};
use super::failure::Failure;
use super::parse::Invocation;
use super::tree;
use draft::Drafts;
use session::{Beginning, Ended, Session};

pub use refused::{forget_refused, keep_refused};

pub fn run(invocation: &Invocation, mut terms: Terms, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    if !context.terminal || !context.input.is_terminal() {
        return Err(Failure::NoTerminal);
    }
    let original = original(context)?;
    let window = invocation.text(tree::CONFIRM).map(str::to_owned);
    let drafts = Drafts::new(context);
    // It has been seen to be such a word.
    let kept = invocation.arguments.first().and_then(|word| word.parse().ok());
    // A text that is kept beside lb.toml, to begin with in its place.
    let other = kept.map(|kept| text_of(Some(kept), context)).transpose()?;
    let other = other.map(|file| file.text.into_bytes());
    terms.made = Some(kept.map_or_else(|| "edit".to_owned(), |kept| format!("edit of {kept}")));
    let beginning = Beginning { original, other };
    let mut session = Session::begin(beginning, drafts, terms, window, context)?;
    let outcome = session.run();
    let cleared = session.end();
    match outcome? {
        Ended::Applied(report) => {
            cleared?;
            answer(Response::Apply(*report), false, context)
        }
        Ended::Told(sentence) => {
            cleared?;
            context.say(&sentence)
        }
    }
}

/// The bytes of lb.toml, which need be no text. There may be none yet.
fn original(context: &Context<'_>) -> Result<Vec<u8>, Failure> {
    match show(None, context) {
        Ok(Response::Config(file)) if file.text.contains(char::REPLACEMENT_CHARACTER) => {
            // JSON cannot carry it; the agent's file is on this machine.
            read_config(std::path::Path::new(&file.path))
        }
        Ok(Response::Config(file)) => Ok(file.text.into_bytes()),
        Ok(_) => Err(Failure::Refused("the agent answered something else".to_owned())),
        Err(Failure::NoConfig(_)) => Ok(Vec::new()),
        Err(Failure::Refused(_)) if !context.places.config_file.exists() => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// What somebody has to know before the first key.
fn greeting(context: &Context<'_>, is_empty: bool) -> String {
    match pending_for(&context.places.pending_mark()) {
        Some(left) => format!(
            "A configuration is PENDING for {} s: nothing else can be applied until it is confirmed or has returned.",
            left.as_secs()
        ),
        None if is_empty => {
            "There is no lb.toml yet. Tab completes keys; `explain KEY` at the prompt tells about each."
                .to_owned()
        }
        None => String::new(),
    }
}
