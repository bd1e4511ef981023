//! A rule's expressions in a form in which what we send and what the kernel reports back compare equal when they mean the
//! same: counters' values, zeros that stand for "not given", and marks of the message's layout are left out.

use std::collections::BTreeMap;

use lb_core::ports::KernelFault;
use lb_core::ruleset::{Chain, Rule};
use mnl::NlMessages;

use super::encode;
use super::message::{Attributes, Message, list};
use crate::fault;

// include/uapi/linux/netfilter/nf_tables.h
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;
const NFTA_BITWISE_MASK: u16 = 4;
const NFTA_BITWISE_XOR: u16 = 5;
const NFTA_LOOKUP_SET_ID: u16 = 4;
const NFTA_COUNTER_PACKETS: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
/// NFTNL_UDATA_RULE_COMMENT: the type of nft's user data that holds a rule's comment.
const UDATA_COMMENT: u8 = 0;

/// A rule as a message holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenRule {
    pub chain: String,
    comment: Option<String>,
    expressions: Vec<Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Expression {
    name: String,
    attributes: BTreeMap<u16, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Bytes(Vec<u8>),
    Verdict { code: u32, chain: String },
}

impl SeenRule {
    /// Of a NEWRULE message's attributes.
    pub(super) fn parse(attributes: &Attributes<'_>) -> Result<SeenRule, KernelFault> {
        let expressions = list(attributes.bytes(NFTA_RULE_EXPRESSIONS))?
            .into_iter()
            .map(|(_, bytes)| Expression::parse(bytes))
            .collect::<Result<_, _>>()?;
        Ok(SeenRule {
            chain: attributes.text(NFTA_RULE_CHAIN),
            comment: comment(attributes.bytes(NFTA_RULE_USERDATA)),
            expressions,
        })
    }

    /// The rule that its comment claims, if its expressions are just those of that rule; else a foreign one.
    pub(super) fn identify(&self, base: Chain) -> Result<Rule, KernelFault> {
        let claimed = self.comment.as_deref().and_then(|c| c.parse().ok());
        if let Some(rule) = claimed
            && fresh(base, &rule)?.is_some_and(|fresh| fresh.expressions == self.expressions)
        {
            return Ok(rule);
        }
        Ok(Rule::Foreign(self.describe()))
    }

    /// For the operator's eyes: the expressions' names, and the comment.
    pub(super) fn describe(&self) -> String {
        let names: Vec<&str> = self.expressions.iter().map(|e| e.name.as_str()).collect();
        let names = names.join(" ");
        match &self.comment {
            Some(comment) => format!("rule in {}: {names} ({comment})", self.chain),
            None => format!("rule in {}: {names}", self.chain),
        }
    }
}

/// What the first counter of a rule has counted; 0 without one.
pub(super) fn packets(rule: &Attributes<'_>) -> Result<u64, KernelFault> {
    for (_, bytes) in list(rule.bytes(NFTA_RULE_EXPRESSIONS))? {
        let expression = Attributes::parse(bytes)?;
        if expression.text(NFTA_EXPR_NAME) == "counter" {
            let counter = Attributes::parse(expression.bytes(NFTA_EXPR_DATA))?;
            return Ok(counter.long_number(NFTA_COUNTER_PACKETS));
        }
    }
    Ok(0)
}

/// What we would send for this rule.
fn fresh(base: Chain, rule: &Rule) -> Result<Option<SeenRule>, KernelFault> {
    let Some(transaction) = encode::sample(base, rule) else {
        return Ok(None);
    };
    let new_rule = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_NEWRULE) as u16;
    for message in transaction.batch.iter().flat_map(NlMessages::new) {
        let bytes = message.map_err(|e| fault::from_io(&e))?;
        match Message::new(bytes) {
            Some(message) if message.kind == new_rule => {
                return SeenRule::parse(&Attributes::of_message(message.payload)?).map(Some);
            }
            _ => {}
        }
    }
    Ok(None)
}

impl Expression {
    fn parse(bytes: &[u8]) -> Result<Expression, KernelFault> {
        let outer = Attributes::parse(bytes)?;
        let name = outer.text(NFTA_EXPR_NAME);
        let mut attributes = BTreeMap::new();
        for (kind, bytes) in Attributes::parse(outer.bytes(NFTA_EXPR_DATA))?.0 {
            if let Some(value) = value(&name, kind, bytes)? {
                attributes.insert(kind, value);
            }
        }
        Ok(Expression { name, attributes })
    }
}

