//! The editor on its terminal: reads keys, paints when the line is quiet, has the text judged when nobody types, and keeps a
//! draft. Must not: know what keys do, or what becomes of the text.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use lb_core::control::{ApplyReport, Terms};
use lb_core::files::own_file;

use super::draft::{Draft, Drafts, Left};
use super::greeting;
use super::keys::Decoder;
use super::marks::Marks;
use super::page::Question;
use super::state::{Asks, Editor, Mode, Origin};
use super::view;
use crate::applctl::console::size::{self, Found};
use crate::applctl::execute::Context;
use crate::applctl::failure::Failure;
use crate::applctl::fullscreen::Canvas;
use crate::applctl::input::{Came, Typing};
use crate::applctl::interrupt::Interrupt;
use crate::applctl::render::Screen;

/// The line is quiet when nothing has come for so long: two bytes of a paste are nearer at 9,600 baud too.
const QUIET: Duration = Duration::from_millis(20);
/// The rest of an escape sequence comes within this, also over a slow line.
const ESCAPE_PATIENCE: Duration = Duration::from_millis(200);
/// The end of a paste was lost when nothing has come for so long.
const PASTE_PATIENCE: Duration = Duration::from_secs(2);
/// From the last key to the judgement of the text.
const JUDGE_AFTER: Duration = Duration::from_millis(300);
/// From a change to its draft on the disk: what a power cut costs at most.
const KEEP_AFTER: Duration = Duration::from_secs(10);
/// The kernel may write onto the same screen: it is drawn anew from time to time.
const REPAINT: Duration = Duration::from_secs(60);
/// A terminal tells which bytes are pasted; one that does not know this ignores it.
const PASTES_ON: &str = "\x1b[?2004h";
const PASTES_OFF: &str = "\x1b[?2004l";
const CLEAR: &str = "\x1b[0m\x1b[H\x1b[2J";

/// How an edit ended.
#[derive(Debug)]
pub enum Ended {
    Applied(Box<ApplyReport>),
    /// Otherwise, in a sentence.
    Told(String),
}

/// What an edit begins with.
#[derive(Debug)]
pub struct Beginning {
    /// lb.toml.
    pub original: Vec<u8>,
    /// The text in its place.
    pub other: Option<Vec<u8>>,
}

pub struct Session<'a, 'b> {
    pub context: &'a mut Context<'b>,
    pub editor: Editor,
    /// lb.toml as the edit began with it.
    pub original: Vec<u8>,
    pub drafts: Drafts,
    pub terms: Terms,
    /// `--confirm`.
    pub window: Option<String>,
    /// What was found at the beginning.
    pub draft: Option<Draft>,
    ending: Interrupt,
    decoder: Decoder,
    size: (usize, usize),
    announces_pastes: bool,
    shown: Option<Canvas>,
    repaint_at: Instant,
    judge_at: Option<Instant>,
    keep_at: Option<Instant>,
    /// The revision of the text that was judged last, and of the one that was kept.
    pub judged: Option<u64>,
    kept: u64,
}

impl<'a, 'b> Session<'a, 'b> {
    pub fn begin(
        beginning: Beginning,
        drafts: Drafts,
        mut terms: Terms,
        window: Option<String>,
        context: &'a mut Context<'b>,
    ) -> Result<Session<'a, 'b>, Failure> {
        // Whoever leaves is asked for it.
        terms.confirm_ms = None;
        let ending = Interrupt::ending().map_err(Failure::Terminal)?;
        let found = size::renew(context.input, &ending, context.out).map_err(Failure::Terminal)?;
        let Beginning { original, other } = beginning;
        let mut editor = Editor::new(other.as_ref().unwrap_or(&original));
        if other.is_some_and(|other| other != original) {
            editor.origin = Origin::Other;
        }
        editor.say(&greeting(context, original.is_empty()));
        editor.files = beside(&context.places.config_file);
        let mut session = Session {
            editor,
            original,
            draft: drafts.find(),
            drafts,
            terms,
            window,
            context,
            ending,
            decoder: Decoder::default(),
            size: cells(found),
            announces_pastes: found.answered,
            shown: None,
            repaint_at: Instant::now(),
            judge_at: Some(Instant::now()),
            keep_at: None,
            judged: None,
            kept: 0,
        };
        session.offer_draft();
        session.take_keys()?;
        if session.announces_pastes {
            session.send(PASTES_ON)?;
        }
        Ok(session)
    }

