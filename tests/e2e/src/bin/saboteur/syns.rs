//! When the first packets of TCP connections leave this machine, on its own clock, as its kernel saw them at the card: whoever sends
//! them, and however. What passes meanwhile is read now and then, so that looking costs little.
//! Must not: know which of them are checks.

use std::collections::BTreeMap;
use std::io;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt,
    socket,
};
use nix::sys::time::TimeSpec;
use serde_json::json;

const LOOK: Duration = Duration::from_millis(100);
/// All packets of a look, at ten thousand a second (bytes).
const BUFFERED: usize = 32 << 20;
/// IPv4's longest header, and TCP's without options (bytes).
const HEADERS: usize = 80;
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The source's port and the sequence number: the same again is sent for want of an answer.
type Attempt = (u16, u32);

/// What one connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Syn {
    to: SocketAddrV4,
    attempt: Attempt,
}

/// `syns SECONDS`: by target, the microseconds since the first of all; and the number of targets that did not answer a SYN, of which
/// nothing else is told.
pub fn syns(seconds: &str) -> io::Result<()> {
    let length = Duration::from_secs(seconds.parse().map_err(io::Error::other)?);
    let socket = open()?;
    let mut seen: BTreeMap<SocketAddrV4, Vec<(Duration, Attempt)>> = BTreeMap::new();
    let started = Instant::now();
    while started.elapsed() < length {
        thread::sleep(LOOK);
        while let Some((at, syn)) = next(&socket)? {
            if let Some(syn) = syn {
                seen.entry(syn.to).or_default().push((at, syn.attempt));
            }
        }
    }
    let first = seen
        .values()
        .flatten()
        .map(|(at, _)| *at)
        .min()
        .unwrap_or_default();
    let all = seen.len();
    seen.retain(|_, syns| syns.windows(2).all(|pair| pair[0].1 != pair[1].1));
    let micros = |at: &Duration| at.saturating_sub(first).as_micros() as u64;
    let told: BTreeMap<String, Vec<u64>> = seen
        .iter()
        .map(|(to, syns)| (to.to_string(), syns.iter().map(|(at, _)| micros(at)).collect()))
        .collect();
    println!("{}", json!({ "silent": all - told.len(), "targets": told }));
    Ok(())
}

/// A look at all packets, which the kernel gives the time.
fn open() -> io::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Datagram,
        SockFlag::SOCK_NONBLOCK,
        SockProtocol::EthAll,
    )?;
    setsockopt(&socket, RcvBufForce, &BUFFERED)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}

/// `None`: no more for now.
fn next(socket: &OwnedFd) -> io::Result<Option<(Duration, Option<Syn>)>> {
    let mut packet = [0; HEADERS];
    let mut space = nix::cmsg_space!(TimeSpec);
    let mut room = [IoSliceMut::new(&mut packet)];
    let received = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut room,
        Some(&mut space),
        MsgFlags::MSG_DONTWAIT,
    );
    let (at, length) = match received {
        Err(Errno::EAGAIN) => return Ok(None),
        Err(errno) => return Err(errno.into()),
        Ok(received) => {
            let at = received.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                _ => None,
            });
            (
                at.ok_or_else(|| io::Error::other("a packet without a time"))?,
                received.bytes,
            )
        }
    };
    Ok(Some((at, parse(&packet[..length]))))
}

fn parse(packet: &[u8]) -> Option<Syn> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || *packet.get(9)? != TCP {
        return None;
    }
    let tcp = packet.get(header..header + 14)?;
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
    };
    let port = |bytes: &[u8]| word(bytes) as u16;
    (tcp[13] & (SYN | ACK) == SYN).then(|| Syn {
        to: SocketAddrV4::new(Ipv4Addr::from(word(&packet[16..20])), port(&tcp[2..4])),
        attempt: (port(&tcp[0..2]), word(&tcp[4..8])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packet_of_a_connection_is_told_from_others() {
        let mut packet = vec![
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 100, 1, 2,
        ];
        packet.extend([0x80, 0x01, 0, 80, 0, 0, 1, 2, 0, 0, 0, 0, 0x50, 0x02]);
        let syn = parse(&packet).unwrap();
        assert_eq!(syn.to.to_string(), "10.100.1.2:80");
        assert_eq!(syn.attempt, (0x8001, 258));
        packet[33] = 0x12;
        assert_eq!(parse(&packet), None, "an answer");
        packet[33] = 0x02;
        packet[9] = 17;
        assert_eq!(parse(&packet), None, "UDP");
        assert_eq!(parse(&[0x45]), None);
    }
}
