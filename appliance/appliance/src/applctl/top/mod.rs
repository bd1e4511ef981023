//! `top`: who is how busy, as a picture that follows or as documents and text for scripts and logs. It asks the agent for
//! one reading per interval, of services as wholes and of one service's servers at most, and keeps the readings before
//! by itself. Must not: leave anything on the screen.

mod state;
mod view;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use lb_core::control::{CountersReport, Request, Response};
use lb_core::rates::History;
use rustix::termios::tcgetwinsize;

use super::client::{AskError, ask_within};
use super::console::size;
use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::fullscreen::{Canvas, Key, keys};
use super::input::{Came, Typing};
use super::parse::Invocation;
use super::tree;
use state::{Asks, State};

/// Seconds, without `--interval`: the kernel adds its counters up as often.
const INTERVAL: u64 = 2;
/// Longer waits would keep keys waiting.
const PATIENCE: Duration = Duration::from_secs(2);
/// The rest of an escape sequence comes within this, also over a slow line.
const ESCAPE_PATIENCE: Duration = Duration::from_millis(200);
/// The kernel may write onto the same screen: it is drawn anew from time to time.
const REPAINT: Duration = Duration::from_secs(60);
/// Services of a text.
const TEXT_LINES: usize = 50;

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let interval = invocation.number(tree::INTERVAL).unwrap_or(INTERVAL);
    let state = State::new(invocation.arguments.first().cloned(), interval);
    let live = context.terminal
        && context.input.is_terminal()
        && !invocation.json()
        && !invocation.has(tree::ONCE)
        && invocation.number(tree::COUNT).is_none();
    if live {
        let mut live = Live::begin(state, context)?;
        let outcome = live.follow();
        live.end().and(outcome)
    } else {
        batch(state, invocation, context)
    }
}

/// So many documents or texts, one per interval; the first when rates are known.
fn batch(mut state: State, invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let count = invocation.number(tree::COUNT).unwrap_or(1);
    let request = Request::Counters {
        service: state.opened.clone(),
    };
    let mut history = History::default();
    let mut done = 0;
    loop {
        let Response::Counters(mut report) = context.ask(&request)? else {
            return Err(Failure::Refused("the agent answered something else".to_owned()));
        };
        history.rate(&mut report);
        if history.spans_a_window() || report.read_at_ms == 0 {
            let text = match (invocation.json(), count) {
                (false, _) => view::text(&report, &mut state, context.screen.width, TEXT_LINES),
                (true, 1) => json(serde_json::to_string_pretty(&report))?,
                (true, _) => json(serde_json::to_string(&report))?,
            };
            let gap = if !invocation.json() && done > 0 { "\n" } else { "" };
            context.print(&format!("{gap}{text}"))?;
            done += 1;
        }
        if done >= count {
            return Ok(Verdict::Good);
        }
        let pause = Duration::from_secs(state.interval_s);
        if !context.interrupt.pause(pause).map_err(Failure::Terminal)? {
            return Err(AskError::Interrupted.into());
        }
    }
}

fn json(text: serde_json::Result<String>) -> Result<String, Failure> {
    text.map(|text| text + "\n")
        .map_err(|e| Failure::Output(e.into()))
}

/// The picture, and who looks at it.
struct Live<'a, 'b> {
    context: &'a mut Context<'b>,
    state: State,
    history: History,
    report: Option<CountersReport>,
    /// Why there is no newer report.
    trouble: Option<String>,
    size: (usize, usize),
    shown: Option<Canvas>,
    repaint_at: Instant,
}

impl<'a, 'b> Live<'a, 'b> {
    fn begin(state: State, context: &'a mut Context<'b>) -> Result<Live<'a, 'b>, Failure> {
        context
            .input
            .set_typing(Typing::Command)
            .map_err(Failure::Terminal)?;
        let found =
            size::establish(context.input, context.interrupt, context.out).map_err(Failure::Terminal)?;
        Ok(Live {
            context,
            state,
            history: History::default(),
            report: None,
            trouble: None,
            size: (usize::from(found.columns), usize::from(found.rows)),
            shown: None,
            repaint_at: Instant::now() + REPAINT,
        })
    }

