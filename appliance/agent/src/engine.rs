//! The loop: it owns all state, takes an event or the nearest deadline, updates, and reconciles what has become dirty.
//! Must not: block, or let one event's failure end it.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lb_core::certificates::Certificates;
use lb_core::check::PROBE_PORTS;
use lb_core::config::{Before, Config, Parts, VirtualServer};
use lb_core::control::{ConfigSource, Request, Response};
use lb_core::desired::{self, Network};
use lb_core::doctor::Wire;
use lb_core::drops::DropWatch;
use lb_core::health::CheckResult;
use lb_core::lateness::Lateness;
use lb_core::model::{RealKey, VirtualKey};
use lb_core::observed::{Activity, Machine, Observed};
use lb_core::ports::KernelError;
use tokio::sync::{mpsc, oneshot};

use crate::by_hand::{Asker, ByHand};
use crate::carriers::Carriers;
use crate::checks::Checks;
use crate::control::SharedActivity;
use crate::crowd::Crowd;
use crate::departures::{Counted, Departures};
use crate::drains::{self, Paces};
use crate::due::Check;
use crate::history::History;
use crate::import::{Committed, Importing};
use crate::keeper::Keeper;
use crate::kernel_thread::{self, Job, Outcomes, Purpose, Scope};
use crate::load::Loaded;
use crate::own_mtus::Remembered;
use crate::preview::Looking;
use crate::probe::{TcpChecks, Trust, Way};
use crate::pulse::Pulse;
use crate::reconcile::Reconcile;
use crate::rehearsals::{Outcome, Rehearsals};
use crate::report::ToAsk;
use crate::store::Store;
use crate::targets::TargetId;
use crate::trial::Pending;
use crate::{Places, Ports, by_listen, console, control, links, load, system};

/// A check that came to nothing because the network was being changed is made again after this.
pub(crate) const REPEAT_AFTER: Duration = Duration::from_millis(20);
/// An awakening costs some thousand instructions; late by so much is no matter.
const TOGETHER: Duration = Duration::from_millis(10);
/// An agent that starts later than this after the kernel is not the first one.
const JUST_BOOTED_S: u64 = 60;
/// A configuration is read and planned by then; while it is still being carried out, so much is waited for again.
const SETTLED: Duration = Duration::from_secs(3);
/// By then what follows from a look at the kernel or from a request has followed.
const LOOKED: Duration = Duration::from_millis(200);
/// Events that may wait for the loop; who sends more waits too.
const QUEUE: usize = 1024;

pub enum Event {
    Checked(TargetId, RealKey, CheckResult),
    /// Of servers that leave.
    Counted(Counted),
    Observed(Scope, Result<Observed, KernelError>),
    /// An audit has found everything as it is known.
    AsKnown,
    Applied(Purpose, Outcomes),
    LinksChanged,
    /// A configuration has its number in the history, or why it has none.
    Archived(Result<(), String>),
    /// Of an echo that was sent then.
    GatewayHeard {
        address: IpAddr,
        sent: Instant,
        answer: Result<(), String>,
    },
    /// An import is on the disk, or is not.
    Imported(Box<Committed>),
    /// What came of the rehearsal with this number.
    Rehearsed(u64, Outcome),
    /// What the kernel holds, for a difference that somebody waits for.
    Looked(Box<Looking>, Result<Observed, KernelError>),
    /// The key of the service with this name.
    Find {
        name: String,
        reply: oneshot::Sender<Option<VirtualKey>>,
    },
    /// What `doctor` has to ask of the wire for this service, or for all.
    ToAsk {
        name: Option<String>,
        reply: oneshot::Sender<ToAsk>,
    },
    Request {
        request: Request,
        activity: Option<Box<Activity>>,
        wire: Wire,
        reply: oneshot::Sender<Response>,
    },
}

