//! The commands that look at the network, as data. Must not: carry anything out.

use super::*;

pub(super) const LINK: Command = Command {
    name: "link",
    action: Action::Link,
    summary: "links as the kernel has them: carrier, speed, driver, losses",
    about: "A line for each, or with NAME all about one: what it is made of and belongs to, which link of a bond is active, the carrier, \
            for how long it is as it is and how often it has changed, speed and duplex, driver and queues, addresses, MAC \
            addresses, counters and kinds of errors. FOR is the time since the carrier came or went; `>` is a time that began before the agent. \
            IN and OUT are what was received and sent, LOST is errors and drops. `-` is what the kernel or the driver does not say. It works without the agent, then without names and FOR.",
    arguments: &[Argument {
        name: "NAME",
        values: Values::Interfaces,
        many: false,
        needed: false,
    }],
    options: RATE_AND_JSON,
    examples: &["link", "link eth0", "link bond0 --rate"],
    ..LEAF
};

pub(super) const ARP: Command = Command {
    name: "arp",
    action: Action::Arp,
    summary: "neighbours on the links: MAC address, state, whose they are",
    about: "ARP and IPv6's neighbour discovery. NAME is a service, an interface, an address or a MAC address. `reachable` has \
            answered lately; `stale` has answered once and is asked again when it is needed; `delay` and `probe` are being asked \
            again; `incomplete` is asked for the first time; `failed` did not answer. AGE is the time since it last proved \
            to be there, or since it was last asked in vain. It works without the agent, then without names.",
    arguments: &[Argument {
        name: "NAME",
        values: Values::Reach,
        many: false,
        needed: false,
    }],
    options: JSON_ONLY,
    examples: &["arp", "arp nginx", "arp eth1", "arp 172.16.0.11"],
    ..LEAF
};

pub(super) const ROUTE: Command = Command {
    name: "route",
    action: Action::Route,
    summary: "the routes, or the one that leads to an address",
    about: "With ADDRESS it asks the kernel what it does with a packet of the box's own to there: route, interface, source address, \
            next hop, and whether the next hop answers on its link. Routes of link-local addresses are left out. It works \
            without the agent.",
    arguments: &[Argument {
        name: "ADDRESS",
        values: Values::Servers,
        many: false,
        needed: false,
    }],
    options: JSON_ONLY,
    examples: &["route", "route 172.16.0.11"],
    ..LEAF
};

pub(super) const PING: Command = Command {
    name: "ping",
    action: Action::Ping,
    summary: "whether an address answers, and how fast; the path's MTU",
    about: "ICMP echoes, over IPv4 or IPv6, out of INTERFACE or as the routes say. With --size they carry so many bytes behind the \
            ICMP header, and are not cut into fragments on the way (the packet is 28 bytes larger over IPv4, 48 over IPv6): \
            a packet that is too big is told with the MTU of the link that it does not fit. Ctrl-C ends with the account.",
    arguments: &[
        Argument {
            name: "ADDRESS",
            values: Values::Servers,
            many: false,
            needed: true,
        },
        Argument {
            name: "INTERFACE",
            values: Values::Interfaces,
            many: false,
            needed: false,
        },
    ],
    options: &[
        Choice {
            name: COUNT,
            summary: "send N (default 5)",
            takes: Takes::Number(1, 10_000, ""),
        },
        Choice {
            name: INTERVAL,
            summary: "seconds from one to the next (default 1s)",
            takes: Takes::Number(1, 60, "s"),
        },
        Choice {
            name: SIZE,
            summary: "bytes in each, in one piece (without it: 56)",
            takes: Takes::Number(0, 65_507, ""),
        },
        JSON_CHOICE,
    ],
    examples: &[
        "ping 172.16.0.11",
        "ping 172.16.0.11 eth1 --count 100",
        "ping 2001:db8::1 --size 1452",
    ],
    ..LEAF
};

