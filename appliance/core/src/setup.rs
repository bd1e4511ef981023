//! The questions that lead from nothing to a first lb.toml, and the text that the answers make. Every answer is judged by the reader of lb.toml itself, on
//! the text so far. Pure: the console asks. Must not: know rules of its own about what is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::config;

mod card;

pub use card::Card;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    /// What an empty line means.
    pub default: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Outside,
    OutsideAddress,
    Gateway,
    Inside,
    InsideAddress,
    Masquerade,
    Service,
    Listen,
    Servers,
    Check,
    Over,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Answers {
    outside: String,
    outside_addresses: Vec<String>,
    gateway: Option<String>,
    inside: Option<String>,
    inside_addresses: Vec<String>,
    masquerade: bool,
    service: Option<String>,
    listen: String,
    servers: Vec<String>,
    check: String,
}

/// Where the questions are.
#[derive(Debug, Clone)]
pub struct Setup {
    cards: Vec<Card>,
    answers: Answers,
    step: Step,
    /// The steps that led here, with what was answered before each.
    before: Vec<(Step, Answers)>,
    /// What was answered at each last, also to questions that are asked again after a `back`.
    given: BTreeMap<Step, String>,
}

const NONE: &str = "none";
const NEEDED: &str = "this needs an answer";

impl Setup {
    pub fn new(cards: Vec<Card>) -> Setup {
        Setup {
            cards,
            answers: Answers::default(),
            step: Step::Outside,
            before: Vec::new(),
            given: BTreeMap::new(),
        }
    }

    /// Takes the cards as they are now; which of them are to be shown again.
    pub fn see(&mut self, cards: Vec<Card>) -> Vec<usize> {
        let changed = card::changed(&self.cards, &cards);
        self.cards = cards;
        changed
    }

    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// `None`: all was answered.
    pub fn question(&self) -> Option<Question> {
        let answers = &self.answers;
        let (text, default) = match self.step {
            Step::Outside => {
                let text = "Interface to the outside, where the clients are";
                (text.to_owned(), card::offered(&self.cards, None))
            }
            Step::OutsideAddress => (
                format!(
                    "Address of {} with its prefix length, such as 192.168.0.1/24, or several",
                    answers.outside
                ),
                None,
            ),
            Step::Gateway => (
                "Gateway to everything else, such as 192.168.0.254, or none".to_owned(),
                Some(NONE.to_owned()),
            ),
            Step::Inside => (
                "Interface to the servers; it may be the same one".to_owned(),
                card::offered(&self.cards, Some(&answers.outside)),
            ),
            Step::InsideAddress => (
                format!(
                    "Address of {} with its prefix length, or several; it is the servers' default gateway",
                    answers.inside.as_deref().unwrap_or_default()
                ),
                None,
            ),
            Step::Masquerade => (
                format!(
                    "May the servers reach the outside, with the address of {} (masquerade)? yes or no",
                    answers.outside
                ),
                Some("yes".to_owned()),
            ),
            Step::Service => (
                "Name of a first service, such as web, or none".to_owned(),
                Some(NONE.to_owned()),
            ),
            Step::Listen => (
                "Where clients reach it, ADDRESS:PORT".to_owned(),
                own_port(answers),
            ),
            Step::Servers => (
                "Its servers, each ADDRESS:PORT, with spaces between".to_owned(),
                None,
            ),
            Step::Check => (
                "How they are checked: tcp, http or https (GET / has to be answered by 200 to 299; https takes any certificate)".to_owned(),
                Some("tcp".to_owned()),
            ),
            Step::Over => return None,
        };
        let default = self.earlier().or(default);
        Some(Question { text, default })
    }

    /// What was answered here before a `back`, if it fits what has been answered since.
    fn earlier(&self) -> Option<String> {
        let word = self.given.get(&self.step)?;
        let answers = self.with(word).ok()?;
        judge(&answers, self.step).ok()?;
        Some(word.clone())
    }

