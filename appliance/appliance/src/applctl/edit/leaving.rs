//! Leaving the editor: the text is checked and compared, it is asked what becomes of it, and that is done. As long as it is not
//! in force it stays in the editor, or in a draft. Must not: draw.

use lb_core::config::{fingerprint, time};
use lb_core::confirm::WINDOW;
use lb_core::control::{ApplyReport, CheckReport, Request, Response};

use super::draft::Left;
use super::original;
use super::page::{Page, Question, difference};
use super::session::{Ended, Session, lossy};
use super::state::{Editor, Line, Mode, Origin, Prompt};
use crate::applctl::failure::Failure;
use crate::applctl::input::Typing;
use crate::applctl::put;
use crate::applctl::render::{Tone, some, wrap};

/// Until a configuration returns, if nobody says another time.
const WINDOW_OFFERED: &str = "2m";

impl Session<'_, '_> {
    /// Asks, unless there is nothing to ask.
    pub fn leave(&mut self) -> Option<Ended> {
        let text = self.editor.text.bytes();
        if text == self.original {
            self.drafts.forget();
            return Some(Ended::Told("Nothing was changed.".to_owned()));
        }
        let page = match original(self.context) {
            Ok(theirs) if theirs != self.original => self.elsewhere(&theirs),
            Ok(_) => self.verdict(&text),
            Err(failure) => {
                self.editor.say(&failure.sentence());
                return None;
            }
        };
        self.editor.mode = Mode::Page(page);
        None
    }

    /// Somebody else was faster.
    fn elsewhere(&self, theirs: &[u8]) -> Page {
        let title =
            "Somebody else has changed lb.toml since you began. Their change, which yours would take back:";
        self.page(Question::Elsewhere, title, theirs)
    }

    fn verdict(&self, text: &[u8]) -> Page {
        let check = put::check(text, "lb.toml", self.context.places.config_directory());
        if !check.ok {
            return faulty(&check);
        }
        let mut page = self.page(Question::Ready, "No faults. What is changed:", text);
        for warning in &check.warnings {
            let wrapped = wrap(&format!("Warning: {warning}"), self.columns(), 2);
            page.lines
                .extend(wrapped.lines().map(|line| (line.to_owned(), Tone::Doubtful)));
        }
        page
    }

    /// A question about what this text changes of lb.toml.
    pub fn page(&self, question: Question, title: &str, text: &[u8]) -> Page {
        let (lines, more) = lb_agent::text_difference(&lossy(&self.original), &lossy(text));
        Page::new(question, title, difference(&lines, more))
    }

    pub fn answered(&mut self, question: Question, letter: char) -> Result<Option<Ended>, Failure> {
        self.editor.message.clear();
        match (question, letter) {
            (Question::Draft | Question::DropDraft, 'c') => self.continue_draft(),
            (Question::Draft | Question::DropDraft, 'l') => {
                return Ok(Some(Ended::Told(
                    "Nothing was changed; the draft is kept.".to_owned(),
                )));
            }
            (Question::Draft, _) => self.ask_about_draft(),
            (Question::DropDraft, _) => self.drop_draft(),
            (Question::Ready, 'a') => return self.apply(),
            (Question::Ready, 'c') => {
                let window = self.window.clone().unwrap_or_else(|| WINDOW_OFFERED.to_owned());
                self.editor.mode = Mode::Prompt(Prompt::Confirm, Line::offered(window));
            }
            (Question::Elsewhere, 'o') => {
                self.original = original(self.context)?;
                return Ok(self.leave());
            }
            (Question::ThrowAway, 'y') => {
                self.drafts.forget();
                return Ok(Some(Ended::Told("Nothing was changed.".to_owned())));
            }
            (_, 't') => self.ask_again(),
            (_, 'd') => return Ok(self.leave_draft()),
            _ => {}
        }
        Ok(None)
    }

    fn continue_draft(&mut self) {
        let Some(draft) = self.draft.take() else { return };
        let files = std::mem::take(&mut self.editor.files);
        self.editor = Editor::new(&draft.text);
        self.editor.files = files;
        self.editor.origin = Origin::Draft;
        self.judged = None;
        if draft.over != fingerprint(&self.original) {
            self.editor.say(
                "lb.toml has been changed since this draft was begun; leaving shows the whole difference.",
            );
        }
        // From now on it is this terminal's own.
        if self
            .drafts
            .keep(&draft.text, &self.original, Left::Unfinished)
            .is_ok_and(|path| path != draft.path)
        {
            draft.remove();
        }
    }