pub(super) const TRACE: Command = Command {
    name: "trace",
    action: Action::Trace,
    summary: "the hops on the way to an address, and where it ends",
    about: "Sends probes with 1, 2, 3 and so on hops, three for each: UDP datagrams, or with --port TCP SYNs to that port, which \
            pass where other packets are filtered. Each router that counts the hops down to none says so. It stops at the \
            answer, at a refusal, after 6 silent hops or after 30. `*` is a probe that nobody answered within a second.",
    arguments: &[Argument {
        name: "ADDRESS",
        values: Values::Servers,
        many: false,
        needed: true,
    }],
    options: &[
        Choice {
            name: PORT,
            summary: "TCP SYNs to port N, and whether it is open",
            takes: Takes::Number(1, 65_535, ""),
        },
        JSON_CHOICE,
    ],
    examples: &["trace 203.0.113.7", "trace 172.16.0.11 --port 30080"],
    ..LEAF
};

pub(super) const CAPTURE: Command = Command {
    name: "capture",
    action: Action::Capture,
    summary: "packets of the links, as lines or as a file",
    about: "Of INTERFACE, or of all. FILTER is host ADDRESS, net PREFIX, port NUMBER, tcp, udp, sctp, icmp, arp, ip or ip6, joined by \
            `and`; a packet matches in either direction. A line has time (UTC), interface, direction, VLAN, protocol, from whom to whom, \
            flags and bytes carried; never what they are. A terminal is given 50 lines a second, the others are counted. With --pcap \
            it is a file for tcpdump or Wireshark, as base64 with its SHA-256, 750 kB at most; with that and --json it ends \
            after 1,000 packets or 10 s, unless told otherwise. Of each packet 128 bytes are kept, which may show some of what it carries. Ctrl-C ends it. \
            A packet is seen on each link that it passes. It works without the agent.",
    arguments: &[
        Argument {
            name: "INTERFACE",
            values: Values::Captured,
            many: false,
            needed: false,
        },
        Argument {
            name: "FILTER",
            values: Values::Captured,
            many: true,
            needed: false,
        },
    ],
    options: &[
        Choice {
            name: COUNT,
            summary: "end after N packets",
            takes: Takes::Number(1, 1_000_000, ""),
        },
        Choice {
            name: SECONDS,
            summary: "end after N seconds",
            takes: Takes::Number(1, 86_400, "s"),
        },
        Choice {
            name: PCAP,
            summary: "a file, as text to be saved, instead of lines",
            takes: Takes::Nothing,
        },
        Choice {
            name: WHOLE,
            summary: "all of each packet in the file, instead of 128 bytes",
            takes: Takes::Nothing,
        },
        JSON_CHOICE,
    ],
    examples: &[
        "capture eth0",
        "capture eth1 host 172.16.0.11 and port 30080 --count 20",
        "capture arp --seconds 30",
        "capture eth0 tcp port 443 --pcap --whole",
    ],
    ..LEAF
};

pub(super) const PROBE: Command = Command {
    name: "probe",
    action: Action::Probe,
    summary: "make one check now, and show it step by step",
    about: "WHAT is a service, and SERVER one of its servers, which is checked as lb.toml says, by all of its checks in turn; or WHAT is a type of check, such as \
            `https`, SERVER is ADDRESS:PORT, and the rest are keys of a check as in lb.toml, without quotes: `path=/readyz`. It \
            shows the way, the connection, the certificates with their names and time, the request, the answer with its fields \
            and the beginning of its body, what was expected, and the verdict, each with the time since the start. It is made \
            by the agent, as its own checks are, and counts for nothing: no health changes.",
    arguments: &[
        Argument {
            name: "WHAT",
            values: Values::Probed,
            many: false,
            needed: true,
        },
        Argument {
            name: "SERVER",
            values: Values::Servers,
            many: false,
            needed: true,
        },
        Argument {
            name: "KEY=VALUE",
            values: Values::CheckKeys,
            many: true,
            needed: false,
        },
    ],
    options: JSON_ONLY,
    examples: &[
        "probe nginx 172.16.0.11",
        "probe tcp 172.16.0.11:30080",
        "probe https 172.16.0.1:6443 path=/readyz verify=false timeout=2s",
        "probe dns 172.16.0.10:53 name=example.com query=A",
    ],
    ..LEAF
};
