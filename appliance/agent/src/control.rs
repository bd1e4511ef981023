//! The control socket: one request and one response per connection, each a line of JSON. Must not: hold state of the
//! appliance; a slow, silent or broken client costs only its own connection.

mod ask;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::config::MAX_BYTES;
use lb_core::control::{ConnectionReport, ConnectionsReport, Request, Response};
use lb_core::doctor::Wire;
use lb_core::observed::{Activity, Wanted};
use lb_core::ports::ActivityPort;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task;

use crate::engine::Event;

pub type SharedActivity = Arc<Mutex<Box<dyn ActivityPort>>>;

/// JSON may need six characters for one byte of a file (`\u0000`), and the file may be one that is found too large.
const MAX_REQUEST_BYTES: u64 = 6 * (MAX_BYTES as u64 + (1 << 20));
/// For the whole of a request to arrive, and of a response to leave.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn start(runtime: &Path, activity: SharedActivity, events: mpsc::Sender<Event>) -> io::Result<()> {
    std::fs::create_dir_all(runtime)?;
    let path = runtime.join("control.sock");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(converse(stream, activity.clone(), events.clone()));
                }
                Err(error) => {
                    log::warn!("control socket: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(())
}

async fn converse(stream: UnixStream, activity: SharedActivity, events: mpsc::Sender<Event>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader).take(MAX_REQUEST_BYTES);
    let read = tokio::time::timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await;
    let response = match read {
        Ok(Ok(0)) | Ok(Err(_)) | Err(_) => return,
        Ok(Ok(_)) if !line.ends_with(b"\n") => error("the request is too large or incomplete"),
        Ok(Ok(_)) => match serde_json::from_slice(&line) {
            Ok(request) => answer(request, activity, events).await,
            Err(fault) => error(&format!("the request is not understood: {fault}")),
        },
    };
    drop(line);
    let mut text = serde_json::to_vec(&response).expect("responses hold only what JSON can say");
    text.push(b'\n');
    // A client that has gone does not need the answer.
    let _ = tokio::time::timeout(PATIENCE, writer.write_all(&text)).await;
}

async fn answer(request: Request, activity: SharedActivity, events: mpsc::Sender<Event>) -> Response {
    if let Request::Connections { limit } = request {
        return connections(activity, limit).await;
    }
    let mut counted = match wanted(&request, &events).await {
        Some(wanted) => Some(count(activity.clone(), wanted).await),
        None => None,
    };
    let mut wire = Wire::default();
    if let Request::Doctor { name } = &request {
        wire = ask::ask(name.clone(), &activity, &events).await;
    }
    if matches!(request, Request::Doctor { .. } | Request::Path(_)) {
        // What the rules have translated is read with the machine only.
        let machine = count(activity, Wanted::Machine).await;
        if let Some(counted) = &mut counted {
            counted.translated = machine.translated;
        }
    }
    let (reply, answer) = oneshot::channel();
    let event = Event::Request {
        request,
        activity: counted.map(Box::new),
        wire,
        reply,
    };
    if events.send(event).await.is_err() {
        return error("the agent is ending");
    }
    answer.await.unwrap_or_else(|_| error("the agent is ending"))
}

/// How much of what counts belongs into the answer: servers can be tens of thousands, and one service's are few.
async fn wanted(request: &Request, events: &mpsc::Sender<Event>) -> Option<Wanted> {
    match request {
        Request::Status | Request::Interfaces | Request::Gateway => Some(Wanted::Machine),
        Request::Services { name: None }
        | Request::Drain { .. }
        | Request::Undrain { .. }
        | Request::Drains
        | Request::ConfigDiff { .. }
        | Request::ConfigImportDiff { .. }
        | Request::Path(_)
        | Request::Doctor { .. } => Some(Wanted::Servers),
        Request::Counters { service: None } => Some(Wanted::Services(None)),
        Request::Services { name: Some(name) } | Request::Counters { service: Some(name) } => {
            let (reply, found) = oneshot::channel();
            let name = name.clone();
            let asked = events.send(Event::Find { name, reply }).await;
            let found = if asked.is_ok() {
                found.await.ok().flatten()
            } else {
                None
            };
            Some(Wanted::Services(found))
        }
        _ => None,
    }
}

/// What counts; nothing is better than no answer at all.
async fn count(activity: SharedActivity, wanted: Wanted) -> Activity {
    let counted = task::spawn_blocking(move || lock(&activity).activity(wanted)).await;
    match counted {
        Ok(Ok(counted)) => counted,
        Ok(Err(fault)) => {
            log::warn!("counters: {fault}");
            Activity::default()
        }
        Err(fault) => {
            log::error!("counters: {fault}");
            Activity::default()
        }
    }
}

async fn connections(activity: SharedActivity, limit: usize) -> Response {
    let listed = task::spawn_blocking(move || lock(&activity).connections(limit)).await;
    match listed {
        Ok(Ok(table)) => Response::Connections(ConnectionsReport {
            total: table.total,
            connections: table
                .listed
                .into_iter()
                .map(|c| ConnectionReport {
                    protocol: c.protocol,
                    client: c.client.to_string(),
                    service: c.service.to_string(),
                    server: c.server.to_string(),
                    state: c.state,
                    expires_s: c.expires_s,
                })
                .collect(),
        }),
        Ok(Err(fault)) => error(&format!("the connection table cannot be read: {fault}")),
        Err(fault) => error(&format!("the connection table cannot be read: {fault}")),
    }
}

/// A reader that panicked leaves nothing half done.
pub fn lock(activity: &SharedActivity) -> std::sync::MutexGuard<'_, Box<dyn ActivityPort>> {
    activity.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn error(message: &str) -> Response {
    Response::Error {
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::model::VirtualKey;

    /// Asked with an engine behind that knows one service.
    async fn wanted_for(request: Request) -> Option<Wanted> {
        let (events, mut inbox) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Event::Find { name, reply }) = inbox.recv().await {
                reply.send((name == "web").then(web)).unwrap();
            }
        });
        wanted(&request, &events).await
    }

    fn web() -> VirtualKey {
        "192.0.2.1:80/tcp".parse().unwrap()
    }

    #[tokio::test]
    async fn servers_are_read_only_where_they_are_shown() {
        let name = |name: &str| Some(name.to_owned());
        for (request, expected) in [
            (Request::Status, Some(Wanted::Machine)),
            (Request::Interfaces, Some(Wanted::Machine)),
            (Request::Gateway, Some(Wanted::Machine)),
            (Request::Version, None),
            (Request::Services { name: None }, Some(Wanted::Servers)),
            (
                Request::Services { name: name("web") },
                Some(Wanted::Services(Some(web()))),
            ),
            (
                Request::Services { name: name("x") },
                Some(Wanted::Services(None)),
            ),
            (Request::Counters { service: None }, Some(Wanted::Services(None))),
            (
                Request::Counters { service: name("web") },
                Some(Wanted::Services(Some(web()))),
            ),
        ] {
            assert_eq!(wanted_for(request.clone()).await, expected, "{request:?}");
        }
    }
}
