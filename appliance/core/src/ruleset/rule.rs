//! One rule of the table: what it does, as the line that it prints as and parses back from. That line is also the rule's
//! comment in the kernel. Must not: know netlink, or which chain a rule is in.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use super::{AnswerMap, Family, Lent, PortForward, Way};
use crate::check::ProbeCookie;
use crate::model::{Endpoint, IfName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Everything that arrives on the loopback interface.
    AcceptLoopback,
    /// Replies, and ICMP errors about flows that are known.
    AcceptEstablished,
    /// SYN-ACK and RST to the ports of half-open checks that acknowledge the cookie: a SYN that left as a frame is in no table of flows, and its
    /// answer is in no state.
    AcceptChecks(ProbeCookie),
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
    /// Replies, ICMP errors, and what is not tracked: it is for an open service, but never when it comes from the servers.
    AcceptKnown {
        not_from: Vec<IfName>,
    },
    /// What goes to a service of the set `untracked4` or `untracked6` is not tracked, wherever it comes from but these links.
    UntrackRequests {
        family: Family,
        not_from: Vec<IfName>,
    },
    /// What comes from a server of the set `servers4` or `servers6` on this link is not tracked, wherever it goes but to these
    /// networks: hairpins, and the box's own checks.
    UntrackReplies {
        family: Family,
        link: IfName,
        not_to: Vec<IpNet>,
    },
    /// What this map holds and comes from this link is not tracked, wherever it goes but to these networks: clients there are
    /// hidden from the servers.
    UntrackAnswersBy {
        map: AnswerMap,
        link: IfName,
        not_to: Vec<IpNet>,
    },
    /// Answers that are not tracked leave with the source that this map says.
    AnswerBy(AnswerMap),
    /// The first packet of a client of this service is not tracked, so that nobody has to remember it.
    UntrackSyns(Endpoint),
    /// Clients of this service are answered with a cookie; who sends it back is connected to a server. Segments are no larger
    /// than `mss`.
    ProxySyns {
        service: Endpoint,
        mss: u16,
    },
    /// What the box itself answers in this service's name is no flow of its own.
    UntrackAnswers(Endpoint),
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
    /// There only because of services that are told by a mark, whose clients are asked for a cookie, or whose answers IPVS does
    /// not translate.
    pub fn comes_with_a_service(&self) -> bool {
        matches!(
            self,
            Rule::UntrackAnswersBy { .. }
                | Rule::AnswerBy(_)
                | Rule::UntrackSyns(_)
                | Rule::ProxySyns { .. }
                | Rule::UntrackAnswers(_)
                | Rule::AcceptReplies
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
            Rule::AcceptChecks(cookie) => write!(f, "accept answers to checks by {cookie}"),
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
            Rule::AcceptKnown { not_from } => {
                write!(
                    f,
                    "accept established,related,untracked not from {}",
                    list(not_from)
                )
            }
            Rule::UntrackRequests { family, not_from } => {
                write!(f, "untrack {family} requests not from {}", list(not_from))
            }
            Rule::UntrackReplies { family, link, not_to } => {
                write!(f, "untrack {family} replies from {link} not to {}", list(not_to))
            }
            Rule::UntrackAnswersBy { map, link, not_to } => {
                write!(f, "untrack by {map} from {link} not to {}", list(not_to))
            }
            Rule::AnswerBy(map) => write!(f, "answer by {map}"),
            Rule::UntrackSyns(service) => write!(f, "untrack syns to {service}"),
            Rule::ProxySyns { service, mss } => write!(f, "proxy syns to {service} mss {mss}"),
            Rule::UntrackAnswers(service) => write!(f, "untrack answers of {service}"),
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
            ["accept", "answers", "to", "checks", "by", cookie] => {
                Rule::AcceptChecks(cookie.parse().map_err(|_| bad())?)
            }
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
            ["accept", "established,related,untracked", "not", "from", links] => Rule::AcceptKnown {
                not_from: items(links).ok_or_else(bad)?,
            },
            ["untrack", family, "requests", "not", "from", links] => Rule::UntrackRequests {
                family: family_of(family).ok_or_else(bad)?,
                not_from: items(links).ok_or_else(bad)?,
            },
            ["untrack", family, "replies", "from", link, "not", "to", nets] => Rule::UntrackReplies {
                family: family_of(family).ok_or_else(bad)?,
                link: link.parse().map_err(|_| bad())?,
                not_to: items(nets).ok_or_else(bad)?,
            },
            ["untrack", "by", map, "from", link, "not", "to", nets] => Rule::UntrackAnswersBy {
                map: AnswerMap::from_word(map).ok_or_else(bad)?,
                link: link.parse().map_err(|_| bad())?,
                not_to: items(nets).ok_or_else(bad)?,
            },
            ["answer", "by", map] => Rule::AnswerBy(AnswerMap::from_word(map).ok_or_else(bad)?),
            ["untrack", "syns", "to", service] => Rule::UntrackSyns(service.parse().map_err(|_| bad())?),
            ["proxy", "syns", "to", service, "mss", mss] => Rule::ProxySyns {
                service: service.parse().map_err(|_| bad())?,
                mss: mss.parse().map_err(|_| bad())?,
            },
            ["untrack", "answers", "of", service] => {
                Rule::UntrackAnswers(service.parse().map_err(|_| bad())?)
            }
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
                family: family_of(family).ok_or_else(bad)?,
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

fn family_of(word: &str) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family.as_str() == word)
}

/// One word: items with commas between them.
fn list(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(",")
}

fn items<T: FromStr>(word: &str) -> Option<Vec<T>> {
    word.split(',').map(|item| item.parse().ok()).collect()
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
            Rule::AcceptChecks(ProbeCookie(0x3fa1)),
            Rule::AcceptChecks(ProbeCookie(7)),
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
            Rule::AcceptKnown {
                not_from: vec![eth0.clone()],
            },
            Rule::UntrackRequests {
                family: Family::V4,
                not_from: vec![eth0.clone(), "bond0.7".parse().unwrap()],
            },
            Rule::UntrackReplies {
                family: Family::V6,
                link: eth0.clone(),
                not_to: vec![
                    "2001:db8::/64".parse().unwrap(),
                    "2001:db8:1::9/128".parse().unwrap(),
                ],
            },
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
            "untrack by answers4 from eth0 not to 172.16.0.0/24,10.0.0.0/8",
            "untrack by answer_ranges6 from eth0 not to 2001:db8::/64",
            "answer by answers6",
            "answer by answer_ranges4",
            "untrack syns to 192.0.2.1:80/tcp",
            "proxy syns to [2001:db8::1]:80/tcp mss 1440",
            "untrack answers of 192.0.2.1:80/tcp",
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
            "answer by marks4",
            "accept answers to checks by 3fa1",
            "accept answers to checks by 0x13fa1",
            "accept answers to checks",
        ] {
            assert!(line.parse::<Rule>().is_err(), "{line}");
        }
    }
}
