//! The door through which every new configuration comes: what it changes is tried in a network that nobody meets, and what the kernel refuses
//! there is not put in force. A rehearsal that cannot be made keeps nobody from a change. Who comes meanwhile waits for his turn.
//! Must not: decide what is tried (that is `lb_core::rehearsal`), or carry out steps in the engine's thread (that is `stage`).

mod stage;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::config::Faults;
use lb_core::control::{Request, Response};
use lb_core::export::Export;
use lb_core::model::ServerKey;
use lb_core::observed::ServerActivity;
use lb_core::pool::Drains;
use lb_core::ports::RehearsalPort;
use lb_core::rehearsal::{self, Part, Refusal};
use log::Level;
use tokio::sync::oneshot;

use crate::apply::{self, Candidate};
use crate::engine::Engine;
use crate::preview::Asked;
use crate::store::CONFIG_FILE;
use crate::trial::Origin;

use stage::Refused;

/// A rehearsal takes some hundredths of a second, on a slow machine some tenths.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel has refused; or why that is not known.
pub type Outcome = Result<Refused, String>;

/// For who does not want to wait, or knows better.
pub const WITHOUT: &str = "--without-rehearsal";

/// What is done with a candidate that the kernel does not refuse.
pub enum Then {
    /// It becomes lb.toml, for good or for so many milliseconds.
    Put(Option<u64>),
    /// It is lb.toml already.
    Apply(Option<u64>),
    /// It comes with files and drains.
    Import(Box<(Export, Drains)>, Option<u64>),
    /// Only the verdict is wanted, of a file with this name.
    Tell(String),
    /// What it would change is wanted.
    Show(Box<Asked>),
}

/// Of servers, as they are known when somebody asks.
pub type Connections = BTreeMap<ServerKey, ServerActivity>;

/// Who waits for his turn.
struct Waiting {
    request: Request,
    connections: Connections,
    reply: oneshot::Sender<Response>,
}

pub struct Rehearsals {
    port: Arc<dyn RehearsalPort>,
    /// Of the last one that was begun.
    number: u64,
    current: Option<Current>,
    /// The thread of the last one has not ended yet.
    running: bool,
    waiting: VecDeque<Waiting>,
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
    /// Requests for changes and verdicts, one after the other: each is judged by what is in force when those before it have ended.
    pub fn in_turn(&mut self, request: Request, connections: Connections, reply: oneshot::Sender<Response>) {
        if self.rehearsals.current.is_some() {
            return self.rehearsals.waiting.push_back(Waiting {
                request,
                connections,
                reply,
            });
        }
        match request {
            Request::ConfigPut { text, terms } => self.put(text, &terms, reply),
            Request::ConfigApply { terms } => self.apply_file(&terms, reply),
            Request::ConfigRollback { kept, terms } => self.roll_back(kept, &terms, reply),
            Request::ConfigImport { text, terms } => self.import(text, &terms, reply),
            Request::ConfigCheck { text, name } => self.check_text(text, name, reply),
            Request::ConfigDiff {
                from,
                text,
                without_rehearsal,
                ..
            } => self.diff(from, text, (without_rehearsal, connections), reply),
            Request::ConfigImportDiff {
                text,
                without_rehearsal,
            } => self.import_diff(&text, (without_rehearsal, connections), reply),
            other => log::error!("no change: {other:?}"),
        }
    }

    /// Tries what is new of it, and goes on if the kernel takes that.
    pub fn rehearse(&mut self, mut candidate: Candidate, then: Then, reply: oneshot::Sender<Response>) {
        // Before the first pass nothing is known of the cards, and nothing works that could be broken.
        let known = self.reconcile.knows();
        let part = rehearsal::part(self.config.as_ref(), &candidate.read.0).filter(|_| known);
        let Some(part) = part else {
            return self.go_on(candidate, then, reply);
        };
        if candidate.without_rehearsal {
            candidate
                .check
                .warnings
                .push(not_tried(&format!("{WITHOUT} was given")));
            return self.go_on(candidate, then, reply);
        }
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
        let former = self.config.as_ref().map(|config| part.of_former(config));
        let tried = stage::Tried {
            part,
            former,
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
            Ok(refused) => match self.judge_refusals(&mut candidate, refused) {
                Some(faults) => self.refuse_candidate(candidate, &faults, then, reply),
                None => self.go_on(candidate, then, reply),
            },
            Err(why) => {
                let told = not_tried(&why);
                log::warn!("{told}");
                candidate.check.warnings.push(told);
                self.go_on(candidate, then, reply);
            }
        }
        while self.rehearsals.current.is_none()
            && let Some(next) = self.rehearsals.waiting.pop_front()
        {
            self.in_turn(next.request, next.connections, next.reply);
        }
    }

    /// What the kernel refuses of what is in force is no reason to keep that in force.
    fn judge_refusals(&self, candidate: &mut Candidate, refused: Refused) -> Option<Faults> {
        let is_known = |refusal: &Refusal| {
            let line = format!("{}: ", refusal.step);
            let mut known = self.reconcile.last_failed.iter();
            known.any(|failed| failed.starts_with(&line))
        };
        let (known, new): (Vec<Refusal>, Vec<Refusal>) = refused.new.into_iter().partition(is_known);
        let warnings = &mut candidate.check.warnings;
        warnings.extend(refused.as_before.into_iter().chain(known).map(|refusal| {
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
        then: Then,
        reply: oneshot::Sender<Response>,
    ) {
        let text = String::from_utf8_lossy(&candidate.text);
        let name = match &then {
            Then::Tell(name) => name,
            _ => CONFIG_FILE,
        };
        let mut check = apply::faulty(faults, name, &text);
        check.rendered.push_str(&format!(
            "This was tried in a network of its own. If it has to be on this machine all the same, the command takes {WITHOUT}.\n"
        ));
        check.warnings = candidate.check.warnings;
        let fault = match then {
            // The client may have gone: nobody misses the answer.
            Then::Tell(_) => return drop(reply.send(Response::Check(check))),
            Then::Show(asked) => return asked.refused(check, reply),
            Then::Apply(_) => None,
            Then::Put(_) | Then::Import(..) => {
                Some("nothing was written, because the kernel refuses the configuration".to_owned())
            }
        };
        let what = faults.iter().next().map_or("", |fault| fault.message.as_str());
        let why = &candidate.change.why;
        self.tell(
            Level::Warn,
            &format!("a configuration was not put in force ({why}): {what}"),
        );
        apply::refuse(check, fault.is_none(), fault, reply);
    }

    fn go_on(&mut self, candidate: Candidate, then: Then, reply: oneshot::Sender<Response>) {
        match then {
            Then::Put(window) => self.write_and_enact(candidate, window, reply),
            Then::Apply(Some(window)) => self.try_out(candidate, Origin::File, window, reply),
            Then::Apply(None) => self.enact_file(candidate, reply),
            Then::Import(with, window) => self.begin_import(*with, candidate, window, reply),
            // The client may have gone: nobody misses the answer.
            Then::Tell(_) => drop(reply.send(Response::Check(candidate.check))),
            Then::Show(asked) => self.look(*asked, candidate, reply),
        }
    }
}

fn not_tried(why: &str) -> String {
    format!("what the kernel thinks of it was not tried out before: {why}")
}
