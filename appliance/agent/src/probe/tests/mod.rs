//! Checks against servers of this process: right ones, wrong ones, and ones that mean harm.

mod agent;
mod datagram;
mod dns;
mod grpc;
mod http;
mod icmp;
mod tcp;
mod tls;
mod watched;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream as Stream};

use super::*;
use crate::store::Store;

/// For what is to end by itself, on a machine that is busy otherwise.
const LONG: Duration = Duration::from_secs(20);

fn trust() -> Trust {
    Trust::new(Store::new("/nowhere".into()))
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn way(target: SocketAddr) -> Way {
    Way {
        target,
        source: None,
        device: None,
    }
}

fn run(target: SocketAddr, params: &CheckParams) -> CheckResult {
    runtime().block_on(check(&way(target), params, &trust()))
}

fn asks(kind: CheckKind) -> CheckParams {
    CheckParams {
        kind,
        timeout: LONG,
        ..CheckParams::default()
    }
}

/// For a server that is not going to answer.
fn briefly(kind: CheckKind) -> CheckParams {
    CheckParams {
        timeout: Duration::from_millis(500),
        ..asks(kind)
    }
}

fn silent(why: &str) -> Outcome {
    Outcome::Silent(why.to_owned())
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused(why.to_owned())
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

/// Closed with RST.
fn socket_linger(stream: &Stream) {
    let zero = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    zero.unwrap();
}
