//! A QEMU machine that boots a copy of the image, and what its serial port says. Software emulation only.
//! Must not: outlive its test; dropping it kills QEMU.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// From power-on or restart to the next line that is waited for. A boot takes 5 to 12 seconds on an idle machine; CI is not idle.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    Bios,
    Uefi,
}

/// How the disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    Virtio,
    Scsi,
    Ahci,
    Nvme,
}

impl Bus {
    fn devices(self) -> &'static [&'static str] {
        match self {
            Bus::Virtio => &["virtio-blk-pci,drive=disk,bootindex=0"],
            Bus::Scsi => &["virtio-scsi-pci", "scsi-hd,drive=disk,bootindex=0"],
            Bus::Ahci => &["ahci,id=ahci", "ide-hd,bus=ahci.0,drive=disk,bootindex=0"],
            Bus::Nvme => &["nvme,serial=1,drive=disk,bootindex=0"],
        }
    }
}

/// What is special about a machine.
#[derive(Debug)]
pub struct Options<'a> {
    pub firmware: Firmware,
    pub bus: Bus,
    pub memory_mib: u32,
    pub serial: bool,
    /// A foreign disk that the firmware lists before ours.
    pub decoy: Option<&'a Path>,
}

impl Options<'_> {
    pub fn new(firmware: Firmware) -> Self {
        // Where the firmware itself lies at 16 MiB, as OVMF does, GRUB 2.06 needs room for the kernel twice.
        let memory_mib = if firmware == Firmware::Uefi { 192 } else { 128 };
        Options {
            firmware,
            bus: Bus::Virtio,
            memory_mib,
            serial: true,
            decoy: None,
        }
    }
}

pub struct Machine {
    qemu: Child,
    output: Receiver<Vec<u8>>,
    transcript: String,
    /// How much of the transcript has been waited for already.
    seen: usize,
    started: Instant,
}

impl Machine {
    pub fn start(image: &Path, options: &Options) -> Machine {
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-accel",
            "tcg",
            "-machine",
            "q35",
            "-nodefaults",
            "-display",
            "none",
            "-device",
            "VGA",
        ]);
        command.args(["-m", &options.memory_mib.to_string()]);
        command.args(["-serial", if options.serial { "stdio" } else { "none" }]);
        if options.firmware == Firmware::Uefi {
            // The variables are kept in memory only: each start is a machine that has never booted.
            for (unit, file) in [(0, "OVMF_CODE_4M.fd"), (1, "OVMF_VARS_4M.fd")] {
                let drive =
                    format!("if=pflash,unit={unit},format=raw,snapshot=on,file=/usr/share/OVMF/{file}");
                command.args(["-drive", &drive]);
            }
        }
        if let Some(decoy) = options.decoy {
            let drive = format!("if=none,id=decoy,format=raw,file={}", decoy.display());
            command.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=decoy,addr=2"]);
        }
        command.args([
            "-drive",
            &format!("if=none,id=disk,format=raw,file={}", image.display()),
        ]);
        for device in options.bus.devices() {
            command.args(["-device", device]);
        }
        let mut qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-x86_64 is installed (image/deps run)");
        let mut stdout = qemu.stdout.take().expect("stdout is piped");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Machine {
            qemu,
            output,
            transcript: String::new(),
            seen: 0,
            started: Instant::now(),
        }
    }

    /// Waits until a line with `text` has come after the last one that was waited for; returns that line and when it
    /// came, counted from power-on.
    pub fn wait_for(&mut self, text: &str) -> (String, Duration) {
        let deadline = Instant::now() + LIMIT;
        loop {
            // A line is complete only when its end has come.
            if let Some(found) = self.transcript[self.seen..].find(text)
                && let Some(length) = self.transcript[self.seen + found..].find('\n')
            {
                let line = self.transcript[self.seen + found..][..length]
                    .trim_end()
                    .to_owned();
                self.seen += found + length;
                return (line, self.started.elapsed());
            }
            match self
                .output
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.transcript.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {text:?} within {LIMIT:?}; so far:\n{}", self.transcript)
                }
                Err(RecvTimeoutError::Disconnected) => panic!("QEMU ended; it said:\n{}", self.transcript),
            }
        }
    }

    /// The slots of the next `count` boots.
    pub fn slots(&mut self, count: usize) -> String {
        (0..count).map(|_| self.slot()).collect()
    }

    /// The slot of the next boot.
    pub fn slot(&mut self) -> char {
        let (line, _) = self.wait_for("stand-in: slot=");
        line.chars().nth("stand-in: slot=".len()).unwrap_or('?')
    }

    pub fn transcript(&self) -> &str {
        &self.transcript
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
