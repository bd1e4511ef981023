//! The harness's end of the saboteur's line: real ipvsadm, nft and ip inside the VM, as somebody else would use them.
//! Must not: be available in a scene that boots the product's own image.

use std::fmt::Debug;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lb_lab::{LabError, Result, vm};
use serde_json::{Value, json};

/// Between two looks at what is to be repaired.
const GLANCE: Duration = Duration::from_millis(300);

/// The port's name, on both ends.
pub const PORT: &str = "saboteur";

#[derive(Debug)]
pub struct Saboteur {
    line: UnixStream,
}

impl Saboteur {
    pub fn new(line: UnixStream) -> Saboteur {
        Saboteur { line }
    }

    /// Runs a program inside the VM, which must succeed; its standard output.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        let answer = vm::ask(&self.line, &json!(argv).to_string())?;
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|error| LabError::Unexpected(format!("the saboteur said {answer}: {error}")))?;
        if answer["status"] == 0 {
            return Ok(answer["stdout"].as_str().unwrap_or_default().to_owned());
        }
        Err(LabError::Command {
            command: argv.join(" "),
            status: answer["status"].to_string(),
            stderr: answer["stderr"].as_str().unwrap_or_default().trim().to_owned(),
        })
    }

    /// [`Saboteur::run`] for a command without spaces inside of its words.
    pub fn sh(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run(&words)
    }

    /// Runs a program with this text at its standard input.
    pub fn feed(&self, text: &str, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run(&[&["saboteur", "feed", text], words.as_slice()].concat())
    }

    /// A file of /proc, read without starting a program.
    pub fn proc(&self, path: &str) -> Result<String> {
        self.run(&["proc", path])
    }

    /// Looks until what it sees is whole again after `damage`.
    pub fn wait_for_repair<T: PartialEq + Debug>(
        &self,
        damage: &str,
        limit: Duration,
        whole: &T,
        look: impl Fn(&Saboteur) -> Result<T>,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            let seen = look(self)?;
            if seen == *whole {
                return Ok(());
            }
            if started.elapsed() > limit {
                return Err(LabError::Timeout {
                    what: format!("{damage}: repaired"),
                    limit,
                    seen: format!("{seen:#?}\nwhole it was:\n{whole:#?}"),
                });
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// SIGKILL to the agent; its pid.
    pub fn kill_agent(&self) -> Result<u32> {
        let said = self.sh("saboteur kill-agent")?;
        said.trim()
            .parse()
            .map_err(|_| LabError::Unexpected(format!("kill-agent said `{said}`")))
    }

    /// What the kernel holds of what the appliance owns, without anything that counts or changes by itself.
    pub fn kernel_state(&self) -> Result<String> {
        let mut state = String::new();
        for line in [
            "ipvsadm -Sn",
            "nft -s list ruleset",
            "ip -4 -br addr",
            "ip -4 route",
        ] {
            state.push_str(&format!("$ {line}\n{}", self.sh(line)?));
        }
        Ok(state)
    }

    /// The words of that in any order: what was put back is often the last of its kind.
    pub fn kernel_words(&self) -> Result<Vec<String>> {
        let text = self.kernel_state()?;
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        let mut words: Vec<String> = words.map(str::to_owned).collect();
        words.sort();
        words.retain(|word| !word.is_empty());
        Ok(words)
    }
}
