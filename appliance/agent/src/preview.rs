//! `config diff`: what a configuration would change, planned as if it were applied, and by the same code; and how the kernel differs
//! from what is in force. Must not: change anything.

use std::time::{Duration, Instant};

use lb_core::config::{self, Config, changed};
use lb_core::control::{ChangeReport, CheckReport, DiffReport, Kept, Response};
use lb_core::desired;
use lb_core::difference::{Known, difference};
use lb_core::export::FILE;
use lb_core::model::ServerKey;
use lb_core::observed::{Observed, ServerActivity};
use lb_core::plan::{self, Step};
use lb_core::pool::Drains;
use lb_core::ports::KernelError;
use similar::TextDiff;
use tokio::sync::oneshot;

use crate::apply::{self, Candidate, Read};
use crate::by_listen;
use crate::engine::{Engine, Event};
use crate::import::Incoming;
use crate::kernel_thread::Job;
use crate::reconcile::serving;
use crate::rehearsals::{Connections, Then};
use crate::store::CONFIG_FILE;

/// More lines than anybody reads are counted.
const MOST_STEPS: usize = 1_000;
const MOST_LINES: usize = 5_000;
/// Lines around each difference.
const CONTEXT: usize = 3;
/// Two large texts that have little in common are compared less exactly after this.
const PATIENCE: Duration = Duration::from_secs(2);

/// A difference that somebody asked for.
#[derive(Debug)]
pub struct Asked {
    report: DiffReport,
    /// The text to compare with.
    former: Option<Vec<u8>>,
    connections: Connections,
    /// What else would change with it.
    besides: Vec<ChangeReport>,
    /// What would be set aside then, if that changes with it.
    drains: Option<Drains>,
}

/// The same while the kernel is read for it.
#[derive(Debug)]
pub struct Looking {
    asked: Asked,
    read: Read,
    text: Vec<u8>,
    reply: oneshot::Sender<Response>,
}

impl Asked {
    /// The kernel does not take what it is about.
    pub fn refused(mut self, check: CheckReport, reply: oneshot::Sender<Response>) {
        self.report.check = check;
        answer(self.report, None, reply);
    }
}

impl Engine {
    /// Of two texts that are kept.
    pub fn diff_of_two(&self, from: Kept, to: Kept, reply: oneshot::Sender<Response>) {
        let old = self.kept_text(from);
        match old.and_then(|old| Ok((old, self.kept_text(to)?))) {
            Ok(texts) => answer(between(&from.to_string(), &to.to_string()), Some(texts), reply),
            Err(message) => refuse(message, reply),
        }
    }

    /// Of lb.toml, of the text `from`, or of one that is nowhere yet, to what is in force.
    pub fn diff(
        &mut self,
        from: Option<Kept>,
        text: Option<String>,
        how: (bool, Connections),
        reply: oneshot::Sender<Response>,
    ) {
        let (name, text) = match (text, from) {
            (Some(text), _) => ("lb.toml as edited".to_owned(), Ok(text.into_bytes())),
            (None, Some(kept)) => (kept.to_string(), self.kept_text(kept)),
            (None, None) => (CONFIG_FILE.to_owned(), self.file()),
        };
        match text {
            Ok(text) => self.diff_to(&name, text, how, reply),
            Err(message) => refuse(message, reply),
        }
    }

    fn diff_to(
        &mut self,
        name: &str,
        text: Vec<u8>,
        (without_rehearsal, connections): (bool, Connections),
        reply: oneshot::Sender<Response>,
    ) {
        let in_force = match &self.pending {
            Some(_) => "in force, PENDING",
            None => "in force",
        };
        let mut report = between(in_force, name);
        let (read, mut check) = apply::check(&text, self.in_force());
        let Some(read) = read else {
            report.check = check;
            return answer(report, None, reply);
        };
        check.warnings = apply::warnings(&read.0, |name| self.trust.has(name));
        let former = self.text_in_force();
        if former.is_none() {
            report.text_fault = Some(match self.config.is_some() {
                true => {
                    "the text of what is in force is not on the disk, so that the texts cannot be compared"
                        .to_owned()
                }
                false => "nothing is in force, so that there is no text to compare with".to_owned(),
            });
        }
        let asked = Asked {
            report,
            former,
            connections,
            besides: Vec::new(),
            drains: None,
        };
        let candidate = Candidate {
            without_rehearsal,
            ..Candidate::only_shown(read, check, text)
        };
        self.rehearse(candidate, Then::Show(Box::new(asked)), reply);
    }

