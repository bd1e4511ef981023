//! The door through which every new configuration comes: what it changes is tried in a network that nobody meets, and what the kernel refuses
//! there is not put in force. A rehearsal that cannot be made keeps nobody from a change. Who comes meanwhile waits for his turn.
//! Must not: decide what is tried (that is `lb_core::rehearsal`), or carry out steps in the engine's thread (that is `stage`).

mod stage;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::config::Faults;
use lb_core::control::{Request, Response};
use lb_core::export::Export;
use lb_core::pool::Drains;
use lb_core::ports::RehearsalPort;
use lb_core::rehearsal::{self, Part, Refusal};
use log::Level;
use tokio::sync::oneshot;

use crate::apply::{self, Candidate};
use crate::engine::Engine;
use crate::trial::Origin;

/// A rehearsal takes some hundredths of a second, on a slow machine some tenths.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel has refused; or why that is not known.
pub type Outcome = Result<Vec<Refusal>, String>;

/// What is done with a candidate that the kernel does not refuse.
pub enum Then {
    /// It becomes lb.toml, for good or for so many milliseconds.
    Put(Option<u64>),
    /// It is lb.toml already.
    Apply(Option<u64>),
    /// It comes with files and drains.
    Import(Box<(Export, Drains)>, Option<u64>),
    /// Only the verdict is wanted.
    Tell,
}

pub struct Rehearsals {
    port: Arc<dyn RehearsalPort>,
    /// Of the last one that was begun.
    number: u64,
    current: Option<Current>,
    /// The thread of the last one has not ended yet.
    running: bool,
    waiting: VecDeque<(Request, oneshot::Sender<Response>)>,
}

struct Current {
    until: Instant,
    candidate: Candidate,
    then: Then,
    reply: oneshot::Sender<Response>,
}

impl Rehearsals {
    pub fn new(port: Arc<dyn RehearsalPort>) -> Rehearsals {
        Rehearsals {
            port,
            number: 0,
            current: None,
            running: false,
            waiting: VecDeque::new(),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.until)
    }
}

impl Engine {
    /// Requests for changes, one after the other: each is judged by what is in force when those before it have ended.
    pub fn in_turn(&mut self, request: Request, reply: oneshot::Sender<Response>) {
        if self.rehearsals.current.is_some() {
            return self.rehearsals.waiting.push_back((request, reply));
        }
        match request {
            Request::ConfigPut { text, terms } => self.put(text, &terms, reply),
            Request::ConfigApply { terms } => self.apply_file(&terms, reply),
            Request::ConfigRollback { kept, terms } => self.roll_back(kept, &terms, reply),
            Request::ConfigImport { text, terms } => self.import(text, &terms, reply),
            Request::ConfigCheck { text } => self.check_text(text, reply),
            other => log::error!("no change: {other:?}"),
        }
    }

    /// Tries what is new of it, and goes on if the kernel takes that.
    pub fn rehearse(&mut self, candidate: Candidate, then: Then, reply: oneshot::Sender<Response>) {
        // Before the first pass nothing is known of the cards, and nothing works that could be broken.
        let known = self.reconcile.knows();
        let part = rehearsal::part(self.config.as_ref(), &candidate.read.0).filter(|_| known);
        let Some(part) = part else {
            return self.go_on(candidate, then, reply);
        };
        let until = Instant::now() + PATIENCE;
        let begun = self.begin_rehearsal(part, until);
        self.rehearsals.current = Some(Current {
            until,
            candidate,
            then,
            reply,
        });
        if let Err(why) = begun {
            self.conclude(Err(why));
        }
    }

    fn begin_rehearsal(&mut self, part: Part, until: Instant) -> Result<(), String> {
        let rehearsals = &mut self.rehearsals;
        if rehearsals.running {
            return Err("one that was begun before has not ended yet".to_owned());
        }
        rehearsals.number += 1;
        let cards = rehearsal::stand_ins(&self.observed.links, &self.own_mtus.own);
        let port = Arc::clone(&rehearsals.port);
        let tried = stage::Tried {
            part,
            cards,
            machine: self.machine,
            until,
        };
        stage::start(rehearsals.number, port, tried, self.events.clone()).map_err(|e| e.to_string())?;
        rehearsals.running = true;
        Ok(())
    }

