//! grpc.health.v1.Health/Check over HTTP/2, by h2, which by itself needs no task beside the
//! check, and its limits are ours. The two messages have one field each, and are read and written here
//! (https://github.com/grpc/grpc/blob/master/doc/health-checking.md, doc/PROTOCOL-HTTP2.md). Must not: know TLS.

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http::{HeaderMap, Request, Response};
use lb_core::check::GrpcCheck;
use lb_core::health::Outcome;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Progress, Stage, account, in_short};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Of all header fields of an answer together (bytes).
const MOST_HEAD: u32 = 32 << 10;
/// Of the message (bytes): two would do.
const MOST_MESSAGE: usize = 4 << 10;
/// Whether it is compressed, and its length.
const PREFIX: usize = 5;
const SERVING: u64 = 1;

/// Names of the codes that gRPC ends with (doc/statuscodes.md).
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Over a connection that is there; `target`: what its server is called without `host`.
pub(super) async fn exchange<S>(
    stream: S,
    check: &GrpcCheck,
    target: &str,
    progress: &Progress,
) -> Result<(), Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    progress.is_at(Stage::Grpc);
    let handshake = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MOST_HEAD)
        .initial_window_size(1 << 16)
        .initial_connection_window_size(1 << 16)
        .handshake::<_, Bytes>(stream);
    let (sender, connection) = handshake.await.map_err(|error| broken(&error))?;
    // The connection moves only as long as the exchange wants something of it, and ends with it.
    tokio::pin!(connection);
    tokio::select! {
        judged = ask(sender, check, target, progress) => judged,
        error = async { match (&mut connection).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        } } => Err(broken(&error)),
    }
}

async fn ask(
    sender: h2::client::SendRequest<Bytes>,
    check: &GrpcCheck,
    target: &str,
    progress: &Progress,
) -> Result<(), Outcome> {
    let mut sender = sender.ready().await.map_err(|error| broken(&error))?;
    let request = request(check, target)?;
    progress.note("request", || asked(&request, &check.service));
    let (answer, mut body) = sender
        .send_request(request, false)
        .map_err(|error| broken(&error))?;
    body.send_data(message(&check.service), true)
        .map_err(|error| broken(&error))?;
    let answer = answer.await.map_err(|error| broken(&error))?;
    progress.note("answer", || {
        let mut lines = vec![format!("HTTP/2 {}", answer.status())];
        lines.extend(fields(answer.headers()));
        lines
    });
    judge(answer, &check.service, progress).await
}

fn fields(headers: &HeaderMap) -> Vec<String> {
    let fields = headers.iter();
    account::fields(fields.map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// For whoever watches.
fn asked(request: &Request<()>, service: &str) -> Vec<String> {
    let mut lines = vec![format!("{} {} HTTP/2", request.method(), request.uri())];
    lines.extend(fields(request.headers()));
    lines.push(format!("HealthCheckRequest of the service {service:?}"));
    lines.push("expected: SERVING, and gRPC status 0 OK".to_owned());
    lines
}

fn request(check: &GrpcCheck, target: &str) -> Result<Request<()>, Outcome> {
    let scheme = if check.tls.is_some() { "https" } else { "http" };
    let host = check.host.as_deref().unwrap_or(target);
    Request::post(format!("{scheme}://{host}{PATH}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("user-agent", "lb-check")
        .body(())
        .map_err(|error| Outcome::CannotCheck(format!("the request cannot be made: {error}")))
}

/// HealthCheckRequest: field 1 is the service's name, which is left out if it is empty. A name has 255 bytes at most.
fn message(service: &str) -> Bytes {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(0x0a);
        let length = service.len();
        if length > 0x7f {
            field.push(0x80 | (length & 0x7f) as u8);
            field.push((length >> 7) as u8);
        } else {
            field.push(length as u8);
        }
        field.extend(service.as_bytes());
    }
    let length = field.len() as u32;
    [&[0], length.to_be_bytes().as_slice(), &field].concat().into()
}

async fn judge(answer: Response<RecvStream>, service: &str, progress: &Progress) -> Result<(), Outcome> {
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|value| value.as_bytes());
    if status != 200 || !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return Err(Outcome::Fail(format!("HTTP status {status}, and no gRPC")));
    }
    // An answer without a message is one of header fields only.
    code(answer.headers(), service)?;
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let mut data = data.map_err(|error| broken(&error))?;
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data.copy_to_bytes(data.len()));
        if bytes.len() > MOST_MESSAGE {
            return Err(Outcome::Fail(
                "the answer is too long for a health check".to_owned(),
            ));
        }
    }
    let trailers = body.trailers().await.map_err(|error| broken(&error))?;
    let trailers = trailers.ok_or_else(|| Outcome::Fail("the answer has no gRPC status".to_owned()))?;
    progress.note("trailers", || {
        let status = serving(&bytes).map_or("none".to_owned(), |number| number.to_string());
        let mut lines = vec![format!("HealthCheckResponse: status {status} (1 is SERVING)")];
        lines.extend(fields(&trailers));
        lines
    });
    code(&trailers, service)?;
    let serving =
        serving(&bytes).ok_or_else(|| Outcome::Fail("the answer is no HealthCheckResponse".to_owned()))?;
    match serving {
        SERVING => Ok(()),
        2 => Err(Outcome::Fail("NOT_SERVING".to_owned())),
        3 => Err(Outcome::Fail("SERVICE_UNKNOWN".to_owned())),
        _ => Err(Outcome::Fail(format!("serving status UNKNOWN ({serving})"))),
    }
}