/// `None` for what does not count.
fn value(expression: &str, kind: u16, bytes: &[u8]) -> Result<Option<Value>, KernelFault> {
    Ok(match (expression, kind) {
        // Packets and bytes.
        ("counter", _) => None,
        // Only in requests: a set of the same transaction.
        ("lookup", NFTA_LOOKUP_SET_ID) => None,
        ("immediate", NFTA_IMMEDIATE_DATA)
        | ("cmp", NFTA_CMP_DATA)
        | ("bitwise", NFTA_BITWISE_MASK | NFTA_BITWISE_XOR) => Some(data(bytes)?),
        _ if bytes.iter().all(|b| *b == 0) => None,
        _ => Some(Value::Bytes(bytes.to_vec())),
    })
}

/// An nft_data: a value or a verdict. Here a zero has a meaning and is kept.
fn data(bytes: &[u8]) -> Result<Value, KernelFault> {
    let attributes = Attributes::parse(bytes)?;
    if attributes.has(NFTA_DATA_VERDICT) {
        let verdict = Attributes::parse(attributes.bytes(NFTA_DATA_VERDICT))?;
        return Ok(Value::Verdict {
            code: verdict.number(NFTA_VERDICT_CODE),
            chain: verdict.text(NFTA_VERDICT_CHAIN),
        });
    }
    Ok(Value::Bytes(attributes.bytes(NFTA_DATA_VALUE).to_vec()))
}

