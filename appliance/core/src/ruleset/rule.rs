//! One rule of the table: what it does, as the line that it prints as and parses back from. That line is also the rule's
//! comment in the kernel. Must not: know netlink, or which chain a rule is in.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use super::{Family, Lent, PortForward, Way};
use crate::model::IfName;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Everything that arrives on the loopback interface.
    AcceptLoopback,
    /// Replies, and ICMP errors about flows that are known.
    AcceptEstablished,
    AcceptIcmp,
    AcceptIcmpv6,
    /// IPv4 destinations in the set `services4` (address . protocol . port).
    AcceptServices4,
    /// The same for `services6`.
    AcceptServices6,
    /// Replies to the box's own connections, and to those that it masquerades, are nobody's first packets, whatever their port.
    AcceptReplies,
    /// IPv4 packets to a range in the map `marks4` (address . protocol . port : mark) get its mark.
    MarkServices4,
    /// The same for `marks6`.
    MarkServices6,
    /// Packets that have got one of our marks.
    AcceptMarked,
    /// IPv4 destinations in the map `marks4`.
    AcceptMarks4,
    /// The same for `marks6`.
    AcceptMarks6,
    /// New connections may not be forwarded from this interface, nor what is not tracked: it faces outside.
    DropNewFrom(IfName),
    /// Replies, ICMP errors, and what is not tracked: it is for an open service.
    AcceptKnown,
    /// What is not tracked is never for the box itself when it comes from the servers.
    DropUntrackedFrom(IfName),
    /// What goes to this network is tracked: hairpins, and the box's own checks.
    TrackTo(IpNet),
    /// What comes from a server of the set `servers4` on this link is not tracked.
    UntrackReplies4(IfName),
    /// The same for `servers6`.
    UntrackReplies6(IfName),
    /// Everything else that comes from this link is tracked.
    TrackFrom(IfName),
    /// What goes to a service of the set `untracked4` is not tracked.
    UntrackRequests4,
    /// The same for `untracked6`.
    UntrackRequests6,
    /// Connections that are established go into the flowtable, by a packet in their first direction.
    Offload,
    Masquerade {
        from: IpNet,
        out: IfName,
        to: Lent,
    },
    /// New connections to ports of the box go on to another machine.
    Forward(PortForward),
    /// Such connections may be forwarded, wherever they come from.
    AcceptForwarded(PortForward),
    /// Clients of a service that stand beside its servers, behind the same interface: their connections take the box's
    /// address there, or the server would answer past the box (the original destination is in `services4` or `services6`).
    Hairpin {
        from: IpNet,
        out: IfName,
    },
    /// The same for services that are told by a mark.
    HairpinMarked {
        from: IpNet,
        out: IfName,
    },
    /// The same for forwarded ports: clients beside the machine that these lead to, or that machine itself.
    HairpinForwarded {
        from: IpNet,
        out: IfName,
    },
    /// TCP connections that begin through this interface are told to send no larger segments than this.
    ClampMss {
        link: IfName,
        way: Way,
        family: Family,
        bytes: u16,
    },
    /// Not one of ours, or changed by somebody: what the kernel shows, for the operator's eyes.
    Foreign(String),
}