pub struct Engine {
    pub places: Places,
    pub store: Store,
    pub started: Instant,
    pub machine: Machine,
    /// What is in force; `None`: nothing is.
    pub config: Option<Config>,
    /// What its file was made of.
    pub parts: Parts,
    /// Of its text.
    pub mark: Option<u64>,
    pub source: ConfigSource,
    /// While what is in force is on trial.
    pub pending: Option<Pending>,
    /// While an import is on its way to the disk.
    pub importing: Option<Importing>,
    /// How the last trial ended, and when.
    pub last_trial: Option<(Instant, String)>,
    pub config_since: Instant,
    /// What is wrong with the files on the config volume, one sentence each.
    pub config_problems: Vec<String>,
    /// This machine had never had a configuration when this agent started.
    pub(crate) first_contact: bool,
    /// What has taken lb.toml's place when this agent started.
    pub replaced: Option<String>,
    /// Why the newest configuration is not in the history.
    pub archive_problem: Option<String>,
    /// Where each service of the configuration stands in it, in the order of what they listen on.
    pub by_listen: Vec<u32>,
    pub keeper: Keeper,
    pub checks: Checks,
    pub lateness: Lateness,
    /// Of servers that are checked over TLS.
    pub certificates: Certificates,
    pub(crate) trust: Arc<Trust>,
    pub(crate) tcp_checks: TcpChecks<Asker>,
    pub(crate) by_hand: ByHand,
    pub(crate) crowd: Crowd<(Check, Way)>,
    /// Whether the machines are those of the configuration in force.
    pub checks_configured: bool,
    pub network: Network,
    pub own_mtus: Remembered,
    /// Shared with an audit that compares the kernel with it.
    pub observed: Arc<Observed>,
    pub reconcile: Reconcile,
    /// Fed by whoever asks, first by the console when it starts.
    pub drops: DropWatch,
    jobs: std_mpsc::Sender<Job>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) activity: SharedActivity,
    pub carriers: Carriers,
    pub departures: Departures,
    pub paces: Paces,
    pub history: History,
    pub(crate) rehearsals: Rehearsals,
    /// Checks are made, now that the network has been set up once.
    pub checking: bool,
    ready: bool,
    give_back: fn(),
    give_back_at: Option<Instant>,
}

pub async fn run(places: Places, ports: Ports) -> io::Result<()> {
    let (events, mut inbox) = mpsc::channel(QUEUE);
    let jobs = kernel_thread::start(ports.kernel, events.clone())?;
    links::start(ports.links, events.clone())?;
    let activity: SharedActivity = Arc::new(Mutex::new(ports.activity));
    control::start(&places.runtime, activity.clone(), events.clone())?;
    let mut pulse = Pulse::start(&places.runtime, Instant::now())
        .inspect_err(|error| {
            log::warn!("make the agent's sign of life: {error}; an agent that hangs is not noticed")
        })
        .ok();
    let rehearsals = Rehearsals::new(ports.rehearsal);
    let machine = system::machine();
    let tcp_checks = TcpChecks::open(Instant::now(), machine.cookie, ports.frames)?;
    let mut engine = Engine::new(
        places,
        jobs,
        events,
        activity,
        (machine, rehearsals, tcp_checks, ports.give_back),
    )?;
    engine.start_pass(Instant::now());
    loop {
        let deadline = engine
            .deadline()
            .into_iter()
            .chain(pulse.as_ref().map(Pulse::next))
            .min();
        let until = tokio::time::Instant::from(deadline.unwrap_or_else(Instant::now));
        tokio::select! {
            event = inbox.recv() => match event {
                Some(event) => engine.take(event),
                None => return Ok(()),
            },
            () = engine.tcp_checks.ready() => {}
            () = tokio::time::sleep_until(until), if deadline.is_some() => {}
        }
        engine.take_ended();
        let now = Instant::now();
        engine.after_event(now);
        if let Some(pulse) = &mut pulse {
            pulse.turn(now);
        }
    }
}