/// The comment in nft's user data: entries of type, length and value, each a byte, a byte and bytes.
fn comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = userdata {
        let (value, next) = rest.split_at_checked(usize::from(*length))?;
        if *kind == UDATA_COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return String::from_utf8(text.to_vec()).ok();
        }
        userdata = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<(Chain, Rule)> {
        let eth0: lb_core::model::IfName = "eth0".parse().unwrap();
        let line = |line: &str| -> Rule { line.parse().unwrap() };
        let masquerade = |from: &str| line(&format!("masquerade {from} out eth0"));
        let address = |from: &str, to: &str| line(&format!("masquerade {from} out eth0 to {to}"));
        let hairpin = |from: &str| Rule::Hairpin {
            from: from.parse().unwrap(),
            out: eth0.clone(),
        };
        let marked = |from: &str| Rule::HairpinMarked {
            from: from.parse().unwrap(),
            out: eth0.clone(),
        };
        vec![
            (Chain::Input, Rule::AcceptLoopback),
            (Chain::Input, Rule::AcceptEstablished),
            (Chain::Input, line("accept answers to checks by 0x3fa1")),
            (Chain::Input, line("accept answers to checks by 0x3fa2")),
            (Chain::Input, Rule::AcceptIcmp),
            (Chain::Input, Rule::AcceptIcmpv6),
            (Chain::Input, Rule::AcceptServices4),
            (Chain::Input, Rule::AcceptServices6),
            (Chain::MangleIn, Rule::AcceptReplies),
            (Chain::MangleIn, Rule::MarkServices4),
            (Chain::MangleIn, Rule::MarkServices6),
            (Chain::Input, Rule::AcceptMarked),
            (Chain::Postrouting, Rule::AcceptMarks4),
            (Chain::Postrouting, Rule::AcceptMarks6),
            (Chain::Postrouting, marked("172.16.0.0/24")),
            (Chain::Postrouting, marked("2001:db8::/48")),
            (Chain::Forward, Rule::DropNewFrom(eth0.clone())),
            (
                Chain::Input,
                line("accept established,related,untracked not from lo"),
            ),
            (Chain::Raw, line("untrack ipv4 requests not from lo")),
            (Chain::Raw, line("untrack ipv6 requests not from lo,lo")),
            (
                Chain::Raw,
                line("untrack ipv4 replies from lo not to 172.16.0.0/24"),
            ),
            (
                Chain::Raw,
                line("untrack ipv6 replies from lo not to 2001:db8::/64,2001:db8::1/128"),
            ),
            (Chain::Forward, Rule::Offload),
            (Chain::Postrouting, masquerade("0.0.0.0/0")),
            (Chain::Postrouting, masquerade("172.16.0.0/24")),
            (Chain::Postrouting, masquerade("172.16.0.1/32")),
            (Chain::Postrouting, masquerade("2001:db8::/48")),
            (Chain::Postrouting, address("172.16.0.0/24", "192.0.2.1")),
            (Chain::Postrouting, address("172.16.0.0/24", "192.0.2.2")),
            (Chain::Postrouting, address("2001:db8::/48", "2001:db8:9::1")),
            (Chain::Postrouting, hairpin("172.16.0.0/24")),
            (Chain::Postrouting, hairpin("2001:db8::/48")),
            (
                Chain::Postrouting,
                address("172.16.0.0/24", "192.0.2.1-192.0.2.2"),
            ),
            (
                Chain::Postrouting,
                address("172.16.0.0/24", "192.0.2.1 share 0 of 2"),
            ),
            (
                Chain::Postrouting,
                address("172.16.0.0/24", "192.0.2.1 share 1 of 2"),
            ),
            (
                Chain::Postrouting,
                address("172.16.0.0/24", "192.0.2.1 share 1 of 3"),
            ),
            (
                Chain::Postrouting,
                address("2001:db8::/48", "2001:db8:9::1-2001:db8:9::2"),
            ),
            (
                Chain::Postrouting,
                line("hairpin forwarded 172.16.0.0/24 out eth0"),
            ),
            (Chain::Dstnat, line("forward tcp 192.0.2.1:80 to 172.16.0.11")),
            (Chain::Dstnat, line("forward udp 192.0.2.1:80 to 172.16.0.11")),
            (Chain::Dstnat, line("forward tcp 192.0.2.1:80-81 to 172.16.0.11")),
            (Chain::Dstnat, line("forward tcp 192.0.2.1:80 to 172.16.0.11:80")),
            (
                Chain::Dstnat,
                line("forward tcp 192.0.2.1:80 to 172.16.0.11 from 10.0.0.0/8"),
            ),
            (
                Chain::Dstnat,
                line("forward tcp [2001:db8::1]:80 to 2001:db8:1::11"),
            ),
            (
                Chain::Forward,
                line("accept forwarded tcp 192.0.2.1:80 to 172.16.0.11"),
            ),
            (
                Chain::Forward,
                line("accept forwarded tcp 192.0.2.1:80-90 to 172.16.0.11"),
            ),
            (
                Chain::Forward,
                line("accept forwarded sctp [2001:db8::1]:80 to 2001:db8:1::11 from 2001:db8::/48"),
            ),
            (
                Chain::Raw,
                line("untrack by answers4 from lo not to 172.16.0.0/24"),
            ),
            (
                Chain::Raw,
                line("untrack by answers6 from lo not to 2001:db8::/64"),
            ),
            (
                Chain::Raw,
                line("untrack by answer_ranges4 from lo not to 172.16.0.0/24"),
            ),
            (
                Chain::Raw,
                line("untrack by answer_ranges6 from lo not to 2001:db8::/64"),
            ),
            (Chain::Forward, line("answer by answers4")),
            (Chain::Forward, line("answer by answers6")),
            (Chain::Forward, line("answer by answer_ranges4")),
            (Chain::Forward, line("answer by answer_ranges6")),
            (Chain::Raw, line("untrack syns to 192.0.2.1:80/tcp")),
            (Chain::Raw, line("untrack syns to [2001:db8::1]:80/tcp")),
            (Chain::Input, line("proxy syns to 192.0.2.1:80/tcp mss 1460")),
            (Chain::Input, line("proxy syns to 192.0.2.1:80/tcp mss 1452")),
            (Chain::Input, line("proxy syns to [2001:db8::1]:80/tcp mss 1440")),
            (Chain::Output, line("untrack answers of 192.0.2.1:80/tcp")),
            (Chain::Output, line("untrack answers of [2001:db8::1]:80/tcp")),
            (Chain::MangleIn, line("clamp mss 1452 ipv4 in eth0")),
            (Chain::MangleIn, line("clamp mss 1453 ipv4 in eth0")),
            (Chain::MangleOut, line("clamp mss 1452 ipv4 out eth0")),
            (Chain::MangleOut, line("clamp mss 1452 ipv6 out eth0")),
        ]
    }

    #[test]
    fn every_rule_is_found_again_and_no_two_are_alike() {
        let seen: Vec<SeenRule> = rules()
            .iter()
            .map(|(base, rule)| fresh(*base, rule).unwrap().unwrap())
            .collect();
        for ((base, rule), seen) in rules().iter().zip(&seen) {
            assert_eq!(seen.identify(*base).unwrap(), *rule);
            assert_eq!(seen.chain, base.name());
        }
        for (i, a) in seen.iter().enumerate() {
            for b in &seen[..i] {
                assert_ne!(a.expressions, b.expressions);
            }
        }
    }

    #[test]
    fn a_comment_that_lies_makes_a_rule_foreign() {
        let mut seen = fresh(Chain::Input, &Rule::AcceptIcmp).unwrap().unwrap();
        seen.comment = Some(Rule::AcceptEstablished.to_string());
        assert!(matches!(seen.identify(Chain::Input), Ok(Rule::Foreign(_))));
        seen.comment = None;
        assert!(matches!(seen.identify(Chain::Input), Ok(Rule::Foreign(_))));
    }

    #[test]
    fn comments_are_read_from_user_data_and_broken_ones_are_none() {
        assert_eq!(comment(b"\x00\x03hi\0").as_deref(), Some("hi"));
        assert_eq!(comment(b"\x05\x01x\x00\x02y\0").as_deref(), Some("y"));
        assert_eq!(comment(b"\x00\x09hi\0"), None);
        assert_eq!(comment(b""), None);
    }
}
