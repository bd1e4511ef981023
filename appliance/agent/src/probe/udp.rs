//! A datagram, and what comes back. Must not: know DNS.

use lb_core::check::UdpCheck;
use lb_core::health::Outcome;
use memchr::memmem;
use socket2::Protocol;

use super::account::quoted;
use super::way::{Way, told_by_icmp};
use super::{Progress, Stage, shown};

/// Of an answer; the rest is not looked at.
const MOST: usize = 4_096;

/// Without an answer to expect it waits for one for ever: the deadline is the end.
pub(super) async fn exchange(way: &Way, check: &UdpCheck, progress: &Progress) -> Result<(), Outcome> {
    let socket = way.datagrams(Protocol::UDP)?;
    socket
        .send(&check.send)
        .await
        .map_err(|error| super::classify(&error))?;
    progress.is_at(Stage::Sent);
    progress.note("request", || {
        let sent = match check.send.as_slice() {
            [] => "an empty datagram".to_owned(),
            bytes => format!("a datagram of {} bytes: {}", bytes.len(), quoted(bytes)),
        };
        let wanted = match &check.expect {
            Some(wanted) => format!("expected: an answer that contains {}", quoted(wanted)),
            None => "expected: nobody says that the port is closed until the time is over".to_owned(),
        };
        vec![sent, wanted]
    });
    let mut answer = vec![0; MOST];
    let length = socket
        .recv(&mut answer)
        .await
        .map_err(|error| told_by_icmp(&error))?;
    progress.note("answer", || {
        vec![format!("{length} bytes: {}", quoted(&answer[..length]))]
    });
    match &check.expect {
        Some(wanted) if memmem::find(&answer[..length], wanted).is_none() => Err(Outcome::Fail(format!(
            "the answer {} does not contain {}",
            shown(&answer[..length]),
            shown(wanted)
        ))),
        _ => Ok(()),
    }
}
