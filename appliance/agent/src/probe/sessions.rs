//! TLS sessions that checks of one server go on with (RFC 8446, section 2.2): an abbreviated handshake proves that it is the server of the last whole one,
//! without its certificate. Must not: let a whole handshake be longer ago than [`FULL`], or one server have the session of another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// A certificate that has expired or was changed is seen after so much time.
const FULL: Duration = Duration::from_secs(60);

/// A server; which of the client configurations; the name.
type Whose = (SocketAddr, usize, Option<String>);

/// One for each server that is checked over TLS.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<BTreeMap<Whose, (Instant, Arc<Session>)>>);

impl Sessions {
    /// The session to go on with, or an empty one, with which the handshake is whole.
    pub fn of(&self, whose: Whose, now: Instant) -> Arc<Session> {
        let mut known = held(&self.0);
        if let Some((since, session)) = known.get(&whose)
            && now.saturating_duration_since(*since) < FULL
        {
            return session.clone();
        }
        let session = Arc::new(Session::default());
        known.insert(whose, (now, session.clone()));
        session
    }

    /// A check of it has failed: what it says next is to be seen as a whole.
    pub fn forget(&self, server: SocketAddr) {
        let mut known = held(&self.0);
        let first = (server, 0, None);
        while let Some(whose) = known.range(&first..).next().map(|(whose, _)| whose.clone())
            && whose.0 == server
        {
            known.remove(&whose);
        }
    }

    pub fn clear(&self) {
        held(&self.0).clear();
    }
}

/// The newest ticket of each version.
#[derive(Debug, Default)]
pub(super) struct Session {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<Option<Tls13ClientSessionValue>>,
}

impl ClientSessionStore for Session {
    fn set_kx_hint(&self, _server_name: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _server_name: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        *held(&self.tls12) = Some(value);
    }

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        held(&self.tls12).clone()
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {
        *held(&self.tls12) = None;
    }

    fn insert_tls13_ticket(&self, _server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        *held(&self.tls13) = Some(value);
    }

    fn take_tls13_ticket(&self, _server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        held(&self.tls13).take()
    }
}

fn held<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_servers_and_ends_after_a_minute() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let server = |last: u8| SocketAddr::from(([192, 0, 2, last], 443));
        let of = |last, which, after| sessions.of((server(last), which, None), now + after);
        let (first, soon) = (of(1, 0, Duration::ZERO), FULL - Duration::from_millis(1));
        assert!(Arc::ptr_eq(&first, &of(1, 0, soon)));
        for other in [of(2, 0, soon), of(1, 1, soon), of(1, 0, FULL)] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
        let (failed, beside) = (of(1, 1, FULL), of(2, 0, FULL));
        sessions.forget(server(1));
        assert!(!Arc::ptr_eq(&failed, &of(1, 1, FULL)));
        assert!(Arc::ptr_eq(&beside, &of(2, 0, FULL)));
    }
}
