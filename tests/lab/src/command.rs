//! Running a program to its end and keeping what it said.
//! Must not: know namespaces or which programs there are.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};

use crate::{LabError, Result};

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Captured {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Captured {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// `program` on the caller's search path, or where Debian keeps what is meant for root: an ordinary user's path lacks that.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let own = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{own}:/usr/sbin:/sbin"));
    command
}

/// Runs `argv`; any exit status is fine.
pub fn output(argv: &[&str], stdin: &str) -> Result<Captured> {
    let line = argv.join(" ");
    let (program, arguments) = argv.split_first().expect("a command has a name");
    let mut child = command(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::io(format!("start `{line}`")))?;
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    // A program that ends without reading its input has its reasons; its status tells.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let done = child
        .wait_with_output()
        .map_err(LabError::io(format!("wait for `{line}`")))?;
    Ok(Captured {
        status: done.status,
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// Runs `argv`, which must succeed; its standard output.
pub fn run(argv: &[&str]) -> Result<String> {
    run_with(argv, "")
}

/// Runs `argv` with `stdin`; it must succeed.
pub fn run_with(argv: &[&str], stdin: &str) -> Result<String> {
    let done = output(argv, stdin)?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    Err(LabError::Command {
        command: argv.join(" "),
        status: done.status.to_string(),
        stderr: done.stderr.trim().to_owned(),
    })
}
