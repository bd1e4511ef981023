//! Runs the programs that the build leans on, in an environment without the caller's locale, time zone or dates.
//! Must not: know what they make. A missing program is named together with the Debian package that has it.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use crate::layout::BUILD_TIME;

/// Programs of the build and the packages that have them.
const PACKAGES: [(&str, &str); 15] = [
    ("debugfs", "e2fsprogs"),
    ("dpkg-query", "dpkg"),
    ("e2fsck", "e2fsprogs"),
    ("fsck.vfat", "dosfstools"),
    ("grub-mkimage", "grub-common"),
    ("mcopy", "mtools"),
    ("mdir", "mtools"),
    ("minfo", "mtools"),
    ("mke2fs", "e2fsprogs"),
    ("mkfs.vfat", "dosfstools"),
    ("mksquashfs", "squashfs-tools"),
    ("mmd", "mtools"),
    ("sfdisk", "fdisk"),
    ("unsquashfs", "squashfs-tools"),
    ("zstd", "zstd"),
];

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{program} is missing; install it: apt-get install {package}")]
    Missing { program: String, package: &'static str },
    #[error("cannot start {program}")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{command}: {status}{}", indented(said))]
    Failed {
        command: String,
        status: std::process::ExitStatus,
        said: String,
    },
}

fn indented(said: &str) -> String {
    said.lines().map(|line| format!("\n    {line}")).collect()
}

/// One run of a program.
#[derive(Debug)]
pub struct Tool {
    program: &'static str,
    args: Vec<OsString>,
    envs: Vec<(&'static str, OsString)>,
    accepted: &'static [i32],
    dated: bool,
}

impl Tool {
    pub fn new(program: &'static str) -> Tool {
        Tool {
            program,
            args: Vec::new(),
            envs: Vec::new(),
            accepted: &[0],
            dated: false,
        }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Tool {
        self.args.push(arg.into());
        self
    }

    pub fn args<I>(mut self, args: I) -> Tool
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn path(self, path: &Path) -> Tool {
        self.arg(path.as_os_str())
    }

    pub fn env(mut self, key: &'static str, value: impl Into<OsString>) -> Tool {
        self.envs.push((key, value.into()));
        self
    }

    /// Exit statuses that are not a failure; 0 alone by default.
    pub fn accept(mut self, statuses: &'static [i32]) -> Tool {
        self.accepted = statuses;
        self
    }

    /// Everything that the program dates gets [`BUILD_TIME`].
    pub fn dated(mut self) -> Tool {
        self.dated = true;
        self
    }

    pub fn run(self) -> Result<Output, ToolError> {
        let mut command = Command::new(self.program);
        // An ordinary user's PATH lacks sbin, where mke2fs and mkfs.vfat are.
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("HOME", "/nonexistent")
            .env("MTOOLSRC", "/dev/null");
        if self.dated {
            command.env("SOURCE_DATE_EPOCH", BUILD_TIME.to_string());
            command.env("E2FSPROGS_FAKE_TIME", BUILD_TIME.to_string());
        }
        command
            .envs(self.envs.iter().map(|(key, value)| (key, value)))
            .args(&self.args);
        let output = command.output().map_err(|source| self.not_started(source))?;
        if output
            .status
            .code()
            .is_some_and(|code| self.accepted.contains(&code))
        {
            return Ok(output);
        }
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.trim().is_empty() {
            said = String::from_utf8_lossy(&output.stdout).into_owned();
        }
        let words: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        Err(ToolError::Failed {
            command: format!("{} {}", self.program, words.join(" ")),
            status: output.status,
            said,
        })
    }

    fn not_started(&self, source: io::Error) -> ToolError {
        let program = self.program.to_owned();
        let package = PACKAGES
            .iter()
            .find(|(name, _)| *name == self.program)
            .map(|(_, package)| *package);
        match package {
            Some(package) if source.kind() == io::ErrorKind::NotFound => {
                ToolError::Missing { program, package }
            }
            _ => ToolError::Start { program, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_run_and_what_it_said() {
        let error = Tool::new("sh")
            .args(["-c", "echo no good >&2; exit 3"])
            .run()
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.ends_with("\n    no good"), "{text}");
    }

    #[test]
    fn an_accepted_status_is_no_failure() {
        assert!(
            Tool::new("sh")
                .args(["-c", "exit 1"])
                .accept(&[0, 1])
                .run()
                .is_ok()
        );
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let tool = Tool::new("mksquashfs");
        let error = tool.not_started(io::ErrorKind::NotFound.into());
        assert_eq!(
            error.to_string(),
            "mksquashfs is missing; install it: apt-get install squashfs-tools"
        );
    }

    #[test]
    fn the_callers_locale_and_dates_do_not_reach_the_program() {
        let output = Tool::new("env").run().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("LC_ALL=C\n") && !text.contains("SOURCE_DATE_EPOCH"),
            "{text}"
        );
    }
}