    /// Until somebody leaves.
    fn follow(&mut self) -> Result<Verdict, Failure> {
        loop {
            let asked = Instant::now();
            if !self.read() {
                return Ok(Verdict::Good);
            }
            loop {
                self.paint()?;
                let next = asked + Duration::from_secs(self.state.interval_s);
                match self.keys(next)? {
                    Asks::Picture => {}
                    Asks::Redraw => self.redraw()?,
                    Asks::Reading => break,
                    Asks::Leave => return Ok(Verdict::Good),
                }
                if Instant::now() >= next {
                    break;
                }
            }
        }
    }

    /// A new reading. Without the agent the last one stays, and it is said why. False: Ctrl-C.
    fn read(&mut self) -> bool {
        let request = Request::Counters {
            service: self.state.opened.clone(),
        };
        let places = self.context.places;
        let failure = match ask_within(&places.socket, &request, self.context.interrupt, PATIENCE) {
            Ok(Response::Counters(mut report)) => {
                self.history.rate(&mut report);
                self.report = Some(report);
                self.trouble = None;
                return true;
            }
            Ok(Response::Error { message }) => {
                // The opened service has gone from the configuration.
                self.state.close();
                Failure::Refused(message)
            }
            Ok(_) => Failure::Refused("the agent answered something else".to_owned()),
            Err(AskError::Interrupted) => return false,
            Err(error) => error.into(),
        };
        self.trouble = Some(failure.sentence());
        true
    }

    fn paint(&mut self) -> Result<(), Failure> {
        if let Ok(size) = tcgetwinsize(&*self.context.input)
            && size.ws_col > 0
            && size.ws_row > 0
        {
            self.size = (usize::from(size.ws_col), usize::from(size.ws_row));
        }
        if Instant::now() >= self.repaint_at {
            self.shown = None;
        }
        if self.shown.is_none() {
            self.repaint_at = Instant::now() + REPAINT;
        }
        let mut canvas = view::draw(
            self.report.as_ref(),
            &mut self.state,
            self.trouble.as_deref(),
            self.size,
        );
        if let Some(mark) = self.context.input.tell_news() {
            canvas.mark(&mark);
        }
        let text = canvas.delta(self.shown.as_ref(), self.context.screen.colour);
        self.shown = Some(canvas);
        self.send(&text)
    }

    fn send(&mut self, text: &str) -> Result<(), Failure> {
        let out = &mut self.context.out;
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Failure::Output)
    }

    /// What the next keys ask for, at the latest at `next`.
    fn keys(&mut self, next: Instant) -> Result<Asks, Failure> {
        let lines = view::list_lines(self.report.as_ref(), self.size.1);
        let mut pressed = false;
        while let Some(key) = keys::take(self.context.input.pending(), false) {
            pressed = true;
            let asks = self.press(key, lines);
            if asks != Asks::Picture {
                return Ok(asks);
            }
        }
        if pressed {
            return Ok(Asks::Picture);
        }
        let left = next.saturating_duration_since(Instant::now());
        let begun = !self.context.input.pending().is_empty();
        let limit = if begun { left.min(ESCAPE_PATIENCE) } else { left };
        let came = self.context.input.more(self.context.interrupt, Some(limit));
        match came.map_err(Failure::Terminal)? {
            Came::Ended => Err(Failure::Output(io::Error::other("the terminal has gone"))),
            Came::Interrupted => Ok(Asks::Leave),
            Came::Unlocked => Ok(Asks::Redraw),
            Came::TimedOut if begun => match keys::take(self.context.input.pending(), true) {
                Some(key) => Ok(self.press(key, lines)),
                None => Ok(Asks::Picture),
            },
            Came::TimedOut | Came::Bytes => Ok(Asks::Picture),
        }
    }

    fn press(&mut self, key: Key, lines: usize) -> Asks {
        self.state.press(key, self.report.as_ref(), lines)
    }

    /// The terminal may have another size by now; a serial line does not tell.
    fn redraw(&mut self) -> Result<(), Failure> {
        let found = size::ask(self.context.input, self.context.interrupt, self.context.out);
        let found = found.map_err(Failure::Terminal)?;
        self.size = (usize::from(found.columns), usize::from(found.rows));
        self.shown = None;
        Ok(())
    }

    /// Leaves an empty screen.
    fn end(&mut self) -> Result<(), Failure> {
        let news = self.context.input.end_telling().unwrap_or_default();
        self.send(&format!("\x1b[0m\x1b[H\x1b[2J{news}"))
    }
}
