//! Requests, and answers of all kinds.

use std::num::NonZeroU16;
use std::sync::{Arc, mpsc};

use lb_core::check::{BodyTest, Method, Page, Pattern, Statuses};

use super::*;

/// Alone, as a check with a source of its own, and among others, as most are: both find the same.
fn run(target: SocketAddr, params: &CheckParams) -> CheckResult {
    let alone = super::run(target, params);
    let among_others = among_others(target, params);
    assert_eq!(alone.told, among_others.told);
    match (&alone.outcome, &among_others.outcome) {
        // What is unread when a server closes makes its end a reset or not, as it happens.
        (Outcome::Fail(_), Outcome::Fail(why)) if why == "connection reset" => {}
        (one, other) => assert_eq!(one, other),
    }
    alone
}

fn among_others(target: SocketAddr, params: &CheckParams) -> CheckResult {
    runtime().block_on(async {
        let mut connects = Connects::new().unwrap();
        assert!(connects.ask((), target, &Arc::new(params.clone())));
        loop {
            let deadline = connects.deadline().unwrap_or_else(Instant::now);
            let _ = time::timeout_at(deadline.into(), connects.ready()).await;
            if let Some((_, result)) = connects.take_ended().pop() {
                return result;
            }
        }
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

pub(super) fn with_body(body: BodyTest) -> CheckParams {
    http(vec![Page { body, ..page() }])
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
        super::run(target, &params).outcome,
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
    among_others(target, &params);
    assert!(
        hears
            .recv()
            .unwrap()
            .to_lowercase()
            .contains("\r\nhost: www.example.com\r\n")
    );
}

/// keepalived asks for one URL in each round, and stays with the one that has failed. Here each check asks for all, and the next one begins with the first again.
#[test]
fn a_check_asks_for_its_pages_in_their_order_and_ends_at_the_first_that_fails() {
    let (told, hears) = mpsc::channel();
    let target = serve(move |mut stream| {
        let asked = request(&mut stream);
        let path = asked.split(' ').nth(1).unwrap_or_default().to_owned();
        let status = if path == "/two" { 503 } else { 200 };
        told.send(path).unwrap();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
    });
    let at = |path: &str| Page {
        path: path.into(),
        ..page()
    };
    let params = http(vec![at("/one"), at("/two"), at("/three")]);
    for _ in 0..2 {
        assert_eq!(
            super::run(target, &params).outcome,
            fail("/two: status 503 instead of 200-299")
        );
    }
    assert_eq!(
        hears.try_iter().collect::<Vec<_>>(),
        ["/one", "/two", "/one", "/two"]
    );
    let params = http(vec![at("/one"), at("/three")]);
    assert_eq!(super::run(target, &params).outcome, Outcome::Pass);
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), ["/one", "/three"]);
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