    fn offer_draft(&mut self) {
        let Some(draft) = &self.draft else { return };
        if draft.text == self.original {
            self.drafts.forget();
            self.draft = None;
            return;
        }
        let how = match draft.left {
            Left::OnPurpose => "is the draft that was kept when `config edit` was left",
            Left::Refused => "is what `config put` refused because of its faults",
            Left::Unfinished => "was left behind by an edit that did not end",
        };
        let title = format!("{} {how}. From lb.toml to it:", draft.path.display());
        let page = self.page(Question::Draft, &title, &draft.text);
        self.editor.mode = Mode::Page(page);
    }

    /// Every byte is a key; nothing interrupts.
    pub fn take_keys(&mut self) -> Result<(), Failure> {
        let set = self.context.input.set_typing(Typing::Keys);
        set.map_err(Failure::Terminal)
    }

    /// Until somebody leaves. Whatever ends it, the text is not lost.
    pub fn run(&mut self) -> Result<Ended, Failure> {
        let outcome = self.edit();
        if outcome.is_err() && self.editor.is_changed() {
            // Nobody is left to tell it to if this fails as well.
            let _ = self
                .drafts
                .keep(&self.editor.text.bytes(), &self.original, Left::Unfinished);
        }
        outcome
    }

    fn edit(&mut self) -> Result<Ended, Failure> {
        loop {
            if let Some(ended) = self.press_all(false)? {
                return Ok(ended);
            }
            let begun = !self.context.input.pending().is_empty();
            match self.wait(if begun { ESCAPE_PATIENCE } else { QUIET })? {
                Came::TimedOut if begun => {
                    if let Some(ended) = self.press_all(true)? {
                        return Ok(ended);
                    }
                }
                Came::TimedOut => self.rest()?,
                _ => {}
            }
        }
    }

    /// All keys that have come.
    fn press_all(&mut self, late: bool) -> Result<Option<Ended>, Failure> {
        while let Some(typed) = self.decoder.take(self.context.input.pending(), late) {
            let now = Instant::now();
            self.judge_at = Some(now + JUDGE_AFTER);
            self.keep_at.get_or_insert(now + KEEP_AFTER);
            let ended = match self.editor.press(typed) {
                Asks::Picture => None,
                Asks::Redraw => {
                    self.redraw()?;
                    None
                }
                Asks::Leave => self.leave(),
                Asks::Answered(question, letter) => self.answered(question, letter)?,
                Asks::Confirm(time) => self.confirm(&time)?,
            };
            if ended.is_some() {
                return Ok(ended);
            }
        }
        Ok(None)
    }

    fn wait(&mut self, limit: Duration) -> Result<Came, Failure> {
        let came = self.context.input.more(&self.ending, Some(limit));
        match came.map_err(Failure::Terminal)? {
            Came::Ended | Came::Interrupted => {
                Err(Failure::Output(io::Error::other("the terminal has gone")))
            }
            Came::Unlocked => {
                self.redraw()?;
                if self.announces_pastes {
                    self.send(PASTES_ON)?;
                }
                Ok(Came::Bytes)
            }
            came => Ok(came),
        }
    }

