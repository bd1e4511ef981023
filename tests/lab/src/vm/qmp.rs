//! QEMU's machine protocol, as much as the stories need: power button, reset, unplugging a cable.
//! Must not: interpret events; they are skipped.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::{LabError, Result};

#[derive(Debug)]
pub struct Qmp {
    line: BufReader<UnixStream>,
}

impl Qmp {
    /// Greets and leaves the negotiation mode.
    pub fn new(socket: UnixStream) -> Result<Qmp> {
        let mut qmp = Qmp {
            line: BufReader::new(socket),
        };
        qmp.read()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.line.get_mut(), "{request}").map_err(LabError::io(format!("QMP {command}")))?;
        loop {
            let mut answer = self.read()?;
            if !answer["error"].is_null() {
                return Err(LabError::Unexpected(format!(
                    "QMP {command}: {}",
                    answer["error"]
                )));
            }
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.line
            .read_line(&mut line)
            .map_err(LabError::io("read from QMP"))?;
        serde_json::from_str(&line)
            .map_err(|error| LabError::Unexpected(format!("QMP said `{}`: {error}", line.trim())))
    }
}
