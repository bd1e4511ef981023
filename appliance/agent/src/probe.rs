//! One check of one server: a TCP connection that is opened and closed. Must not: keep state or decide what a result
//! means for the pool. Told apart here: what the server did, and what our own side could not do.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lb_core::config::{CheckKind, CheckParams};
use lb_core::health::{CheckResult, Outcome};
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time;

/// `server`: where the traffic goes.
pub async fn check(server: SocketAddr, params: CheckParams) -> CheckResult {
    let started = Instant::now();
    let target = SocketAddr::new(server.ip(), params.port.unwrap_or(server.port()));
    let outcome = match params.kind {
        CheckKind::Tcp => tcp(target, params.timeout).await,
        // Never due; asked all the same, it has nothing against the server.
        CheckKind::None => Outcome::Pass,
    };
    CheckResult {
        outcome,
        ended: Instant::now(),
        latency: started.elapsed(),
    }
}

async fn tcp(target: SocketAddr, timeout: Duration) -> Outcome {
    match time::timeout(timeout, TcpStream::connect(target)).await {
        Ok(Ok(_stream)) => Outcome::Pass,
        Ok(Err(error)) => classify(&error),
        Err(_elapsed) => Outcome::Fail(format!("no answer within {}", in_words(timeout))),
    }
}

/// keepalived takes unreachable networks for a failure of the server. Here they are ours: connect() says ENETUNREACH when our own
/// table has no route, and EHOSTUNREACH when a neighbour does not answer ARP, which is the server's.
fn classify(error: &io::Error) -> Outcome {
    let Some(errno) = Errno::from_io_error(error) else {
        return Outcome::CannotCheck(error.to_string());
    };
    let fail = |text: &str| Outcome::Fail(text.to_owned());
    let cannot = |text: &str| Outcome::CannotCheck(text.to_owned());
    match errno {
        Errno::CONNREFUSED => fail("connection refused"),
        Errno::CONNRESET => fail("connection reset"),
        Errno::CONNABORTED => fail("connection aborted"),
        Errno::HOSTUNREACH => fail("host unreachable"),
        Errno::HOSTDOWN => fail("host down"),
        Errno::TIMEDOUT => fail("no answer"),
        Errno::NETUNREACH => cannot("no route to the server"),
        Errno::NETDOWN => cannot("the link to the server is down"),
        Errno::ADDRNOTAVAIL => cannot("no local address or port is free"),
        Errno::PERM | Errno::ACCESS => cannot("the local filter forbids the connection"),
        Errno::MFILE | Errno::NFILE => cannot("too many open files"),
        Errno::NOBUFS | Errno::NOMEM => cannot("out of memory"),
        _ => Outcome::CannotCheck(error.to_string()),
    }
}

fn in_words(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    fn run(target: SocketAddr, timeout: Duration) -> CheckResult {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(check(
            target,
            CheckParams {
                timeout,
                ..CheckParams::default()
            },
        ))
    }

    #[test]
    fn a_listening_port_passes() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let result = run(listener.local_addr().unwrap(), Duration::from_secs(1));
        assert_eq!(result.outcome, Outcome::Pass);
        assert!(result.latency < Duration::from_secs(1));
    }

    #[test]
    fn a_closed_port_is_refused() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(
            run(free, Duration::from_secs(1)).outcome,
            Outcome::Fail("connection refused".to_owned())
        );
    }

    #[test]
    fn a_full_backlog_is_silence_and_the_deadline_holds() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _context = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let target = listener.local_addr().unwrap();
        // Nobody accepts: after the backlog is full, SYNs are dropped, as by a packet filter.
        let _fillers: Vec<_> = (0..8)
            .map(|_| std::net::TcpStream::connect_timeout(&target, Duration::from_millis(50)))
            .collect();
        let result = runtime.block_on(check(
            target,
            CheckParams {
                timeout: Duration::from_millis(300),
                ..CheckParams::default()
            },
        ));
        assert_eq!(result.outcome, Outcome::Fail("no answer within 300ms".to_owned()));
        assert!(result.latency >= Duration::from_millis(300) && result.latency < Duration::from_secs(2));
    }

    #[test]
    fn our_own_faults_are_told_apart() {
        let of = |errno: Errno| classify(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(
            of(Errno::NETUNREACH),
            Outcome::CannotCheck("no route to the server".to_owned())
        );
        assert_eq!(
            of(Errno::MFILE),
            Outcome::CannotCheck("too many open files".to_owned())
        );
        assert_eq!(
            of(Errno::HOSTUNREACH),
            Outcome::Fail("host unreachable".to_owned())
        );
        assert!(matches!(of(Errno::INVAL), Outcome::CannotCheck(_)));
    }
}