impl Engine {
    fn new(
        places: Places,
        jobs: std_mpsc::Sender<Job>,
        events: mpsc::Sender<Event>,
        activity: SharedActivity,
        (machine, rehearsals, tcp_checks, give_back): (Machine, Rehearsals, TcpChecks<Asker>, fn()),
    ) -> io::Result<Engine> {
        let now = Instant::now();
        let store = Store::new(places.config.clone());
        let Loaded {
            config,
            mark,
            source,
            mut problems,
            returned,
            replaced,
            change,
            unsaved,
            first_contact,
        } = load::load(&store, &places);
        let history = History::start(&places.config)?;
        let (set_aside, problem) = drains::load(&store);
        problems.extend(problem);
        problems.extend(returned.clone());
        let (own_mtus, forgotten) = Remembered::load(&places.runtime);
        let mut keeper = Keeper::start(store.clone(), places.mirror.clone(), events.clone())?;
        if let Some(text) = unsaved {
            keeper.hold(text, change);
            keeper.lay_down();
        }
        let mut engine = Engine {
            trust: Arc::new(Trust::new(store.clone())),
            store,
            started: now,
            machine,
            config: None,
            parts: Parts::default(),
            by_listen: Vec::new(),
            keeper,
            mark,
            source,
            pending: None,
            importing: None,
            last_trial: None,
            config_since: now,
            config_problems: problems,
            first_contact,
            replaced: replaced.clone(),
            archive_problem: None,
            checks: Checks::new(now, set_aside),
            tcp_checks,
            by_hand: ByHand::default(),
            crowd: Crowd::default(),
            lateness: Lateness::default(),
            certificates: Certificates::default(),
            checks_configured: false,
            network: Network::default(),
            own_mtus,
            observed: Arc::default(),
            reconcile: Reconcile::default(),
            drops: DropWatch::default(),
            places,
            jobs,
            events,
            activity,
            carriers: Carriers::default(),
            departures: Departures::default(),
            paces: Paces::default(),
            history,
            rehearsals,
            checking: false,
            ready: false,
            give_back,
            give_back_at: Some(now + SETTLED),
        };
        if let Some((config, parts)) = config {
            engine.put_in_force(Some(config));
            engine.parts = parts;
        }
        engine.unmark_pending();
        for told in [replaced, returned, forgotten].into_iter().flatten() {
            engine.tell(log::Level::Warn, &told);
        }
        if let Some(forgotten) = console::forgotten(&engine.places.runtime) {
            engine.tell(log::Level::Warn, &forgotten);
        }
        let up_s = system::uptime_ms() / 1000;
        match up_s < JUST_BOOTED_S {
            true => engine.tell(log::Level::Warn, "the machine has started"),
            false => engine.tell(
                log::Level::Warn,
                &format!("the agent has started, {up_s} s after the machine"),
            ),
        }
        Ok(engine)
    }

