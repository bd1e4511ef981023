//! What a check tells whoever watches it, and that watching changes nothing of what it finds.

use lb_core::check::{BodyTest, Pem, UdpCheck, Verify};
use lb_core::control::ProbeStep;

use super::http::with_body;
use super::tls::{issue, serve_tls, tls};
use super::*;

fn watched(target: SocketAddr, params: &CheckParams) -> (Outcome, Vec<ProbeStep>) {
    let Watched { result, steps } = runtime().block_on(watch(&way(target), params, &trust()));
    assert_eq!(result.outcome, run(target, params).outcome, "unwatched");
    (result.outcome, steps)
}

fn names(steps: &[ProbeStep]) -> Vec<&str> {
    steps.iter().map(|step| step.what.as_str()).collect()
}

#[test]
fn a_request_and_its_answer_are_told() {
    let target = answer(
        "HTTP/1.1 503 Service Unavailable\r\nX-Why: so\r\nSet-Cookie: id=4711\r\nContent-Length: 4\r\n\r\ndown",
    );
    let mut params = with_body(BodyTest::Contains("ok".into()));
    let CheckKind::Http(http) = &mut params.kind else {
        panic!("{params:?}");
    };
    http.headers = vec![
        ("Authorization".into(), "Bearer 4711".into()),
        ("X-A".into(), "b".into()),
    ];
    let (outcome, steps) = watched(target, &params);
    assert_eq!(outcome, fail("status 503 instead of 200-299"));
    assert_eq!(names(&steps), ["connect", "request", "answer", "body"]);
    let text = format!("{steps:?}");
    assert!(!text.contains("4711"), "a secret is shown: {text}");
    for expected in [
        "GET / HTTP/1.1",
        "Authorization: (not shown)",
        "X-A: b",
        "expected: status 200-299, and a body that does contain \\\"ok\\\"",
        "HTTP/1.1 503 Service Unavailable",
        "Set-Cookie: (not shown)",
        "the check does not look at it",
        "down",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(steps.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms));
}

/// Also a certificate that is not accepted: that is when it is to be seen.
#[test]
fn certificates_are_told_be_they_good_or_not() {
    let issued = issue("127.0.0.1", 2020..=2090);
    let other = issue("127.0.0.1", 2020..=2091);
    let target = serve_tls(&issued);
    let ca = |issued: &super::tls::Issued| Verify::Ca(Pem::Text(issued.ca.clone()));
    let (outcome, steps) = watched(target, &tls(ca(&issued), None));
    assert_eq!(outcome, Outcome::Pass);
    assert_eq!(names(&steps), ["connect", "certificate", "tls"]);
    assert!(steps[2].lines[0].starts_with("TLS 1.3, TLS13_"), "{steps:?}");
    let (outcome, steps) = watched(target, &tls(ca(&other), None));
    assert_eq!(outcome, fail("its certificate is not signed by `ca`"));
    assert_eq!(names(&steps), ["connect", "certificate"]);
    let lines = steps[1].lines.join("\n");
    for expected in [
        "issuer: authority of 127.0.0.1 until 2090",
        "names: 127.0.0.1",
        "valid: 2020-01-01 to 2090-01-01",
        "SHA-256: ",
        "expected: a chain to `ca`, and the server's address",
    ] {
        assert!(lines.contains(expected), "{lines}");
    }
}

/// A body that never comes does not turn a check that passes into one that fails.
#[test]
fn a_body_that_does_not_come_costs_nothing() {
    let target = serve(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let _ = stream.read(&mut [0; 64]);
    });
    let params = CheckParams {
        timeout: Duration::from_secs(5),
        ..with_body(BodyTest::Any)
    };
    let (outcome, steps) = watched(target, &params);
    assert_eq!(outcome, Outcome::Pass);
    assert_eq!(names(&steps), ["connect", "request", "answer"]);
}

/// The whole of one that the check looks at; of another what has come, also when the rest does not.
#[test]
fn the_beginning_of_a_body_is_told() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let (outcome, steps) = watched(answer(chunked), &with_body(BodyTest::Contains("ok".into())));
    assert_eq!(outcome, Outcome::Pass);
    assert_eq!(names(&steps), ["connect", "request", "answer", "body"]);
    assert_eq!(steps[2].lines, ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"]);
    assert_eq!(steps[3].lines, ["begins with: \"ok\""]);
    let half = serve(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.0 200\r\nContent-Length: 8\r\n\r\nhalf");
        let _ = stream.read(&mut [0; 64]);
    });
    let params = CheckParams {
        timeout: Duration::from_secs(5),
        ..with_body(BodyTest::Any)
    };
    let (outcome, steps) = watched(half, &params);
    assert_eq!(outcome, Outcome::Pass);
    assert_eq!(steps[2].lines, ["HTTP/1.0 200", "Content-Length: 8"]);
    assert_eq!(
        steps[3].lines,
        ["begins with (the check does not look at it): \"half\""]
    );
}

#[test]
fn other_kinds_are_told_too() {
    let agent = serve(|mut stream| {
        let _ = stream.write_all(b"up 50%\n");
    });
    let (_, steps) = watched(agent, &asks(CheckKind::Agent(Default::default())));
    assert_eq!(names(&steps), ["connect", "answer"]);
    let nobody: SocketAddr = {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.local_addr().unwrap()
    };
    let ask = CheckKind::Udp(UdpCheck {
        send: b"hello\x00".to_vec(),
        expect: None,
    });
    let (outcome, steps) = watched(nobody, &briefly(ask));
    assert!(matches!(outcome, Outcome::Refused(_)));
    assert_eq!(names(&steps), ["request"]);
    assert!(steps[0].lines[0].contains("6 bytes: \"hello"), "{steps:?}");
    let (outcome, steps) = watched(nobody, &asks(CheckKind::Tcp(Close::Fin)));
    assert_eq!(outcome, refused("connection refused"));
    assert_eq!(names(&steps), ["connect"], "what was tried, and what came");
    assert_eq!(steps[0].lines[1], "connection refused: nothing listens there");
}
