//! Who answers, and whom the server takes us for.

use std::sync::{Arc, mpsc};

use lb_core::check::{BodyTest, Identity, Pem, Verify};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use super::http::with_body;
use super::*;

/// An authority, and a certificate of it.
pub(super) struct Issued {
    pub ca: String,
    certificate: CertificateDer<'static>,
    /// Both in PEM.
    identity: (String, String),
    server: Arc<rustls::ServerConfig>,
}

pub(super) fn issue(name: &str, years: std::ops::RangeInclusive<i32>) -> Issued {
    let mut authority = CertificateParams::default();
    let who = format!("authority of {name} until {}", years.end());
    authority.distinguished_name.push(DnType::CommonName, who);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(*years.start(), 1, 1);
    leaf.not_after = rcgen::date_time_ymd(*years.end(), 1, 1);
    let certificate = leaf.signed_by(&key, &authority).unwrap();
    let identity = (certificate.pem(), key.serialize_pem());
    let certificate = certificate.der().clone();
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
        identity,
        server: Arc::new(server),
    }
}

pub(super) fn serve_tls(issued: &Issued) -> SocketAddr {
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

pub(super) fn tls(verify: Verify, server_name: Option<&str>) -> CheckParams {
    CheckParams {
        kind: CheckKind::Tls(TlsCheck {
            server_name: server_name.map(str::to_owned),
            verify,
            identity: None,
            expiry_warning: Duration::ZERO,
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
    let ca = |issued: &Issued| Verify::Ca(Pem::Text(issued.ca.clone()));
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

/// Sends a byte at a time, and takes its time.
struct Trickle(Stream);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(20));
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A handshake in which every byte is right, and which would take half a minute, does not stretch the check.
#[test]
fn a_handshake_that_trickles_is_given_up_in_time() {
    let issued = issue("127.0.0.1", 2020..=2090);
    let config = issued.server.clone();
    let trickles = serve(move |stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = Trickle(stream);
        let _ = connection.complete_io(&mut stream);
    });
    let hurried = CheckParams {
        timeout: Duration::from_millis(500),
        ..tls(Verify::Nobody, None)
    };
    let begun = Instant::now();
    assert_eq!(
        run(trickles, &hurried).outcome,
        fail("connected, but no TLS handshake within 500ms")
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn authorities_come_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let trust = Trust::new(Store::new(directory.path().to_owned()));
    let issued = issue("127.0.0.1", 2020..=2090);
    let target = serve_tls(&issued);
    let params = tls(Verify::Ca(Pem::File("ca.pem".into())), None);
    let runtime = runtime();
    let made = || runtime.block_on(check(&way(target), &params, &trust)).outcome;
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

/// A server that lets in whom this authority knows. It says nothing, and closes when its client does.
fn serve_known(
    issued: &Issued,
    authority: &str,
    protocol: &'static rustls::SupportedProtocolVersion,
) -> SocketAddr {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let (certificate, key) = &issued.identity;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[protocol])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    serve(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        if !request(&mut tls).is_empty() {
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        let _ = tls.flush();
        // An alert has to arrive before the reset that unread bytes would cause.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn a_check_shows_who_it_is() {
    let server = issue("127.0.0.1", 2020..=2090);
    let client = issue("lb", 2020..=2090);
    let stranger = issue("lb", 2020..=2089);
    let named = |who: Option<&Issued>| {
        let CheckKind::Tls(mut tls) = tls(Verify::Nobody, None).kind else {
            unreachable!();
        };
        tls.identity = who.map(|who| Identity {
            certificate: Pem::Text(who.identity.0.clone()),
            key: Pem::Text(who.identity.1.clone()),
        });
        tls
    };
    let wants = "it wants to know who asks: give `client_certificate` and `client_key`";
    for protocol in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let target = serve_known(&server, &client.ca, protocol);
        let outcome = |who| {
            let mut request = with_body(BodyTest::Contains("ok".into()));
            if let CheckKind::Http(http) = &mut request.kind {
                http.tls = Some(named(who));
            }
            let both = [
                run(target, &asks(CheckKind::Tls(named(who)))),
                run(target, &request),
            ];
            both.map(|result| result.outcome)
        };
        let [handshake, request] = outcome(Some(&client));
        assert_eq!((handshake, request), (Outcome::Pass, Outcome::Pass));
        for result in outcome(None) {
            assert_eq!(result, fail(wants), "{protocol:?}");
        }
        for result in outcome(Some(&stranger)) {
            assert_eq!(
                result,
                fail("it does not accept `client_certificate`"),
                "{protocol:?}"
            );
        }
    }
}

#[test]
fn an_identity_that_is_none_is_our_own_fault() {
    let (one, other) = (issue("lb", 2020..=2090), issue("lb", 2020..=2090));
    let target = serve_tls(&one);
    let directory = tempfile::tempdir().unwrap();
    let trust = Trust::new(Store::new(directory.path().to_owned()));
    let mut params = tls(Verify::Nobody, None);
    if let CheckKind::Tls(tls) = &mut params.kind {
        tls.identity = Some(Identity {
            certificate: Pem::File("lb.pem".to_owned()),
            key: Pem::File("lb.key".to_owned()),
        });
    }
    let made = || runtime().block_on(check(&way(target), &params, &trust)).outcome;
    let path = |name: &str| directory.path().join(name);
    let (certificate, key) = (path("lb.pem"), path("lb.key"));
    let cannot = |why: String| Outcome::CannotCheck(why);
    assert_eq!(made(), cannot(format!("there is no {}", certificate.display())));
    std::fs::write(&certificate, &one.identity.0).unwrap();
    std::fs::write(&key, "no PEM").unwrap();
    let unreadable = format!(
        "there is no private key in {} that can be read without a password",
        key.display()
    );
    assert_eq!(made(), cannot(unreadable));
    std::fs::write(&key, &other.identity.1).unwrap();
    let Outcome::CannotCheck(why) = made() else {
        panic!("the key is that of another certificate");
    };
    assert!(
        why.starts_with("`client_key` and `client_certificate` cannot be used"),
        "{why}"
    );
    std::fs::write(&key, &one.identity.1).unwrap();
    assert_eq!(made(), Outcome::Pass);
}

#[test]
fn a_check_tells_when_the_certificate_ends() {
    let issued = issue("127.0.0.1", 2020..=2090);
    let target = serve_tls(&issued);
    let ends = rcgen::date_time_ymd(2090, 1, 1).unix_timestamp();
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(ends.try_into().unwrap());
    let params = tls(Verify::Nobody, None);
    assert_eq!(run(target, &params).certificate_ends, Some(ends));
    let failing = tls(Verify::Fingerprint([0; 32]), None);
    assert_eq!(run(target, &failing).certificate_ends, None);
}

#[test]
fn grpc_over_tls_needs_http2() {
    let issued = issue("127.0.0.1", 2020..=2090);
    let CheckKind::Tls(tls) = tls(Verify::Nobody, None).kind else {
        unreachable!();
    };
    let params = asks(CheckKind::Grpc(lb_core::check::GrpcCheck {
        tls: Some(tls),
        ..Default::default()
    }));
    let no_alpn = serve_tls(&issued);
    assert_eq!(
        run(no_alpn, &params).outcome,
        fail("it does not speak HTTP/2 over TLS (ALPN h2)")
    );
    let mut config = rustls::ServerConfig::clone(&issued.server);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let other = serve_tls(&Issued {
        server: Arc::new(config),
        ..issued
    });
    assert_eq!(
        run(other, &params).outcome,
        fail("it does not speak HTTP/2 over TLS (ALPN h2)")
    );
}

#[test]
fn a_handshake_goes_on_with_the_last_one_until_a_check_fails() {
    let issued = issue("127.0.0.1", 2020..=2090);
    let (told, kinds) = mpsc::channel();
    let config = issued.server.clone();
    let target = serve(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        request(&mut tls);
        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let _ = tls.flush();
        told.send(connection.handshake_kind().unwrap()).unwrap();
    });
    let asks = |body: &str| {
        let mut params = with_body(BodyTest::Contains(body.into()));
        let CheckKind::Tls(tls) = tls(Verify::Ca(Pem::Text(issued.ca.clone())), None).kind else {
            panic!("not a check by TLS");
        };
        if let CheckKind::Http(http) = &mut params.kind {
            http.tls = Some(tls);
        }
        params
    };
    let trust = trust();
    let once = |body: &str| {
        let result = runtime().block_on(check(&way(target), &asks(body), &trust));
        let passed = result.outcome == Outcome::Pass;
        assert_eq!(result.certificate_ends.is_some(), passed);
        (passed, kinds.recv().unwrap())
    };
    use rustls::HandshakeKind::{Full, Resumed};
    let bodies = ["ok", "ok", "ok", "ill", "ok", "ok"].map(once);
    let expected = [
        (true, Full),
        (true, Resumed),
        (true, Resumed),
        (false, Resumed),
        (true, Full),
        (true, Resumed),
    ];
    assert_eq!(bodies, expected);
    trust.forget();
    assert_eq!(once("ok"), (true, Full));
}