    pub fn in_force(&self) -> Option<Before<'_>> {
        self.config.as_ref().map(|config| (&self.parts, config))
    }

    /// Replaces the configuration; gives the one before.
    pub fn put_in_force(&mut self, config: Option<Config>) -> Option<Config> {
        self.trust.forget();
        self.certificates.forget();
        self.give_back_at = Some(Instant::now() + SETTLED);
        let services = config.as_ref().map_or(&[][..], |config| &config.virtual_servers);
        self.by_listen = by_listen::places(services);
        let own = services.iter().filter_map(|service| service.endpoint());
        let own = own.map(|own| own.port).collect();
        self.tcp_checks
            .avoid(&own, services.iter().any(|service| takes_answers(service)));
        std::mem::replace(&mut self.config, config)
    }

    /// `None`: only an event brings anything to do.
    fn deadline(&self) -> Option<Instant> {
        let check = self.checks.next_due().filter(|_| self.checking);
        let check = check.map(|due| self.together(due));
        let deadlines = [
            check,
            self.tcp_checks.deadline(),
            self.departures.next_look(),
            self.history.next_write(),
            self.reconcile.deadline(self.started),
            self.give_back_at,
            self.trial_deadline(),
            self.rehearsals.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Checks that are due in one [`TOGETHER`] are started by one awakening, when all of them are due.
    fn together(&self, due: Instant) -> Instant {
        let since = due.saturating_duration_since(self.started).as_micros();
        let slots = since.div_ceil(TOGETHER.as_micros());
        self.started + TOGETHER * u32::try_from(slots).unwrap_or(u32::MAX)
    }

    fn take_ended(&mut self) {
        for (asker, result) in self.tcp_checks.take_ended() {
            match asker {
                Asker::Check(id, server) => self.checked(id, server, result),
                Asker::Crowd(id, server) => {
                    self.leave();
                    self.checked(id, server, result);
                }
                Asker::Hand(hand) => self.probed(hand, &result),
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Checked(id, server, result) => {
                self.leave();
                self.checked(id, server, result);
            }
            Event::Counted(counted) => self.counted(&counted),
            Event::Observed(scope, observed) => {
                self.on_observed(scope, observed);
                self.give_back_soon();
            }
            Event::AsKnown => {
                self.on_as_known();
                self.give_back_soon();
            }
            Event::Applied(purpose, outcomes) => self.on_applied(purpose, outcomes),
            Event::LinksChanged => {
                self.forget_routes();
                self.reconcile.links_changed();
            }
            Event::Rehearsed(number, outcome) => {
                self.rehearsed(number, outcome);
                self.give_back_soon();
            }
            Event::Looked(looking, observed) => self.looked(*looking, observed),
            Event::Imported(committed) => self.imported(*committed),
            Event::Archived(archived) => self.archived(archived),
            Event::GatewayHeard {
                address,
                sent,
                answer,
            } => self.gateway_heard(address, sent, answer),
            Event::Find { name, reply } => {
                let mut all = self.config.iter().flat_map(Config::services);
                // The client may have gone: nobody misses the answer.
                let _ = reply.send(all.find(|s| s.name == name).map(|s| s.key));
            }
            Event::ToAsk { name, reply } => {
                let _ = reply.send(self.to_ask(name.as_deref()));
            }
            Event::Request {
                request,
                activity,
                wire,
                reply,
            } => {
                self.answer(request, &activity.unwrap_or_default(), &wire, reply);
                self.give_back_soon();
            }
        }
    }

    /// Links, addresses or routes have changed.
    pub(crate) fn forget_routes(&mut self) {
        self.checks.forget_routes();
        self.tcp_checks.forget_hops();
    }

    /// What a look at the kernel takes, or an answer, is many times what checks need, also of the executable: it is given back in between.
    fn give_back_soon(&mut self) {
        if self.give_back_at.is_none() {
            self.give_back_at = Some(Instant::now() + LOOKED);
        }
    }

    /// What follows from the time and from what has become dirty.
    fn after_event(&mut self, now: Instant) {
        if self.checking {
            self.start_checks(now);
        }
        self.turn_pools(now);
        self.look_after_leaving(now);
        self.attend_trial(now);
        self.attend_rehearsal(now);
        self.continue_reconcile(now);
        // Disks are slow: after what is for the kernel.
        self.keeper.lay_down();
        self.history.write_due(now);
        if self.give_back_at.is_some_and(|at| at <= now) {
            self.give_back_at = self.reconcile.is_changing().then_some(now + SETTLED);
            if self.give_back_at.is_none() {
                // What reading a large configuration took, and the text that only a start needs.
                (self.give_back)();
            }
        }
    }

    /// The filter lets a service's clients in when its pool is ready, and what it has let in once stays open.
    pub(crate) fn watch_door(&mut self, key: &VirtualKey) {
        let is_open = self.network.ruleset.admits(key);
        if !is_open
            && self
                .service(key)
                .is_some_and(|service| self.checks.is_open(service))
        {
            self.reconcile.doors_changed();
        }
    }

    /// All services, in the order of what they listen on.
    pub fn services_in_order(&self) -> impl Iterator<Item = &VirtualServer> {
        let services = self
            .config
            .as_ref()
            .map_or(&[][..], |config| &config.virtual_servers);
        let listed = self.by_listen.iter().map(move |at| &services[*at as usize]);
        listed.map(Arc::as_ref)
    }

    pub fn service(&self, key: &VirtualKey) -> Option<&VirtualServer> {
        by_listen::find(self.config.as_ref()?, &self.by_listen, key)
    }

    pub(crate) fn service_name(&self, key: &VirtualKey) -> String {
        self.service(key)
            .map_or_else(|| key.to_string(), |v| v.name.clone())
    }

    pub fn desired_pool(&self, service: &VirtualServer) -> desired::DesiredVirtual {
        self.checks.desired(service, Instant::now())
    }

    /// Gives the kernel thread a job. It only ends with the process.
    pub fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            log::error!("the kernel thread has ended; the agent restarts");
            std::process::exit(1);
        }
    }

    /// The first pass is over: checks begin, and init is told.
    pub fn become_ready(&mut self) {
        if self.ready {
            return;
        }
        self.ready = true;
        let counted = self.config.as_ref().map(|config| self.checks.count(config));
        let servers = counted.unwrap_or_default().all;
        let services = self.config.as_ref().map_or(0, |c| c.virtual_servers.len());
        let line = format!("{services} services, {servers} servers\n");
        let mark = self.places.runtime.join("agent.ready");
        if let Err(error) = std::fs::write(&mark, line) {
            log::warn!("cannot write {}: {error}", mark.display());
        }
    }
}

/// Whether an answer to a check would be taken for a client of this service, were it of no flow that the kernel knows: ranges of ports are found by marks.
fn takes_answers(service: &VirtualServer) -> bool {
    let (first, last) = (*PROBE_PORTS.start(), *PROBE_PORTS.end());
    let mut ranges = service.listen.iter();
    matches!(service.key, VirtualKey::Mark(_))
        && ranges.any(|range| range.first <= last && range.last >= first)
}
