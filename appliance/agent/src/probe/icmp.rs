//! An echo, and its reply (RFC 792, RFC 4443, section 4). Must not: take somebody else's.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use lb_core::health::Outcome;
use lb_core::icmp;
use socket2::Protocol;

use super::Progress;
use super::way::{Way, told_by_icmp};

/// A socket of pings (SOCK_DGRAM) and not a raw one: the kernel gives each an identifier of its own, so that it is given the replies to
/// its own echoes and errors about them. A raw socket is given every ICMP message of the machine, and the more of them wait for an
/// answer, the more copies are made of each. The price is net.ipv4.ping_group_range, which the appliance sets.
pub(super) async fn exchange(way: &Way, progress: &Progress) -> Result<(), Outcome> {
    let (protocol, v6) = match way.target {
        SocketAddr::V4(_) => (Protocol::ICMPV4, false),
        SocketAddr::V6(_) => (Protocol::ICMPV6, true),
    };
    let socket = way.datagrams(protocol)?;
    // An echo that is answered with what nobody else can know.
    let token = RandomState::new().hash_one(way.target).to_be_bytes();
    let message = icmp::echo(v6, 1, token);
    socket
        .send(&message)
        .await
        .map_err(|error| super::classify(&error))?;
    progress.note("request", || vec![format!("an echo of {} bytes", message.len())]);
    let mut answer = [0; 512];
    loop {
        let (length, from) = socket
            .recv_from(&mut answer)
            .await
            .map_err(|error| told_by_icmp(&error))?;
        let reply = icmp::echo_reply(v6, &answer[..length]);
        let is_reply = reply.is_some_and(|(_, data)| data.starts_with(&token));
        if is_reply && from.ip() == way.target.ip() {
            progress.note("answer", || {
                vec![format!("an echo reply of {length} bytes from {}", from.ip())]
            });
            return Ok(());
        }
    }
}