impl Rule {
    /// There only because of services that are told by a mark.
    pub fn is_for_marks(&self) -> bool {
        matches!(
            self,
            Rule::AcceptReplies
                | Rule::MarkServices4
                | Rule::MarkServices6
                | Rule::AcceptMarked
                | Rule::AcceptMarks4
                | Rule::AcceptMarks6
                | Rule::HairpinMarked { .. }
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::AcceptLoopback => f.write_str("accept loopback"),
            Rule::AcceptEstablished => f.write_str("accept established,related"),
            Rule::AcceptIcmp => f.write_str("accept icmp"),
            Rule::AcceptIcmpv6 => f.write_str("accept icmpv6"),
            Rule::AcceptServices4 => f.write_str("accept to services4"),
            Rule::AcceptServices6 => f.write_str("accept to services6"),
            Rule::AcceptReplies => f.write_str("accept replies"),
            Rule::MarkServices4 => f.write_str("mark by marks4"),
            Rule::MarkServices6 => f.write_str("mark by marks6"),
            Rule::AcceptMarked => f.write_str("accept marked"),
            Rule::AcceptMarks4 => f.write_str("accept to marks4"),
            Rule::AcceptMarks6 => f.write_str("accept to marks6"),
            Rule::DropNewFrom(name) => write!(f, "drop new from {name}"),
            Rule::AcceptKnown => f.write_str("accept established,related,untracked"),
            Rule::DropUntrackedFrom(name) => write!(f, "drop untracked from {name}"),
            Rule::TrackTo(net) => write!(f, "track to {net}"),
            Rule::TrackFrom(name) => write!(f, "track from {name}"),
            Rule::UntrackReplies4(name) => write!(f, "untrack replies4 from {name}"),
            Rule::UntrackReplies6(name) => write!(f, "untrack replies6 from {name}"),
            Rule::UntrackRequests4 => f.write_str("untrack requests4"),
            Rule::UntrackRequests6 => f.write_str("untrack requests6"),
            Rule::Offload => f.write_str("offload established"),
            Rule::Masquerade { from, out, to } => write!(f, "masquerade {from} out {out}{to}"),
            Rule::Forward(forward) => write!(f, "forward {forward}"),
            Rule::AcceptForwarded(forward) => write!(f, "accept forwarded {forward}"),
            Rule::HairpinForwarded { from, out } => write!(f, "hairpin forwarded {from} out {out}"),
            Rule::ClampMss {
                link,
                way,
                family,
                bytes,
            } => write!(f, "clamp mss {bytes} {family} {way} {link}"),
            Rule::Hairpin { from, out } => write!(f, "hairpin {from} out {out}"),
            Rule::HairpinMarked { from, out } => write!(f, "hairpin marked {from} out {out}"),
            Rule::Foreign(text) => write!(f, "foreign {text}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a rule of the table")]
pub struct RuleError(String);

impl FromStr for Rule {
    type Err = RuleError;
    fn from_str(line: &str) -> Result<Self, RuleError> {
        let bad = || RuleError(line.to_owned());
        let words: Vec<&str> = line.split(' ').collect();
        Ok(match words.as_slice() {
            ["accept", "loopback"] => Rule::AcceptLoopback,
            ["accept", "established,related"] => Rule::AcceptEstablished,
            ["accept", "icmp"] => Rule::AcceptIcmp,
            ["accept", "icmpv6"] => Rule::AcceptIcmpv6,
            ["accept", "to", "services4"] => Rule::AcceptServices4,
            ["accept", "to", "services6"] => Rule::AcceptServices6,
            ["accept", "replies"] => Rule::AcceptReplies,
            ["mark", "by", "marks4"] => Rule::MarkServices4,
            ["mark", "by", "marks6"] => Rule::MarkServices6,
            ["accept", "marked"] => Rule::AcceptMarked,
            ["accept", "to", "marks4"] => Rule::AcceptMarks4,
            ["accept", "to", "marks6"] => Rule::AcceptMarks6,
            ["drop", "new", "from", name] => Rule::DropNewFrom(name.parse().map_err(|_| bad())?),
            ["accept", "established,related,untracked"] => Rule::AcceptKnown,
            ["drop", "untracked", "from", name] => Rule::DropUntrackedFrom(name.parse().map_err(|_| bad())?),
            ["track", "to", net] => Rule::TrackTo(net.parse().map_err(|_| bad())?),
            ["track", "from", name] => Rule::TrackFrom(name.parse().map_err(|_| bad())?),
            ["untrack", "replies4", "from", name] => Rule::UntrackReplies4(name.parse().map_err(|_| bad())?),
            ["untrack", "replies6", "from", name] => Rule::UntrackReplies6(name.parse().map_err(|_| bad())?),
            ["untrack", "requests4"] => Rule::UntrackRequests4,
            ["untrack", "requests6"] => Rule::UntrackRequests6,
            ["offload", "established"] => Rule::Offload,
            ["masquerade", from, "out", out, to @ ..] => Rule::Masquerade {
                from: from.parse().map_err(|_| bad())?,
                out: out.parse().map_err(|_| bad())?,
                to: Lent::from_words(to).ok_or_else(bad)?,
            },
            ["forward", forward @ ..] => Rule::Forward(PortForward::from_words(forward).ok_or_else(bad)?),
            ["accept", "forwarded", forward @ ..] => {
                Rule::AcceptForwarded(PortForward::from_words(forward).ok_or_else(bad)?)
            }
            ["hairpin", "forwarded", from, "out", out] => Rule::HairpinForwarded {
                from: from.parse().map_err(|_| bad())?,
                out: out.parse().map_err(|_| bad())?,
            },
            ["clamp", "mss", bytes, family, way, link] => Rule::ClampMss {
                link: link.parse().map_err(|_| bad())?,
                way: Way::ALL
                    .into_iter()
                    .find(|w| w.as_str() == *way)
                    .ok_or_else(bad)?,
                family: Family::ALL
                    .into_iter()
                    .find(|f| f.as_str() == *family)
                    .ok_or_else(bad)?,
                bytes: bytes.parse().map_err(|_| bad())?,
            },
            ["hairpin", from, "out", out] => Rule::Hairpin {
                from: from.parse().map_err(|_| bad())?,
                out: out.parse().map_err(|_| bad())?,
            },
            ["hairpin", "marked", from, "out", out] => Rule::HairpinMarked {
                from: from.parse().map_err(|_| bad())?,
                out: out.parse().map_err(|_| bad())?,
            },
            _ => return Err(bad()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_parses_back_from_its_line() {
        let eth0: IfName = "eth0".parse().unwrap();
        let rules = [
            Rule::AcceptLoopback,
            Rule::AcceptEstablished,
            Rule::AcceptIcmp,
            Rule::AcceptIcmpv6,
            Rule::AcceptServices4,
            Rule::AcceptServices6,
            Rule::AcceptReplies,
            Rule::MarkServices4,
            Rule::MarkServices6,
            Rule::AcceptMarked,
            Rule::AcceptMarks4,
            Rule::AcceptMarks6,
            Rule::DropNewFrom(eth0.clone()),
            Rule::AcceptKnown,
            Rule::DropUntrackedFrom(eth0.clone()),
            Rule::TrackTo("172.16.0.0/24".parse().unwrap()),
            Rule::TrackFrom(eth0.clone()),
            Rule::UntrackReplies4(eth0.clone()),
            Rule::UntrackReplies6(eth0.clone()),
            Rule::UntrackRequests4,
            Rule::UntrackRequests6,
            Rule::Offload,
            Rule::Hairpin {
                from: "2001:db8::/64".parse().unwrap(),
                out: eth0.clone(),
            },
            Rule::HairpinMarked {
                from: "172.16.0.0/24".parse().unwrap(),
                out: eth0.clone(),
            },
            Rule::HairpinForwarded {
                from: "172.16.0.0/24".parse().unwrap(),
                out: eth0,
            },
        ];
        let lines = [
            "masquerade 172.16.0.0/24 out eth0",
            "masquerade 2001:db8:1::/64 out eth0 to 2001:db8::9",
            "masquerade 172.16.0.0/24 out eth0 to 192.0.2.1-192.0.2.9",
            "masquerade 172.16.0.0/24 out eth0 to 192.0.2.1 share 0 of 2",
            "forward tcp 192.0.2.1:80 to 172.16.0.11",
            "forward udp 192.0.2.1:80-90 to 172.16.0.11 from 10.0.0.0/8",
            "forward sctp [2001:db8::1]:80 to [2001:db8:1::11]:8080",
            "forward tcp [2001:db8::1]:80 to 2001:db8:1::11 from 2001:db8::/48",
            "accept forwarded tcp 192.0.2.1:80 to 172.16.0.11:8080 from 10.0.0.0/8",
            "clamp mss 1452 ipv4 in eth0",
            "clamp mss 1432 ipv6 out eth0",
        ];
        for rule in rules {
            assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
        }
        for line in lines {
            assert_eq!(line.parse::<Rule>().unwrap().to_string(), line);
        }
        for line in [
            "accept everything",
            "masquerade 172.16.0.0/24 out eth0 to 192.0.2.1-2001:db8::1",
            "masquerade 172.16.0.0/24 out eth0 to 192.0.2.1 share 2 of 2",
            "forward tcp 192.0.2.1:80 to 2001:db8::1",
            "forward tcp 192.0.2.1:80-90 to 172.16.0.11:8080",
            "forward tcp 192.0.2.1:90-80 to 172.16.0.11",
            "clamp mss 1452 ipv4 up eth0",
        ] {
            assert!(line.parse::<Rule>().is_err(), "{line}");
        }
    }
}