/// What the status says that an answer ends with, if it is there and not OK.
fn code(fields: &HeaderMap, service: &str) -> Result<(), Outcome> {
    let Some(code) = fields.get("grpc-status") else {
        return Ok(());
    };
    let code = code.to_str().ok().and_then(|code| code.parse::<usize>().ok());
    let message = fields.get("grpc-message").and_then(|text| text.to_str().ok());
    let what = match code {
        Some(0) => return Ok(()),
        Some(5) => format!("NOT_FOUND: the server has no health of the service {service:?}"),
        Some(12) => "UNIMPLEMENTED: the server has no health service (grpc.health.v1.Health)".to_owned(),
        Some(code) => {
            let name = CODES.get(code).copied().unwrap_or("of no name");
            format!("gRPC status {code} {name}: {}", message.unwrap_or("no message"))
        }
        None => "a gRPC status that is no number".to_owned(),
    };
    Err(Outcome::Fail(in_short(&what)))
}

/// Of a HealthCheckResponse: field 1, an enumeration, 0 if it is left out; other fields are passed over (protobuf.dev, encoding).
fn serving(bytes: &[u8]) -> Option<u64> {
    let (prefix, message) = bytes.split_first_chunk::<PREFIX>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if prefix[0] != 0 || message.len() != length as usize {
        return None;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let (key, after) = varint(rest)?;
        rest = match key & 7 {
            0 => {
                let (value, after) = varint(after)?;
                if key >> 3 == 1 {
                    status = value;
                }
                after
            }
            1 => after.get(8..)?,
            2 => {
                let (length, after) = varint(after)?;
                after.get(usize::try_from(length).ok()?..)?
            }
            5 => after.get(4..)?,
            _ => return None,
        };
    }
    Some(status)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

fn broken(error: &h2::Error) -> Outcome {
    if let Some(error) = error.get_io() {
        return super::broken(error);
    }
    let what = if error.is_go_away() && error.is_library() {
        "the answer is no HTTP/2".to_owned()
    } else {
        format!("HTTP/2: {error}")
    };
    Outcome::Fail(in_short(&what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, message.len() as u8], message].concat()
    }

    #[test]
    fn a_response_is_its_first_field() {
        assert_eq!(serving(&framed(&[])), Some(0));
        assert_eq!(serving(&framed(&[0x08, 0x01])), Some(1));
        assert_eq!(
            serving(&framed(&[0x12, 0x01, b'x', 0x08, 0x02, 0x1d, 0, 0, 0, 0])),
            Some(2)
        );
        for wrong in [&[0x08][..], &[0x0b], &[0x08, 0x80], &[0x12, 0x7f], &[0xff; 11]] {
            assert_eq!(serving(&framed(wrong)), None, "{wrong:?}");
        }
        assert_eq!(serving(&[1, 0, 0, 0, 0]), None, "compressed");
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8]), None, "cut off");
    }

    #[test]
    fn a_request_names_the_service() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"x".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
    }

    proptest! {
        #[test]
        fn anything_is_harmless(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = serving(&bytes);
            let _ = serving(&framed(&bytes));
        }
    }
}