    pub fn rehearsed(&mut self, number: u64, outcome: Outcome) {
        if number != self.rehearsals.number {
            return;
        }
        self.rehearsals.running = false;
        self.conclude(outcome);
    }

    pub fn attend_rehearsal(&mut self, now: Instant) {
        if self.rehearsals.deadline().is_some_and(|until| now >= until) {
            self.conclude(Err(format!("it has not ended within {} s", PATIENCE.as_secs())));
        }
    }

    /// One that was given up has nobody who waits for it.
    fn conclude(&mut self, outcome: Outcome) {
        let Some(current) = self.rehearsals.current.take() else {
            return;
        };
        let Current {
            mut candidate,
            then,
            reply,
            ..
        } = current;
        match outcome {
            Ok(refusals) => match self.judge_refusals(&mut candidate, refusals) {
                Some(faults) => self.refuse_candidate(candidate, &faults, &then, reply),
                None => self.go_on(candidate, then, reply),
            },
            Err(why) => {
                let told = format!("what the kernel thinks of it was not tried out before: {why}");
                log::warn!("{told}");
                candidate.check.warnings.push(told);
                self.go_on(candidate, then, reply);
            }
        }
        while self.rehearsals.current.is_none()
            && let Some((request, reply)) = self.rehearsals.waiting.pop_front()
        {
            self.in_turn(request, reply);
        }
    }

    /// What the kernel refuses of what is in force is no reason to keep that in force.
    fn judge_refusals(&self, candidate: &mut Candidate, refusals: Vec<Refusal>) -> Option<Faults> {
        let is_known = |refusal: &Refusal| {
            let line = format!("{}: ", refusal.step);
            let mut known = self.reconcile.last_failed.iter();
            known.any(|failed| failed.starts_with(&line))
        };
        let (known, new): (Vec<Refusal>, Vec<Refusal>) = refusals.into_iter().partition(is_known);
        let warnings = &mut candidate.check.warnings;
        warnings.extend(known.into_iter().map(|refusal| {
            format!(
                "the kernel refuses `{}` as before: {}",
                refusal.step, refusal.fault
            )
        }));
        let text = String::from_utf8_lossy(&candidate.text);
        rehearsal::faults(&text, &candidate.read.0, &new)
    }

    fn refuse_candidate(
        &mut self,
        candidate: Candidate,
        faults: &Faults,
        then: &Then,
        reply: oneshot::Sender<Response>,
    ) {
        let text = String::from_utf8_lossy(&candidate.text);
        let mut check = apply::faulty(faults, &text);
        check.warnings = candidate.check.warnings;
        if let Then::Tell = then {
            return drop(reply.send(Response::Check(check)));
        }
        let what = faults.iter().next().map_or("", |fault| fault.message.as_str());
        let why = &candidate.change.why;
        self.tell(
            Level::Warn,
            &format!("a configuration was not put in force ({why}): {what}"),
        );
        match then {
            Then::Apply(_) => apply::refuse(check, true, None, reply),
            _ => {
                let fault = "nothing was written, because the kernel refuses the configuration".to_owned();
                apply::refuse(check, false, Some(fault), reply);
            }
        }
    }

    fn go_on(&mut self, candidate: Candidate, then: Then, reply: oneshot::Sender<Response>) {
        if let Then::Put(_) | Then::Apply(_) = then
            && let Err(why) = self.give_up_import_before()
        {
            let message = format!("nothing was changed: {why}");
            return drop(reply.send(Response::Error { message }));
        }
        match then {
            Then::Put(window) => self.write_and_enact(candidate, window, reply),
            Then::Apply(Some(window)) => self.try_out(candidate, Origin::File, window, reply),
            Then::Apply(None) => self.enact(candidate, reply),
            Then::Import(with, window) => self.begin_import(*with, candidate, window, reply),
            // The client may have gone: nobody misses the answer.
            Then::Tell => drop(reply.send(Response::Check(candidate.check))),
        }
    }
}
