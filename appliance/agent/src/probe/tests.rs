//! Checks against servers of this process: right ones, wrong ones, and ones that mean harm.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream as Stream};
use std::sync::{Arc, mpsc};

use lb_core::check::{BodyTest, CaSource, Close, Method, Page, Pattern, Statuses, Verify};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use std::num::NonZeroU16;

use super::*;
use crate::store::Store;

/// For what is to end by itself, on a machine that is busy otherwise.
const LONG: Duration = Duration::from_secs(20);

fn trust() -> Trust {
    Trust::new(Store::new("/nowhere".into()))
}

fn run(target: SocketAddr, params: &CheckParams) -> CheckResult {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let CheckKind::Tcp(close) = params.kind else {
        return runtime.block_on(check(target, params, &trust()));
    };
    runtime.block_on(async {
        let mut connects = Connects::new().unwrap();
        connects.start((), target, params.timeout, close);
        first(&mut connects).await.1
    })
}

async fn first<A>(connects: &mut Connects<A>) -> (A, CheckResult) {
    loop {
        let deadline = connects.deadline().unwrap_or_else(Instant::now);
        let _ = time::timeout_at(deadline.into(), connects.ready()).await;
        if let Some(ended) = connects.take_ended().pop() {
            return ended;
        }
    }
}

fn tcp(timeout: Duration) -> CheckParams {
    CheckParams {
        timeout,
        ..CheckParams::default()
    }
}

fn fail(why: &str) -> Outcome {
    Outcome::Fail(why.to_owned())
}

/// A server that does this with every connection.
fn serve(with: impl Fn(Stream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|stream| with(stream.unwrap())));
    address
}

fn request(stream: &mut impl Read) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        text.push(byte[0] as char);
    }
    text
}

/// Reads a request and gives this for an answer.
fn answer(bytes: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(bytes.as_bytes());
    })
}

fn page() -> Page {
    Page {
        path: "/".to_owned(),
        status: Statuses::default(),
        body: BodyTest::Any,
    }
}

fn http(pages: Vec<Page>) -> CheckParams {
    CheckParams {
        kind: CheckKind::Http(HttpCheck {
            tls: None,
            method: Method::Get,
            host: None,
            headers: Vec::new(),
            pages,
            counts_endpoints: false,
        }),
        timeout: LONG,
        ..CheckParams::default()
    }
}

