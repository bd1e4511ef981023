//! What the kernel takes to be told of many services, whoever tells it: the requests are ready before the clock starts, and travel
//! as many to a datagram as the appliance sends. On a clock that counts instructions, nanoseconds are instructions.
//! Must not: know who else changes the table.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use lb_wire::genl;
use lb_wire::ipvs::{
    Dest, DestKey, FAMILY_NAME, ForwardMethod, IpvsMessage, Service, ServiceKey, TunnelSettings,
};
use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, send, socket};
use serde_json::json;

const ROW: usize = 64;
const TCP: u16 = 6;
/// The first service's port.
const FIRST_PORT: u16 = 10_000;
/// More than an answer is long (bytes).
const ANSWER: usize = 8 << 10;

/// `floor SERVICES SERVERS`: milliseconds.
pub fn floor(services: &str, servers: &str) -> io::Result<()> {
    let number = |word: &str| word.parse::<u16>().map_err(io::Error::other);
    let requests = requests(number(services)?, number(servers)?);
    let socket = socket_of_ipvs()?;
    let family = family(&socket)?;
    let datagrams: Vec<Vec<u8>> = requests.chunks(ROW).map(|row| datagram(row, family)).collect();
    let started = Instant::now();
    for datagram in &datagrams {
        send(&socket, datagram, SendFlags::empty())?;
        let code = acknowledged(&socket)?;
        if code != 0 {
            return Err(io::Error::from_raw_os_error(-code));
        }
    }
    println!("{}", json!(started.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

fn requests(services: u16, servers: u16) -> Vec<IpvsMessage> {
    let mut requests = Vec::new();
    for service in 0..services {
        let key = ServiceKey::Address {
            protocol: TCP,
            address: IpAddr::from([192, 168, 0, 1]),
            port: FIRST_PORT + service,
        };
        requests.push(IpvsMessage::new_service(&Service::plain(key, "rr")));
        for server in 0..servers {
            let [high, low] = (service * servers + server).to_be_bytes();
            let dest = Dest {
                key: DestKey {
                    address: IpAddr::from([10, 100, high, low]),
                    port: 80,
                },
                forward: ForwardMethod::Masquerade,
                tunnel: TunnelSettings::default(),
                weight: 1,
                upper_threshold: 0,
                lower_threshold: 0,
            };
            requests.push(IpvsMessage::new_dest(&key, &dest));
        }
    }
    requests
}

/// The kernel speaks of the last, and of those that it refuses.
fn datagram(row: &[IpvsMessage], family: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, request) in (1..).zip(row) {
        let flags = if at as usize == row.len() { NLM_F_ACK } else { 0 };
        request.append_to(&mut bytes, family, flags, at);
    }
    bytes
}

pub fn socket_of_ipvs() -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::NETLINK,
        SocketType::RAW,
        Some(netlink::GENERIC),
    )?)
}

/// The error code of the next answer.
pub fn acknowledged(socket: &OwnedFd) -> io::Result<i32> {
    let mut buffer = [0; ANSWER];
    let (length, _) = recv(socket, &mut buffer, RecvFlags::empty())?;
    let mut answers = genl::decode::<IpvsMessage>(&buffer[..length]);
    match answers
        .next()
        .and_then(Result::ok)
        .and_then(|answer| answer.payload.ok())
    {
        Some(NetlinkPayload::Error(error)) => Ok(error.raw_code()),
        other => Err(io::Error::other(format!("no acknowledgement: {other:?}"))),
    }
}

/// IPVS's number with generic netlink.
pub fn family(socket: &OwnedFd) -> io::Result<u16> {
    let request = GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY_NAME.to_owned())],
    };
    send(socket, &genl::encode(request, 0, 0, 1), SendFlags::empty())?;
    let mut buffer = [0; ANSWER];
    let (length, _) = recv(socket, &mut buffer, RecvFlags::empty())?;
    let answers = genl::decode::<GenlCtrl>(&buffer[..length]).filter_map(Result::ok);
    let mut attributes = answers.flat_map(|answer| match answer.payload {
        Ok(NetlinkPayload::InnerMessage(inner)) => inner.payload.nlas,
        _ => Vec::new(),
    });
    let number = attributes.find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(id) => Some(id),
        _ => None,
    });
    number.ok_or_else(|| io::Error::other("this kernel has no IPVS"))
}
