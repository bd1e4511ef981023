//! What can go wrong with a command, as one sentence with the remedy, and the exit code that it gives.
//! Must not: print.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use lb_core::config::MAX_BYTES;
use lb_core::control::InitReport;
use lb_core::ports::KernelError;
use thiserror::Error;

use super::client::AskError;
use super::log::LogError;
use super::parse::UsageError;
use super::power::PowerError;
use super::render::{clean, count};

/// The request could not be carried out, or its answer is bad news.
pub const EXIT_FAILED: u8 = 1;
/// The words were not understood.
pub const EXIT_USAGE: u8 = 2;

#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The agent's own sentence.
    #[error("{0}")]
    Refused(String),
    /// Of lb.toml, with what was meant.
    #[error("{0}")]
    UnknownKey(String),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Power(#[from] PowerError),
    #[error("{} cannot be read", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no {}", .0.display())]
    NoConfig(PathBuf),
    #[error("the text has {} bytes and lb.toml may have {}; nothing was changed", count(*.0), count(MAX_BYTES as u64))]
    TooLong(u64),
    #[error(
        "`{0}` is no IPv4 or IPv6 address, such as 172.16.0.11 or 2001:db8::1; names are not looked up here"
    )]
    NoAddress(String),
    #[error(
        "`{0}` is no ADDRESS:PORT, nor ADDRESS:PORT/PROTOCOL with tcp, udp or sctp, such as 192.168.0.1:30080/tcp"
    )]
    NoPacket(String),
    #[error("`explain` needs the port as well, as in {with_port}; `route {}` and `arp` tell about an address", with_port.ip())]
    NoPort { with_port: SocketAddr },
    #[error("the client and the address are not of one family; give both as IPv4 or both as IPv6")]
    Families,
    #[error("the kernel cannot be asked")]
    Kernel(#[from] KernelError),
    #[error("the network cannot be used")]
    Network(#[source] io::Error),
    #[error("given up; nothing was changed")]
    GivenUp,
    #[error("`--json` prints one document and cannot `--follow`; leave one of them out")]
    EndlessJson,
    #[error(
        "`config edit` needs a terminal; `config put` reads a whole text from a pipe, and `config set` changes one key"
    )]
    NoTerminal,
    #[error(
        "the password is asked for at a terminal, where nothing is shown of it, and never taken from a script; type `console password` on the console"
    )]
    NoPasswordTerminal,
    #[error(
        "`console lock` locks the console that it is typed at, and this is none; other consoles lock when they are left alone (`console idle`)"
    )]
    NoConsole,
    #[error("the terminal cannot be used")]
    Terminal(#[source] io::Error),
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_)
            | Failure::UnknownKey(_)
            | Failure::EndlessJson
            | Failure::NoTerminal
            | Failure::NoPasswordTerminal
            | Failure::NoConsole
            | Failure::NoAddress(_)
            | Failure::NoPacket(_)
            | Failure::NoPort { .. }
            | Failure::Families => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }

    /// Whether it is about an agent that is not there; init's view helps then.
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Failure::Ask(AskError::Absent { .. } | AskError::Silent(_) | AskError::Closed)
        )
    }

    pub fn is_interruption(&self) -> bool {
        matches!(self, Failure::Ask(AskError::Interrupted | AskError::Unheard))
    }

    /// Whether nobody is left to tell it to.
    pub fn is_lost_output(&self) -> bool {
        matches!(self, Failure::Output(_) | Failure::Log(LogError::Write(_)))
    }

    /// The error with its causes, in one line.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // The number of a system error says nothing that its words do not.
            text.push_str(&format!(
                ": {}",
                said.split(" (os error ").next().unwrap_or(&said)
            ));
            cause = error.source();
        }
        clean(&text).into_owned()
    }

    /// The sentence with what init sees, for a place that has room for one string only.
    pub fn sentence_with(&self, init: Option<&InitReport>) -> String {
        let sentence = self.sentence();
        let view = match (self.is_absence(), init) {
            (true, Some(init)) => match &init.agent_last_exit {
                Some(exit) => format!(
                    "; init restarted it {} times, its last end was: {}",
                    init.agent_restarts,
                    clean(exit)
                ),
                None => "; it starts by itself, `log` shows how far it is".to_owned(),
            },
            (true, None) => "; outside the appliance, --socket PATH names its socket".to_owned(),
            (false, _) => String::new(),
        };
        format!("{sentence}{view}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sentences_hold_their_causes_once_and_codes_tell_usage_apart() {
        let absent = Failure::from(AskError::Absent {
            path: "/x".into(),
            source: io::Error::from_raw_os_error(2),
        });
        assert_eq!(
            absent.sentence(),
            "the agent is not running (its socket is /x): No such file or directory"
        );
        assert!(absent.is_absence());
        assert_eq!(absent.exit_code(), 1);
        let init = InitReport {
            agent_restarts: 7,
            agent_last_exit: Some("exit status 101".into()),
            ..InitReport::default()
        };
        assert_eq!(
            Failure::from(AskError::Silent(Duration::from_secs(10))).sentence_with(Some(&init)),
            "the agent does not answer: nothing came within 10 seconds; init restarted it 7 times, its last end was: exit status 101"
        );
        assert!(
            absent
                .sentence_with(None)
                .ends_with("--socket PATH names its socket")
        );
        let usage = Failure::from(UsageError::Valueless { option: "--json" });
        assert_eq!(
            (usage.exit_code(), usage.sentence().as_str()),
            (2, "`--json` takes no value")
        );
        assert_eq!(Failure::Refused("no\x1b[2J".into()).sentence(), "no?[2J");
    }
}