fn with_body(body: BodyTest) -> CheckParams {
    http(vec![Page { body, ..page() }])
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
        Outcome::Refused("connection refused".to_owned())
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
    let result = run(target, &tcp(Duration::from_millis(300)));
    assert_eq!(
        result.outcome,
        Outcome::Silent("no answer within 300ms".to_owned())
    );
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
    assert_eq!(
        of(Errno::HOSTUNREACH),
        Outcome::Silent("host unreachable".to_owned())
    );
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

#[test]
fn a_status_is_judged() {
    let target = answer("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(run(target, &http(vec![page()])).outcome, Outcome::Pass);
    let teapot = http(vec![Page {
        status: Statuses(vec![418..=418, 500..=599]),
        ..page()
    }]);
    assert_eq!(
        run(target, &teapot).outcome,
        fail("status 204 instead of 418, 500-599")
    );
    // Nobody goes where a redirect leads.
    let moved = answer("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        run(moved, &http(vec![page()])).outcome,
        fail("status 302 instead of 200-299")
    );
    let old = answer("HTTP/1.0 200 OK\r\n\r\nold");
    assert_eq!(
        run(old, &with_body(BodyTest::Contains("old".into()))).outcome,
        Outcome::Pass
    );
}

#[test]
fn a_body_is_judged() {
    let target =
        answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nI am \r\n4\r\nwell\r\n0\r\n\r\n");
    let pattern = |text: &str| BodyTest::Matches(Pattern::new(text).unwrap());
    for (body, expected) in [
        (BodyTest::Contains("am well".into()), Outcome::Pass),
        (pattern("^I am w"), Outcome::Pass),
        (
            BodyTest::Contains("ill".into()),
            fail("a body that does not contain \"ill\""),
        ),
        (pattern("^well"), fail("a body that does not match \"^well\"")),
    ] {
        assert_eq!(run(target, &with_body(body)).outcome, expected);
    }
}

#[test]
fn endpoints_are_counted() {
    let mut params = http(vec![page()]);
    if let CheckKind::Http(http) = &mut params.kind {
        http.counts_endpoints = true;
    }
    for (answers, endpoints) in [
        (
            "HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: 3\r\nContent-Length: 0\r\n\r\n",
            Some(3),
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"service\": {}, \"localEndpoints\": 2}",
            Some(2),
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: 70000\r\n\r\n",
            Some(65_535),
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: many\r\n\r\nall well",
            None,
        ),
    ] {
        let result = run(answer(answers), &params);
        assert_eq!(result.outcome, Outcome::Pass, "{answers}");
        let told = endpoints
            .and_then(NonZeroU16::new)
            .map_or(Told::Nothing, Told::Endpoints);
        assert_eq!(result.told, told, "{answers}");
    }
    let none = answer("HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: 0\r\n\r\n");
    assert_eq!(
        run(none, &params).outcome,
        fail("the server has no local endpoint")
    );
}

#[test]
fn a_request_is_as_the_file_says() {
    let (told, hears) = mpsc::channel();
    let target = serve(move |mut stream| {
        told.send(request(&mut stream)).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let mut params = http(vec![
        Page {
            path: "/one?two".into(),
            ..page()
        },
        Page {
            path: "/three".into(),
            status: Statuses(vec![201..=201]),
            ..page()
        },
    ]);
    if let CheckKind::Http(http) = &mut params.kind {
        http.method = Method::Head;
        http.headers = vec![("X-Check".into(), "lb".into())];
    }
    assert_eq!(
        run(target, &params).outcome,
        fail("/three: status 200 instead of 201")
    );
    let first = hears.recv().unwrap().to_lowercase();
    assert!(first.starts_with("head /one?two http/1.1\r\n"), "{first}");
    for field in [&format!("host: {target}"), "connection: close", "x-check: lb"] {
        assert!(first.contains(&format!("\r\n{field}\r\n")), "{field}: {first}");
    }
    assert!(hears.recv().unwrap().starts_with("HEAD /three HTTP/1.1\r\n"));
    if let CheckKind::Http(http) = &mut params.kind {
        http.host = Some("www.example.com".into());
    }
    run(target, &params);
    assert!(
        hears
            .recv()
            .unwrap()
            .to_lowercase()
            .contains("\r\nhost: www.example.com\r\n")
    );
}

#[test]
fn a_server_that_means_harm_is_down_in_time() {
    let short = |mut params: CheckParams| {
        params.timeout = Duration::from_millis(500);
        params
    };
    let silent = serve(std::mem::forget);
    assert_eq!(
        run(silent, &short(http(vec![page()]))).outcome,
        fail("connected, but no HTTP answer within 500ms")
    );
    let trickles = serve(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b".").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let started = Instant::now();
    assert_eq!(
        run(trickles, &short(with_body(BodyTest::Contains("!".into())))).outcome,
        fail("an HTTP answer that was not whole within 500ms")
    );
    assert!(started.elapsed() < LONG / 2);
    // A gigabyte, and header fields without end: what is read of them has a limit.
    let endless = |line: &'static str| {
        serve(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            let block = line.repeat(1_000);
            while stream.write_all(block.as_bytes()).is_ok() {}
        })
    };
    let large = endless("\r\n................");
    let never = with_body(BodyTest::Contains("!".into()));
    assert_eq!(
        run(large, &never).outcome,
        fail("a body that does not contain \"!\"")
    );
    let Outcome::Fail(_) = run(endless("x: y\r\n"), &http(vec![page()])).outcome else {
        panic!("header fields without end");
    };
    let garbage = answer("\u{1}\u{2}SSH-2.0-OpenSSH\r\n\r\n");
    assert_eq!(
        run(garbage, &http(vec![page()])).outcome,
        fail("the answer is no HTTP")
    );
    let closes = answer("");
    assert_eq!(
        run(closes, &http(vec![page()])).outcome,
        fail("the connection was closed before the answer was whole")
    );
    let resets = serve(|stream| {
        socket_linger(&stream);
    });
    assert!(matches!(
        run(resets, &http(vec![page()])).outcome,
        Outcome::Fail(_)
    ));
}

/// Closed with RST.
fn socket_linger(stream: &Stream) {
    let zero = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    zero.unwrap();
}

/// An authority, and a certificate of it.
struct Issued {
    ca: String,
    certificate: CertificateDer<'static>,
    server: Arc<rustls::ServerConfig>,
}

fn issue(name: &str, years: std::ops::RangeInclusive<i32>) -> Issued {
    let mut authority = CertificateParams::default();
    let who = format!("authority of {name} until {}", years.end());
    authority.distinguished_name.push(DnType::CommonName, who);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(*years.start(), 1, 1);
    leaf.not_after = rcgen::date_time_ymd(*years.end(), 1, 1);
    let certificate = leaf.signed_by(&key, &authority).unwrap().der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    Issued {
        ca: authority.pem(),
        certificate,
        server: Arc::new(server),
    }
}

fn serve_tls(issued: &Issued) -> SocketAddr {
    let config = issued.server.clone();
    serve(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        if request(&mut tls).is_empty() {
            return;
        }
        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let _ = tls.flush();
        let _ = stream.read(&mut [0]);
    })
}

fn tls(verify: Verify, server_name: Option<&str>) -> CheckParams {
    CheckParams {
        kind: CheckKind::Tls(TlsCheck {
            server_name: server_name.map(str::to_owned),
            verify,
        }),
        timeout: LONG,
        ..CheckParams::default()
    }
}

#[test]
fn who_answers_over_tls_is_verified() {
    let by_name = issue("www.example.com", 2020..=2090);
    let by_address = issue("127.0.0.1", 2020..=2090);
    let expired = issue("127.0.0.1", 2000..=2020);
    let early = issue("127.0.0.1", 2080..=2090);
    let ca = |issued: &Issued| Verify::Ca(CaSource::Text(issued.ca.clone()));
    let print = |issued: &Issued| Verify::Fingerprint(Sha256::digest(&issued.certificate).into());
    let name = Some("www.example.com");
    let cases = [
        (&by_name, ca(&by_name), name, Outcome::Pass),
        (&by_address, ca(&by_address), None, Outcome::Pass),
        (
            &by_name,
            ca(&by_name),
            None,
            fail("its certificate is for another name: see `server_name`"),
        ),
        (
            &by_name,
            ca(&by_address),
            name,
            fail("its certificate is not signed by `ca`"),
        ),
        (&expired, ca(&expired), None, fail("its certificate has expired")),
        (
            &early,
            ca(&early),
            None,
            fail("its certificate is not valid yet: is the appliance's clock right?"),
        ),
        (&by_name, print(&by_name), None, Outcome::Pass),
        (
            &expired,
            print(&by_name),
            None,
            fail("its certificate has another fingerprint"),
        ),
        (&expired, Verify::Nobody, None, Outcome::Pass),
    ];
    for (issued, verify, name, expected) in cases {
        let target = serve_tls(issued);
        let params = tls(verify, name);
        assert_eq!(run(target, &params).outcome, expected, "{params:?}");
        // The same before a request.
        let CheckKind::Tls(check) = params.kind else {
            continue;
        };
        let mut params = with_body(BodyTest::Contains("ok".into()));
        if let CheckKind::Http(http) = &mut params.kind {
            http.tls = Some(check);
        }
        assert_eq!(run(target, &params).outcome, expected, "{params:?}");
    }
}

#[test]
fn what_is_no_tls_is_told_apart() {
    let params = tls(Verify::Nobody, None);
    let plain = serve(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    assert_eq!(run(plain, &params).outcome, fail("the answer is no TLS"));
    let closes = serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    assert_eq!(
        run(closes, &params).outcome,
        fail("the connection was closed during the TLS handshake")
    );
    let silent = serve(std::mem::forget);
    let hurried = CheckParams {
        timeout: Duration::from_millis(300),
        ..params
    };
    assert_eq!(
        run(silent, &hurried).outcome,
        fail("connected, but no TLS handshake within 300ms")
    );
}

#[test]
fn authorities_come_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let trust = Trust::new(Store::new(directory.path().to_owned()));
    let issued = issue("127.0.0.1", 2020..=2090);
    let target = serve_tls(&issued);
    let params = tls(Verify::Ca(CaSource::File("ca.pem".into())), None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let made = || runtime.block_on(check(target, &params, &trust)).outcome;
    let path = directory.path().join("ca.pem");
    assert_eq!(
        made(),
        Outcome::CannotCheck(format!("there is no {}", path.display()))
    );
    std::fs::write(&path, "no PEM").unwrap();
    assert_eq!(
        made(),
        Outcome::CannotCheck(format!("there is no certificate in {}", path.display()))
    );
    std::fs::write(&path, &issued.ca).unwrap();
    assert_eq!(made(), Outcome::Pass);
    // What was read is kept until the configuration is read again.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(made(), Outcome::Pass);
    trust.forget();
    assert!(matches!(made(), Outcome::CannotCheck(_)));
}
