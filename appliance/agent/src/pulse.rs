//! The sign of life of the agent's loop: a count in a file of /run that its turns raise. Init looks at it, and starts an agent anew whose count stays.
//! Must not: be raised from anywhere but the loop, which is what it speaks for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use lb_core::control::{AGENT_PULSE, PULSE_EVERY};

#[derive(Debug)]
pub struct Pulse {
    file: File,
    count: u64,
    next: Instant,
}

impl Pulse {
    /// `runtime`: the directory. Nobody is judged by a file that is not there.
    pub fn start(runtime: &Path, now: Instant) -> io::Result<Pulse> {
        let name = Path::new(AGENT_PULSE).file_name().unwrap_or_default();
        let pulse = Pulse {
            file: File::create(runtime.join(name))?,
            count: 0,
            next: now,
        };
        pulse.write()?;
        Ok(pulse)
    }

    pub fn next(&self) -> Instant {
        self.next
    }

    /// Once in each turn of the loop.
    pub fn turn(&mut self, now: Instant) {
        if self.next > now {
            return;
        }
        self.next = now + PULSE_EVERY;
        self.count += 1;
        // The page is there since the start; a file that cannot be written to is an agent that seems to hang, and a new one may do better.
        if let Err(error) = self.write() {
            log::warn!("write the agent's sign of life: {error}");
        }
    }

    fn write(&self) -> io::Result<()> {
        self.file
            .write_all_at(format!("{:020}\n", self.count).as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_raised_when_it_is_due_and_no_earlier() {
        let place = tempfile::tempdir().unwrap();
        let count = || -> u64 {
            let text = std::fs::read_to_string(place.path().join("agent.pulse")).unwrap();
            text.trim().parse().unwrap()
        };
        let now = Instant::now();
        let mut pulse = Pulse::start(place.path(), now).unwrap();
        assert_eq!(count(), 0);
        pulse.turn(now);
        pulse.turn(now);
        assert_eq!((count(), pulse.next()), (1, now + PULSE_EVERY));
        pulse.turn(now + PULSE_EVERY);
        assert_eq!(count(), 2);
        Pulse::start(Path::new("/nowhere"), now).unwrap_err();
    }
}
