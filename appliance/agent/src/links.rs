//! Link changes as events: a thread waits for the kernel's notices and passes them on, at most one per pause.

use std::thread;
use std::time::Duration;

use lb_core::ports::LinkEvents;
use tokio::sync::mpsc;

use crate::engine::Event;

/// A cable that flaps, or our own changes, come in bursts: one read-back for each burst is enough.
const SETTLE: Duration = Duration::from_millis(50);
/// After a failed wait, so that a broken socket does not spin.
const RETRY: Duration = Duration::from_secs(5);

pub fn start(mut links: Box<dyn LinkEvents>, events: mpsc::Sender<Event>) -> std::io::Result<()> {
    thread::Builder::new().name("links".to_owned()).spawn(move || {
        loop {
            match links.wait() {
                Ok(()) => thread::sleep(SETTLE),
                Err(error) => {
                    log::warn!("link changes are only seen at the next full read-back: {error}");
                    thread::sleep(RETRY);
                }
            }
            if events.blocking_send(Event::LinksChanged).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