    /// The same of an import.
    pub fn diff_import(
        &mut self,
        incoming: Incoming,
        (without_rehearsal, connections): (bool, Connections),
        reply: oneshot::Sender<Response>,
    ) {
        let files = &incoming.export.files;
        let has = |name: &str| files.contains_key(name) || self.trust.has(name);
        let mut check = apply::faultless();
        check.warnings = incoming.remarks.clone();
        check.warnings.extend(apply::warnings(&incoming.read.0, has));
        let asked = Asked {
            report: between("in force", FILE),
            former: self.text_in_force(),
            connections,
            besides: self.changed_besides(&incoming),
            drains: Some(incoming.drains),
        };
        let text = incoming.export.configuration.into_bytes();
        let candidate = Candidate {
            without_rehearsal,
            ..Candidate::only_shown(incoming.read, check, text)
        };
        self.rehearse(candidate, Then::Show(Box::new(asked)), reply);
    }

    /// Reads the kernel; the answer is an event.
    pub fn look(&self, mut asked: Asked, candidate: Candidate, reply: oneshot::Sender<Response>) {
        asked.report.check = candidate.check;
        let looking = Looking {
            asked,
            read: candidate.read,
            text: candidate.text,
            reply,
        };
        let (reply, observed) = oneshot::channel();
        self.send(Job::Look(self.managed_sysctls(), reply));
        let events = self.events.clone();
        tokio::spawn(async move {
            if let Ok(observed) = observed.await {
                // The loop is gone only when the process ends.
                let _ = events.send(Event::Looked(Box::new(looking), observed)).await;
            }
        });
    }

    pub fn looked(&self, looking: Looking, observed: Result<Observed, KernelError>) {
        let asked = looking.asked;
        let mut report = asked.report;
        let (config, _) = looking.read;
        let counted = |key: &ServerKey| asked.connections.get(key).map_or(0, ServerActivity::connections);
        let links = observed
            .as_ref()
            .map_or(&self.observed.links, |observed| &observed.links);
        let then = desired::wanted_links(Some(&config), links, &self.own_mtus.own);
        let known = Known {
            connections: &counted,
            mtus: (&|label| self.network.mtu_of(label), &|label| then.mtu_of(label)),
            there: &|label| self.network.resolved.get(label).is_none_or(Option::is_some),
        };
        report.changes = difference(self.config.as_ref(), &config, known);
        report.changes.extend(asked.besides);
        match observed {
            Ok(mut observed) => {
                let drift = self.drift(&observed);
                drift.iter().for_each(|step| observed.assume(step));
                report.steps = self.shown(&self.steps_to(config, asked.drains, &observed));
                // Steps of a change that is under way are none of somebody else's.
                report.drift = (!self.reconcile.is_changing()).then(|| self.shown(&drift));
            }
            Err(error) => report.check.warnings.push(format!(
                "the kernel cannot be read, so that no steps are shown: {error}; `log` says more"
            )),
        }
        let texts = asked.former.map(|former| (former, looking.text));
        answer(report, texts, looking.reply);
    }

    /// The steps that bring the kernel back to what is in force.
    fn drift(&self, observed: &Observed) -> Vec<Step> {
        let network = self.wanted_network(observed);
        let pools = self
            .services_in_order()
            .map(|service| (service.key, self.desired_pool(service)));
        plan::diff_each(&network, pools, observed)
    }