    /// Takes a line. The error is what is wrong with it, with the remedy; the same question stands then.
    pub fn answer(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if line == "back" {
            return match self.before.pop() {
                Some((step, answers)) => {
                    (self.step, self.answers) = (step, answers);
                    Ok(())
                }
                None => Err("this is the first question".to_owned()),
            };
        }
        let default = self.question().and_then(|question| question.default);
        let word = match (line, default) {
            ("", Some(default)) => default,
            ("", None) => return Err(NEEDED.to_owned()),
            (line, _) => line.to_owned(),
        };
        let answers = self.with(&word)?;
        let step = next(self.step, &answers);
        judge(&answers, self.step)?;
        let given = match self.step {
            // Its place in the list may be another's by then.
            Step::Outside | Step::Inside => self.card(&word)?,
            _ => word,
        };
        self.given.insert(self.step, given);
        self.before
            .push((self.step, std::mem::replace(&mut self.answers, answers)));
        self.step = step;
        Ok(())
    }

    /// The answers with this one.
    fn with(&self, word: &str) -> Result<Answers, String> {
        let mut answers = self.answers.clone();
        let some = || (word != NONE).then(|| word.to_owned());
        match self.step {
            Step::Outside => answers.outside = self.card(word)?,
            Step::OutsideAddress => answers.outside_addresses = several(word)?,
            Step::Gateway => answers.gateway = some(),
            Step::Inside => {
                let inside = self.card(word)?;
                answers.inside = (inside != answers.outside).then_some(inside);
            }
            Step::InsideAddress => answers.inside_addresses = several(word)?,
            Step::Masquerade => {
                answers.masquerade = match word {
                    "yes" | "y" => true,
                    "no" | "n" => false,
                    _ => return Err("yes or no, please".to_owned()),
                }
            }
            Step::Service => answers.service = some(),
            Step::Listen => answers.listen = word.to_owned(),
            Step::Servers => answers.servers = several(word)?,
            Step::Check => match word {
                "tcp" | "http" | "https" => word.clone_into(&mut answers.check),
                _ => {
                    return Err(
                        "tcp, http or https here; other kinds later, with `config edit` (`explain check.type`)".to_owned(),
                    );
                }
            },
            Step::Over => {}
        }
        Ok(answers)
    }

    /// By its name, or its place in the list.
    fn card(&self, word: &str) -> Result<String, String> {
        let by_place = word.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
        let found = self
            .cards
            .iter()
            .find(|card| card.name == word)
            .or_else(|| self.cards.get(by_place?));
        found.map(|card| card.name.clone()).ok_or_else(|| {
            let names: Vec<&str> = self.cards.iter().map(|card| card.name.as_str()).collect();
            format!("there is no such interface; there are {}", names.join(", "))
        })
    }

    /// What has to be so elsewhere that this works, when all was answered.
    pub fn note(&self) -> Option<String> {
        let answers = &self.answers;
        answers.service.as_ref()?;
        Some(match &answers.inside {
            Some(_) => format!(
                "The servers' default gateway has to be {}, this machine: their answers to clients come back through it. `doctor` shows whether they do.",
                one_of(&answers.inside_addresses)
            ),
            None => format!(
                "{} is on both sides, so nothing makes the servers' answers come back through this machine but their default gateway: it has to be {}. \
                 Otherwise answers go around it, and no client takes them. `doctor` shows whether they come.",
                answers.outside,
                one_of(&answers.outside_addresses)
            ),
        })
    }

    /// lb.toml, as far as it has been answered.
    pub fn text(&self) -> String {
        text(&self.answers)
    }
}

/// Words with blanks or commas between.
fn several(line: &str) -> Result<Vec<String>, String> {
    let words = line.split([' ', ',']).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_owned).collect();
    match words.is_empty() {
        true => Err(NEEDED.to_owned()),
        false => Ok(words),
    }
}

fn nets(addresses: &[String]) -> impl Iterator<Item = IpNet> {
    addresses.iter().filter_map(|address| address.parse().ok())
}

/// Without their prefix lengths.
fn one_of(addresses: &[String]) -> String {
    let all: Vec<String> = nets(addresses).map(|net| net.addr().to_string()).collect();
    all.join(" or ")
}

