//! A connection, and its end.

use std::sync::mpsc;

use super::*;

/// Alone, as a check with a source of its own, and among others, as most are: both find the same.
fn run(target: SocketAddr, params: &CheckParams) -> CheckResult {
    let CheckKind::Tcp(close) = params.kind else {
        panic!("not a check by TCP");
    };
    let alone = super::run(target, params);
    let among_others = runtime().block_on(async {
        let mut connects = Connects::new().unwrap();
        connects.start((), target, params.timeout, close);
        loop {
            let deadline = connects.deadline().unwrap_or_else(Instant::now);
            let _ = time::timeout_at(deadline.into(), connects.ready()).await;
            if let Some((_, result)) = connects.take_ended().pop() {
                return result;
            }
        }
    });
    assert_eq!(alone.outcome, among_others.outcome);
    among_others
}

fn tcp(timeout: Duration) -> CheckParams {
    CheckParams {
        kind: CheckKind::Tcp(Close::Fin),
        timeout,
        ..CheckParams::default()
    }
}

#[test]
fn a_listening_port_passes() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let result = run(listener.local_addr().unwrap(), &tcp(Duration::from_secs(1)));
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
        run(free, &tcp(Duration::from_secs(1))).outcome,
        refused("connection refused")
    );
}

#[test]
fn a_full_backlog_is_silence_and_the_deadline_holds() {
    let runtime = runtime();
    let _context = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let target = listener.local_addr().unwrap();
    // Nobody accepts: after the backlog is full, SYNs are dropped, as by a packet filter.
    let _fillers: Vec<_> = (0..8)
        .map(|_| std::net::TcpStream::connect_timeout(&target, Duration::from_millis(50)))
        .collect();
    let result = run(target, &tcp(Duration::from_millis(300)));
    assert_eq!(result.outcome, silent("no answer within 300ms"));
    assert!(result.latency >= Duration::from_millis(300) && result.latency < Duration::from_secs(2));
}

/// More than one look tells of, some of which pass and some of which do not.
#[test]
fn each_of_many_connections_has_its_own_end() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let open = listener.local_addr().unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let closed = free.local_addr().unwrap();
    drop(free);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connects = Connects::new().unwrap();
        for number in 0..100 {
            let target = if number % 3 == 0 { closed } else { open };
            connects.start(number, target, LONG, Close::Fin);
        }
        connects.end(100, Instant::now(), Outcome::CannotCheck("down".to_owned()));
        let mut ended = Vec::new();
        while ended.len() < 101 {
            connects.ready().await;
            ended.extend(connects.take_ended());
        }
        ended.sort_by_key(|(number, _)| *number);
        for (number, (asker, result)) in ended.iter().enumerate() {
            let expected = match number {
                100 => Outcome::CannotCheck("down".to_owned()),
                _ if number % 3 == 0 => Outcome::Refused("connection refused".to_owned()),
                _ => Outcome::Pass,
            };
            assert_eq!((number, &result.outcome), (*asker, &expected));
        }
        assert_eq!(connects.deadline(), None);
    });
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
    assert_eq!(of(Errno::HOSTUNREACH), silent("host unreachable"));
    assert!(matches!(of(Errno::INVAL), Outcome::CannotCheck(_)));
}

#[test]
fn a_connection_ends_as_the_check_says() {
    for (close, reset) in [(Close::Fin, false), (Close::Rst, true)] {
        let (told, hears) = mpsc::channel();
        let target = serve(move |mut stream| told.send(stream.read(&mut [0])).unwrap());
        let params = CheckParams {
            kind: CheckKind::Tcp(close),
            timeout: LONG,
            ..CheckParams::default()
        };
        assert_eq!(run(target, &params).outcome, Outcome::Pass);
        let end = hears.recv().unwrap();
        assert_eq!(end.is_err(), reset, "{close:?}: {end:?}");
    }
}