    fn ask_about_draft(&mut self) {
        let Some(draft) = &self.draft else { return };
        let page = self.page(Question::DropDraft, "This draft would be lost:", &draft.text);
        self.editor.mode = Mode::Page(page);
    }

    fn drop_draft(&mut self) {
        if let Some(draft) = self.draft.take() {
            draft.remove();
        }
        self.editor.say("The draft is gone.");
    }

    /// What was typed is not thrown away by one letter.
    fn ask_again(&mut self) {
        let text = self.editor.text.bytes();
        let page = self.page(Question::ThrowAway, "This would be lost:", &text);
        self.editor.mode = Mode::Page(page);
    }

    fn leave_draft(&mut self) -> Option<Ended> {
        let bytes = self.editor.text.bytes();
        match self.drafts.keep(&bytes, &self.original, Left::OnPurpose) {
            Ok(path) => Some(Ended::Told(format!(
                "Nothing was changed. The draft is kept as {}; `config edit` goes on with it.",
                path.display()
            ))),
            Err(why) => {
                self.editor.message = format!("The draft cannot be kept: {why}. Edit on, or throw it away.");
                None
            }
        }
    }

    /// The time that was typed, and with it the text.
    pub fn confirm(&mut self, words: &str) -> Result<Option<Ended>, Failure> {
        let window = time(words.trim()).filter(|window| WINDOW.contains(window));
        let Some(window) = window else {
            self.editor
                .say(&format!("`{words}` is no time from 1s to 1h, such as 2m."));
            self.editor.mode = Mode::Prompt(Prompt::Confirm, Line::typed(words.to_owned()));
            return Ok(None);
        };
        self.terms.confirm_ms = u64::try_from(window.as_millis()).ok();
        self.apply()
    }

    fn apply(&mut self) -> Result<Option<Ended>, Failure> {
        let bytes = self.editor.text.bytes();
        // The draft comes first: applying may cost the way to this terminal.
        let kept = self.drafts.keep(&bytes, &self.original, Left::Unfinished);
        self.editor.say("Applying ...");
        self.paint()?;
        let mut terms = self.terms.clone();
        terms.over = Some(fingerprint(&self.original));
        let request = match put::request(bytes, terms) {
            Ok(request) => request,
            Err(report) => {
                self.editor.mode = Mode::Page(faulty(&report.check));
                return Ok(None);
            }
        };
        let answer = self.ask(&request)?;
        self.editor.message.clear();
        match answer {
            Ok(Response::Apply(report)) if report.applied => {
                self.drafts.forget();
                return Ok(Some(Ended::Applied(Box::new(report))));
            }
            Ok(Response::Apply(report)) if report.check.ok => self.editor.message = unsaved(&report),
            Ok(Response::Apply(report)) => self.editor.mode = Mode::Page(faulty(&report.check)),
            Ok(_) => self
                .editor
                .say("The agent answered something else; edit on, or leave a draft."),
            Err(failure) => self.refused(&failure),
        }
        self.terms.confirm_ms = None;
        if let Err(why) = kept {
            self.editor.message.push_str(&format!(" No draft is kept: {why}"));
        }
        Ok(None)
    }

    /// Ctrl-C ends the wait for the answer.
    fn ask(&mut self, request: &Request) -> Result<Result<Response, Failure>, Failure> {
        let set = self.context.input.set_typing(Typing::Command);
        set.map_err(Failure::Terminal)?;
        self.context.interrupt.clear();
        let answer = self.context.ask(request);
        self.take_keys()?;
        Ok(answer)
    }

    fn refused(&mut self, failure: &Failure) {
        if let Ok(theirs) = original(self.context)
            && theirs != self.original
        {
            self.editor.mode = Mode::Page(self.elsewhere(&theirs));
            return;
        }
        self.editor.message = format!("Not applied: {}", failure.sentence());
    }
}

/// It has no faults, but the disk did not take it.
fn unsaved(report: &ApplyReport) -> String {
    let why = report
        .persist_fault
        .as_deref()
        .unwrap_or("the agent does not say why");
    format!(
        "Not applied: it could not be saved: {}.",
        why.trim_end_matches('.')
    )
}

fn faulty(check: &CheckReport) -> Page {
    let title = format!("{}: this cannot be applied.", some(check.faults.len(), "fault"));
    let lines = check.rendered.lines().map(|line| (line.to_owned(), Tone::Plain));
    Page::new(Question::Faulty, &title, lines.collect())
}