fn next(step: Step, answers: &Answers) -> Step {
    match step {
        Step::Outside => Step::OutsideAddress,
        Step::OutsideAddress => Step::Gateway,
        Step::Gateway => Step::Inside,
        Step::Inside if answers.inside.is_some() => Step::InsideAddress,
        Step::InsideAddress => Step::Masquerade,
        Step::Inside | Step::Masquerade => Step::Service,
        Step::Service if answers.service.is_some() => Step::Listen,
        Step::Listen => Step::Servers,
        Step::Servers => Step::Check,
        Step::Service | Step::Check | Step::Over => Step::Over,
    }
}

/// The first fault of the text so far, in a sentence.
fn judge(answers: &Answers, step: Step) -> Result<(), String> {
    let mut answers = answers.clone();
    match step {
        // They are not finished, and the text would lack what is asked for next.
        Step::Outside | Step::Inside => return Ok(()),
        // The name alone: it would be blamed on the next answers.
        Step::Service => {
            answers.listen = own_port(&answers).unwrap_or_default();
            answers.servers = vec![stand_in(&answers.listen)];
        }
        // A service without servers is none.
        Step::Listen => answers.servers = vec![stand_in(&answers.listen)],
        _ => {}
    }
    match config::parse(&text(&answers)) {
        Ok(_) => Ok(()),
        Err(faults) => {
            let text = text(&answers);
            let first = faults.reports(&text).into_iter().next();
            Err(first.map_or_else(
                || "the reader of lb.toml does not take that".to_owned(),
                |fault| format!("{}: {}", fault.message, unquoted(&fault.help)),
            ))
        }
    }
}

/// A remedy for lb.toml as one for an answer, which has no quotes.
fn unquoted(help: &str) -> String {
    help.replace(" in quotes", "").replace('"', "")
}

/// Of the same family, from the networks for documentation (RFC 5737, RFC 3849).
fn stand_in(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(_)) => "[2001:db8::ffff]:80".to_owned(),
        _ => "192.0.2.255:80".to_owned(),
    }
}

/// Port 80 of the first address to the outside.
fn own_port(answers: &Answers) -> Option<String> {
    let net = nets(&answers.outside_addresses).next()?;
    Some(SocketAddr::new(net.addr(), 80).to_string())
}

fn text(answers: &Answers) -> String {
    let mut text = format!(
        "[[interface]]\nname = {}\naddresses = [{}]\n",
        quoted(&answers.outside),
        list(&answers.outside_addresses)
    );
    if let Some(gateway) = &answers.gateway {
        text.push_str(&format!("gateway = {}\n", quoted(gateway)));
    }
    if let Some(inside) = answers
        .inside
        .as_ref()
        .filter(|_| !answers.inside_addresses.is_empty())
    {
        text.push_str(&format!(
            "\n[[interface]]\nname = {}\naddresses = [{}]\n",
            quoted(inside),
            list(&answers.inside_addresses)
        ));
    }
    if answers.masquerade {
        let networks: BTreeSet<IpNet> = nets(&answers.inside_addresses).map(|net| net.trunc()).collect();
        for from in networks {
            text.push_str(&format!(
                "\n[[masquerade]]\nfrom = {}\nout = {}\n",
                quoted(&from.to_string()),
                quoted(&answers.outside)
            ));
        }
    }
    if let Some(service) = answers.service.as_ref().filter(|_| !answers.servers.is_empty()) {
        text.push_str(&format!(
            "\n[[virtual_server]]\nname = {}\nlisten = {}\n",
            quoted(service),
            quoted(&answers.listen)
        ));
        if !answers.check.is_empty() {
            let trust = if answers.check == "https" {
                ", verify = false"
            } else {
                ""
            };
            text.push_str(&format!(
                "check = {{ type = {}{trust} }}\n",
                quoted(&answers.check)
            ));
        }
        for server in &answers.servers {
            text.push_str(&format!(
                "\n[[virtual_server.real_server]]\naddress = {}\n",
                quoted(server)
            ));
        }
    }
    text
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    texts.join(", ")
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests;