    /// The steps that would be carried out at once if this were put in force now.
    fn steps_to(&self, mut config: Config, drains: Option<Drains>, observed: &Observed) -> Vec<Step> {
        let now = Instant::now();
        self.stay_on(&mut config, now);
        // What would be known of the servers then, tried out on a copy.
        let mut checks = self.checks.clone();
        let others_drained = drains.as_ref().is_some_and(|drains| *drains != checks.drains);
        checks.drains = drains.unwrap_or(checks.drains);
        let adopt = |key: &ServerKey| serving(observed, key);
        match self.config.as_ref().map(|old| changed(old, &config)) {
            Some(changed) if !changed.network && !others_drained => {
                let by_listen = by_listen::places(&config.virtual_servers);
                for key in &changed.services {
                    checks.configure_one(
                        now,
                        &config,
                        key,
                        by_listen::find(&config, &by_listen, key),
                        adopt,
                    );
                }
            }
            _ => checks.configure(now, &config, adopt),
        }
        let open = |service: &config::VirtualServer| checks.is_open(service);
        let own = &self.own_mtus.own;
        let network = desired::network(Some(&config), &observed.links, own, self.machine, open);
        let mut services: Vec<_> = config.services().collect();
        services.sort_by_key(|service| service.key);
        let pools = services
            .into_iter()
            .map(|service| (service.key, checks.desired(service, now)));
        plan::diff_each(&network, pools, observed)
    }

    fn shown(&self, steps: &[Step]) -> Vec<String> {
        let mut lines: Vec<String> = steps
            .iter()
            .take(MOST_STEPS)
            .map(|step| self.line(step))
            .collect();
        let more = steps.len().saturating_sub(MOST_STEPS);
        if more > 0 {
            lines.push(format!("and {more} more steps"));
        }
        lines
    }
}

fn between(from: &str, to: &str) -> DiffReport {
    DiffReport::between(from, to, apply::faultless())
}

fn refuse(message: String, reply: oneshot::Sender<Response>) {
    // The client may have gone: nobody misses the answer.
    let _ = reply.send(Response::Error { message });
}

/// Texts are compared beside the loop: they may be large.
fn answer(mut report: DiffReport, texts: Option<(Vec<u8>, Vec<u8>)>, reply: oneshot::Sender<Response>) {
    tokio::task::spawn_blocking(move || {
        if let Some((old, new)) = texts {
            compare(&mut report, &old, &new);
        }
        // The client may have gone: nobody misses the answer.
        let _ = reply.send(Response::Diff(report));
    });
}

fn compare(report: &mut DiffReport, old: &[u8], new: &[u8]) {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (lines, more) = text_difference(&old, &new);
    report.text = lines;
    if more > 0 {
        report.text_fault = Some(format!(
            "{more} more lines differ; `config show N` shows the text of an entry of the history whole"
        ));
    }
}

/// The unified difference of two texts, and how many lines of it are not listed.
pub fn text_difference(old: &str, new: &str) -> (Vec<String>, usize) {
    let difference = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let unified = difference.unified_diff().context_radius(CONTEXT).to_string();
    let mut lines = unified.lines();
    let listed = lines.by_ref().take(MOST_LINES).map(str::to_owned).collect();
    (listed, lines.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_line_by_line_and_not_without_end() {
        let mut report = between("1", "2");
        compare(&mut report, b"a\nb\nc\n", b"a\nB\nc\n");
        assert_eq!(report.text, ["@@ -1,3 +1,3 @@", " a", "-b", "+B", " c"]);
        let mut same = between("1", "2");
        compare(&mut same, b"a\n", b"a\n");
        assert!(same.text.is_empty() && same.text_fault.is_none());
        let long: String = (0..2 * MOST_LINES).map(|line| format!("{line}\n")).collect();
        let mut many = between("1", "2");
        compare(&mut many, b"", long.as_bytes());
        assert_eq!(many.text.len(), MOST_LINES);
        assert!(many.text_fault.unwrap().contains("more lines"));
    }
}