    /// Nothing comes: paints, and does what is due, until something comes again.
    fn rest(&mut self) -> Result<(), Failure> {
        self.decoder.quiet();
        self.paint()?;
        let mut quiet_since = Instant::now();
        loop {
            if self.decoder.is_pasting() && quiet_since.elapsed() >= PASTE_PATIENCE {
                self.decoder.give_up_paste();
            }
            let now = Instant::now();
            if self.judge_at.is_some_and(|at| at <= now) {
                self.judge();
                self.paint()?;
            }
            if self.keep_at.is_some_and(|at| at <= now) {
                self.keep();
                self.paint()?;
            }
            // The mark of the log may be another.
            if self.repaint_at <= now || self.context.input.has_untold() {
                if self.repaint_at <= now {
                    self.shown = None;
                }
                self.paint()?;
            }
            let paste = self.decoder.is_pasting().then(|| quiet_since + PASTE_PATIENCE);
            let due = [self.judge_at, self.keep_at, paste, Some(self.repaint_at)];
            let due = due.into_iter().flatten().min().unwrap_or(now);
            match self.wait(due.saturating_duration_since(Instant::now()))? {
                Came::TimedOut => quiet_since = quiet_since.min(Instant::now()),
                _ => return Ok(()),
            }
        }
    }

    fn judge(&mut self) {
        self.judge_at = None;
        let revision = self.editor.text.revision();
        if self.judged.replace(revision) != Some(revision) {
            self.editor.judged(Marks::of(&self.editor.text.bytes()));
        }
    }

    fn keep(&mut self) {
        self.keep_at = None;
        let revision = self.editor.text.revision();
        if std::mem::replace(&mut self.kept, revision) == revision {
            return;
        }
        if !self.editor.is_changed() {
            self.drafts.forget();
            return;
        }
        let bytes = self.editor.text.bytes();
        if let Err(why) = self.drafts.keep(&bytes, &self.original, Left::Unfinished) {
            self.editor.message = format!("No draft is kept: {why}");
        }
    }

    pub fn paint(&mut self) -> Result<(), Failure> {
        if self.shown.is_none() {
            self.repaint_at = Instant::now() + REPAINT;
        }
        let (mut canvas, (row, column)) = view::draw(&mut self.editor, "lb.toml", self.size);
        if let Some(mark) = self.context.input.tell_news() {
            canvas.mark(&mark);
        }
        let mut text = match self.shown.as_ref() == Some(&canvas) {
            true => String::new(),
            false => canvas.delta(self.shown.as_ref(), self.context.screen.colour),
        };
        self.shown = Some(canvas);
        text.push_str(&format!("\x1b[{};{}H", row + 1, column + 1));
        self.send(&text)
    }

    pub fn columns(&self) -> usize {
        self.size.0
    }

    fn send(&mut self, text: &str) -> Result<(), Failure> {
        let out = &mut self.context.out;
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Failure::Output)
    }

    /// The terminal may have another size by now; a serial line does not tell.
    fn redraw(&mut self) -> Result<(), Failure> {
        let found = size::renew(self.context.input, &self.ending, self.context.out);
        let found = found.map_err(Failure::Terminal)?;
        self.size = cells(found);
        self.shown = None;
        self.take_keys()
    }

    /// Leaves an empty screen.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.context.screen = Screen::terminal(self.size.0, self.context.screen.colour);
        let set = self.context.input.set_typing(Typing::Command);
        if self.announces_pastes {
            self.send(PASTES_OFF)?;
        }
        let news = self.context.input.end_telling().unwrap_or_default();
        self.send(&format!("{CLEAR}{news}"))?;
        set.map_err(Failure::Terminal)
    }
}

fn cells(found: Found) -> (usize, usize) {
    (usize::from(found.columns), usize::from(found.rows))
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What somebody has put beside lb.toml. Where that cannot be told, nothing is offered.
fn beside(config: &Path) -> Vec<String> {
    let Some(entries) = config.parent().and_then(|directory| directory.read_dir().ok()) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| own_file(name).is_none()).collect();
    names.sort();
    names
}
