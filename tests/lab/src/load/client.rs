//! The client: threads that carry out [`Client`] orders and account for everything in one [`Report`].
//! Must not: end a run early because something was lost.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::datagrams::Talk;
use super::exchange::{Answer, Connection, Desk, Failure};
use super::held;
use super::options::{Client, Kind};
use super::report::{Loss, Report};

/// From here on a SYN, or what followed, was sent twice.
const SLOW: Duration = Duration::from_secs(1);
const PROGRESS: Duration = Duration::from_millis(250);
const PORT_PAUSE: Duration = Duration::from_millis(2);
const STACK: usize = 256 * 1024;

struct Run {
    client: Client,
    started: Instant,
    next: AtomicU64,
    told: Told,
    report: Mutex<Report>,
}

/// Whether somebody said to stop; who waits is woken.
#[derive(Default)]
struct Told {
    yes: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

/// Carries the orders out; prints the report. Told to stop by the end of standard input.
pub fn run(client: &Client) -> io::Result<()> {
    if client.kind == Kind::Held {
        held::allow_files()?;
    }
    let run = Arc::new(Run {
        client: client.clone(),
        started: Instant::now(),
        next: AtomicU64::new(0),
        told: Told::default(),
        report: Mutex::new(Report::default()),
    });
    let begin = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    run.report().started_unix_ms = begin.unwrap_or_default().as_millis() as u64;
    let listener = Arc::clone(&run);
    thread::spawn(move || listener.told.listen());
    let teller = Arc::clone(&run);
    thread::spawn(move || teller.tell_progress());
    let mut threads = Vec::new();
    for number in 0..client.parallel {
        let run = Arc::clone(&run);
        let thread = thread::Builder::new().stack_size(STACK);
        threads.push(thread.spawn(move || run.work(number))?);
    }
    for thread in threads {
        thread
            .join()
            .map_err(|_| io::Error::other("a client's thread died"))?;
    }
    run.tell();
    let mut report = run.report().clone();
    report.seconds = run.at();
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

impl Told {
    fn listen(&self) {
        let mut nothing = [0; 64];
        while matches!(io::stdin().read(&mut nothing), Ok(1..)) {}
        self.yes.store(true, Ordering::SeqCst);
        drop(self.lock.lock());
        self.wake.notify_all();
    }

    fn wait(&self) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.yes() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn yes(&self) -> bool {
        self.yes.load(Ordering::SeqCst)
    }

    /// Sleeps until then, or until told; whether it was told.
    fn wait_until(&self, due: Instant) -> bool {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.yes() {
            let rest = due.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            let woken = self.wake.wait_timeout(guard, rest);
            guard = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Run {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn tell_progress(&self) {
        loop {
            thread::sleep(PROGRESS);
            self.tell();
        }
    }

    fn tell(&self) {
        let progress = self.report().progress();
        if let Ok(line) = serde_json::to_string(&progress) {
            eprintln!("{line}");
        }
    }

    fn work(&self, number: usize) {
        match self.client.kind {
            Kind::Short => self.short(),
            Kind::Long => self.long(number),
            Kind::Held => self.held(),
            Kind::Udp => self.udp(number),
        }
    }

    /// The number of the next connection, when it is due; `None` when there is no more to do.
    fn ticket(&self) -> Option<u64> {
        let ticket = self.next.fetch_add(1, Ordering::SeqCst);
        let enough = ticket >= self.client.connections;
        if enough && (!self.client.until_told || self.told.yes()) {
            return None;
        }
        if let Some(rate) = self.client.rate {
            let due = self.started + Duration::from_secs_f64(ticket as f64 / f64::from(rate));
            if self.client.until_told && enough {
                return (!self.told.wait_until(due)).then_some(ticket);
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Some(ticket)
    }

    fn target(&self, ticket: u64) -> (SocketAddr, u16) {
        let to = self.client.to[(ticket % self.client.to.len() as u64) as usize];
        let port = self.client.from_ports.map_or(0, |(first, last)| {
            let ports = u64::from(last.saturating_sub(first)) + 1;
            first + (ticket % ports) as u16
        });
        (to, port)
    }

    fn short(&self) {
        let mut desk = Desk::new();
        while let Some(ticket) = self.ticket() {
            let Some(mut connection) = self.open(ticket) else {
                continue;
            };
            let mut asked = Ok(());
            for request in 1..=self.client.requests {
                let last = request == self.client.requests && !self.client.client_closes;
                asked = self.ask(&mut connection, &mut desk, last);
                if asked.is_err() {
                    break;
                }
            }
            let end = connection.local_end();
            let ended = match asked {
                Ok(()) if !self.client.client_closes => connection.end(),
                other => other,
            };
            self.ended(ended, end);
        }
    }

    fn long(&self, number: usize) {
        let mut desk = Desk::new();
        // Spread over the interval, and so are the requests.
        let first = self.client.interval * number as u32 / self.client.parallel as u32;
        let mut due = self.started + first;
        self.told.wait_until(due);
        let Some(mut connection) = self.open(number as u64) else {
            return;
        };
        let end = connection.local_end();
        loop {
            let last = self.told.wait_until(due);
            if let Err(failure) = self.ask(&mut connection, &mut desk, last) {
                return self.ended(Err(failure), end);
            }
            if last {
                return self.ended(connection.end(), end);
            }
            due = (due + self.client.interval).max(Instant::now());
        }
    }

    fn held(&self) {
        let (mut held, mut desk) = (Vec::new(), Desk::new());
        while let Some(ticket) = self.ticket() {
            held.extend(self.open(ticket).map(|connection| (ticket, connection)));
        }
        self.told.wait();
        for (ticket, mut connection) in held {
            let end = connection.local_end();
            let asked = match ticket.is_multiple_of(self.client.requests) {
                true => self.ask(&mut connection, &mut desk, true),
                false => Ok(()),
            };
            self.ended(asked, end);
        }
    }

    fn udp(&self, number: usize) {
        let (to, port) = self.target(number as u64);
        let mut talk = match Talk::open(&self.client, to, port) {
            Ok(talk) => talk,
            Err(failure) => {
                self.report().begun += 1;
                return self.ended(Err(failure), format!(":{port}"));
            }
        };
        while self.ticket().is_some() {
            self.report().begun += 1;
            self.report().requests += 1;
            let asked = talk.ask(self.client.bytes).map(|answer| self.answered(&answer));
            self.ended(asked, talk.local_end());
        }
    }

    fn open(&self, ticket: u64) -> Option<Connection> {
        let (to, port) = self.target(ticket);
        self.report().begun += 1;
        match self.establish(to, port) {
            Ok(connection) => {
                if connection.established_in >= SLOW {
                    let at = self.at();
                    self.report().slow.add(at);
                }
                Some(connection)
            }
            Err((failure, end)) => {
                self.ended(Err(failure), end);
                None
            }
        }
    }

    /// A port of our own choice may still belong to the connection before: then nothing has left, and we wait for it.
    fn establish(&self, to: SocketAddr, port: u16) -> Result<Connection, (Failure, String)> {
        let give_up = Instant::now() + self.client.patience;
        loop {
            match Connection::open(&self.client, to, port) {
                Err((failure, _)) if port != 0 && failure.kind == "local" && Instant::now() < give_up => {
                    thread::sleep(PORT_PAUSE);
                }
                opened => return opened,
            }
        }
    }

    fn ask(&self, connection: &mut Connection, desk: &mut Desk, last: bool) -> Result<(), Failure> {
        self.report().requests += 1;
        let answer = connection.ask(desk, self.client.bytes, last)?;
        self.answered(&answer);
        Ok(())
    }

    fn answered(&self, answer: &Answer) {
        let at = self.at();
        let mut report = self.report();
        report.answers += 1;
        report.bytes += answer.bytes;
        report.longest_answer_ms = report.longest_answer_ms.max(answer.took.as_millis() as u64);
        if answer.took >= SLOW {
            report.slow_answers.add(at);
        }
        match report.servers.get_mut(&answer.server) {
            Some(count) => *count += 1,
            None => drop(report.servers.insert(answer.server.clone(), 1)),
        }
    }

    fn ended(&self, ended: Result<(), Failure>, from: String) {
        let at_s = self.at();
        match ended {
            Ok(()) => self.report().completed += 1,
            Err(failure) => self.report().lose(Loss {
                at_s,
                kind: failure.kind.into(),
                during: failure.during.into(),
                from,
                what: failure.what,
            }),
        }
    }
}
