//! The harness's end: this program started again as client or server in a namespace, stopped, and asked for its report.
//! Must not: judge; the story does.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::options::Client;
use super::report::{Progress, Report};
use super::{WORD, options};
use crate::command::command;
use crate::{LabError, Result};

/// A program whose `main` begins with [`super::asked`].
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

/// Killed when dropped.
#[derive(Debug)]
pub struct Server(Child);

/// A client at work.
#[derive(Debug)]
pub struct Running {
    process: Child,
    progress: Arc<Mutex<(Progress, String)>>,
    reader: JoinHandle<()>,
}

impl Program {
    /// The one that runs now.
    pub fn own() -> Result<Program> {
        std::env::current_exe()
            .map(Program)
            .map_err(LabError::io("find this program's file"))
    }

    pub fn at(path: impl Into<PathBuf>) -> Program {
        Program(path.into())
    }

    fn in_namespace(&self, namespace: &str) -> Command {
        let mut command = command("ip");
        command.args(["netns", "exec", namespace]).arg(&self.0).arg(WORD);
        command
    }

    /// A server that calls itself `name`, once it listens on all of `addresses`.
    pub fn serve(&self, namespace: &str, name: &str, addresses: &[&str]) -> Result<Server> {
        self.start_server(namespace, "serve", name, addresses)
    }

    /// The same for connections by the hundred thousand.
    pub fn serve_held(&self, namespace: &str, name: &str, addresses: &[&str]) -> Result<Server> {
        self.start_server(namespace, "serve-held", name, addresses)
    }

    pub fn serve_udp(&self, namespace: &str, name: &str, addresses: &[&str]) -> Result<Server> {
        self.start_server(namespace, "serve-udp", name, addresses)
    }

    fn start_server(&self, namespace: &str, kind: &str, name: &str, addresses: &[&str]) -> Result<Server> {
        let parsed: Vec<SocketAddr> =
            options::addresses(addresses).map_err(LabError::io("read a server's addresses"))?;
        let mut process = self
            .in_namespace(namespace)
            .args([kind, name])
            .args(parsed.iter().map(ToString::to_string))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(LabError::io(format!("start a server in {namespace}")))?;
        let mut line = String::new();
        let said = process.stdout.take().map(BufReader::new);
        let read = said.map(|mut said| said.read_line(&mut line));
        if line.trim() == "ready" {
            return Ok(Server(process));
        }
        let _ = process.kill();
        let _ = process.wait();
        Err(LabError::Unexpected(format!(
            "the server {name} in {namespace} does not listen on {addresses:?}: {read:?}"
        )))
    }

    /// Begins to carry out the orders.
    pub fn start(&self, namespace: &str, client: &Client) -> Result<Running> {
        let mut process = self
            .in_namespace(namespace)
            .args(client.words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LabError::io(format!("start a client in {namespace}")))?;
        let progress = Arc::new(Mutex::new((Progress::default(), String::new())));
        let (kept, said) = (Arc::clone(&progress), process.stderr.take());
        let reader = thread::spawn(move || {
            for line in said
                .into_iter()
                .flat_map(|said| BufReader::new(said).lines())
                .flatten()
            {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                match serde_json::from_str(&line) {
                    Ok(progress) => kept.0 = progress,
                    Err(_) => kept.1.push_str(&line),
                }
            }
        });
        Ok(Running {
            process,
            progress,
            reader,
        })
    }

    /// Carries the orders out to their end.
    pub fn run(&self, namespace: &str, client: &Client) -> Result<Report> {
        self.start(namespace, client)?.report()
    }
}

impl Running {
    /// At most a quarter of a second old.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Until the counts are what is awaited.
    pub fn wait_for(&self, what: &str, limit: Duration, reached: impl Fn(Progress) -> bool) -> Result<()> {
        let started = Instant::now();
        while !reached(self.progress()) {
            if started.elapsed() > limit {
                return Err(LabError::Timeout {
                    what: what.into(),
                    limit,
                    seen: format!("{:?}", self.progress()),
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Tells the client to stop, if it waits for that, and to say what it saw.
    pub fn report(mut self) -> Result<Report> {
        drop(self.process.stdin.take());
        let mut text = String::new();
        if let Some(mut said) = self.process.stdout.take() {
            said.read_to_string(&mut text)
                .map_err(LabError::io("read a client's report"))?;
        }
        let status = self.process.wait().map_err(LabError::io("wait for a client"))?;
        let _ = self.reader.join();
        let complaint = self
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone();
        serde_json::from_str(&text).map_err(|error| {
            LabError::Unexpected(format!(
                "a client ended with {status} and said `{text}` ({error}) {complaint}"
            ))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
