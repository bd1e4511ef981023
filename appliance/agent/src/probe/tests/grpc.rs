//! A real server of gRPC, and ones that are none.

use std::sync::mpsc;

use lb_core::check::GrpcCheck;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

use super::*;

const SERVICE: &str = "helloworld.Greeter";

fn grpc(service: &str) -> CheckKind {
    CheckKind::Grpc(GrpcCheck {
        service: service.to_owned(),
        ..GrpcCheck::default()
    })
}

/// `health`: whether it has the health service; the test ends it with itself.
fn server(statuses: Vec<(&'static str, ServingStatus)>) -> SocketAddr {
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            tell.send(incoming.local_addr().unwrap()).unwrap();
            let (reporter, health) = tonic_health::server::health_reporter();
            for (name, status) in statuses {
                reporter.set_service_status(name, status).await;
            }
            let mut server = tonic::transport::Server::builder();
            server
                .add_service(health)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    hear.recv().unwrap()
}

fn outcome(target: SocketAddr, service: &str) -> Outcome {
    run(target, &asks(grpc(service))).outcome
}

#[test]
fn a_server_is_up_when_it_serves() {
    let target = server(vec![
        (SERVICE, ServingStatus::Serving),
        ("ill", ServingStatus::NotServing),
        ("odd", ServingStatus::Unknown),
    ]);
    assert_eq!(outcome(target, ""), Outcome::Pass);
    assert_eq!(outcome(target, SERVICE), Outcome::Pass);
    assert_eq!(outcome(target, "ill"), fail("NOT_SERVING"));
    assert_eq!(outcome(target, "odd"), fail("serving status UNKNOWN (0)"));
    assert_eq!(
        outcome(target, "nobody"),
        fail("NOT_FOUND: the server has no health of the service \"nobody\"")
    );
}

/// A server of HTTP/2 that gives this answer to everything.
fn http2(
    answer: fn() -> ::http::Response<()>,
    data: &'static [u8],
    trailers: &'static [(&'static str, &'static str)],
) -> SocketAddr {
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let ends = data.is_empty() && trailers.is_empty();
                    let mut body = respond.send_response(answer(), ends).unwrap();
                    if !data.is_empty() {
                        body.send_data(data.into(), trailers.is_empty()).unwrap();
                    }
                    if !trailers.is_empty() {
                        let fields = trailers
                            .iter()
                            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
                        body.send_trailers(fields.collect()).unwrap();
                    }
                }
            }
        });
    });
    hear.recv().unwrap()
}

fn grpc_answer() -> ::http::Response<()> {
    let answer = ::http::Response::builder().header("content-type", "application/grpc");
    answer.body(()).unwrap()
}

#[test]
fn answers_that_are_no_health_are_told_apart() {
    let serving = b"\0\0\0\0\x02\x08\x01";
    let ok = &[("grpc-status", "0")];
    assert_eq!(outcome(http2(grpc_answer, serving, ok), ""), Outcome::Pass);
    for (data, trailers, why) in [
        (
            &b""[..],
            &[("grpc-status", "12")],
            "UNIMPLEMENTED: the server has no health service (grpc.health.v1.Health)",
        ),
        (
            b"",
            &[("grpc-status", "14")],
            "gRPC status 14 UNAVAILABLE: no message",
        ),
        (b"", &[("grpc-status", "x")], "a gRPC status that is no number"),
        (b"", ok, "the answer is no HealthCheckResponse"),
        (b"\0\0\0\0\x02\x08", ok, "the answer is no HealthCheckResponse"),
        (&[0; 5_000], ok, "the answer is too long for a health check"),
    ] {
        assert_eq!(outcome(http2(grpc_answer, data, trailers), ""), fail(why));
    }
    assert_eq!(
        outcome(http2(grpc_answer, serving, &[]), ""),
        fail("the answer has no gRPC status")
    );
    let page = || ::http::Response::builder().status(404).body(()).unwrap();
    assert_eq!(
        outcome(http2(page, b"", &[]), ""),
        fail("HTTP status 404, and no gRPC")
    );
}

#[test]
fn a_server_that_means_harm_is_down_in_time() {
    let late = fail("connected, but no gRPC answer that was whole within 500ms");
    let silent = serve(std::mem::forget);
    assert_eq!(run(silent, &briefly(grpc(""))).outcome, late);
    let trickles = serve(|mut stream| {
        for byte in [0].iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(run(trickles, &briefly(grpc(""))).outcome, late);
    let started = Instant::now();
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[0xff; 4096],
        &[0; 4096],
    ] {
        let endless = serve(move |mut stream| while stream.write_all(bytes).is_ok() {});
        let Outcome::Fail(why) = outcome(endless, "") else {
            panic!("no HTTP/2");
        };
        assert!(
            why.contains("HTTP/2") || why.contains("closed") || why.contains("reset"),
            "{why}"
        );
    }
    assert!(started.elapsed() < LONG);
    // Which of the two it is depends on who is faster.
    let ends = [
        fail("the connection was closed before the answer was whole"),
        fail("connection reset"),
    ];
    let closes = outcome(serve(drop), "");
    assert!(ends.contains(&closes), "{closes:?}");
    let resets = outcome(serve(|stream| socket_linger(&stream)), "");
    assert!(ends.contains(&resets), "{resets:?}");
}
