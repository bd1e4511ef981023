//! The appliance's VM: QEMU in the lab's namespace, its serial console, QMP, and the ways in which a machine ends.
//! Must not: know what runs inside, apart from a prompt to wait for.

mod accel;
mod console;
mod disk;
mod qmp;
mod transcript;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use accel::Accel;
pub use console::Console;
pub use transcript::plain_text;

use crate::{LabError, Result, cage, command, story, switch};
use qmp::Qmp;

pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// Debian package ovmf.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const FIRMWARE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The link on the clients' side: eth0.
pub const EXTERNAL_MAC: &str = "52:54:00:00:00:01";
/// The link on the cluster's side: eth1.
pub const CLUSTER_MAC: &str = "52:54:00:00:00:02";
/// For one command at the prompt, in an emulated machine beside a second one.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// For a whole lb.toml to pass through the line.
const PASTE_LIMIT: Duration = Duration::from_secs(60);
/// For QEMU to open its sockets.
const SOCKET_LIMIT: Duration = Duration::from_secs(20);

/// How the machine comes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// From the disk, by SeaBIOS.
    Bios,
    /// From the disk, by OVMF.
    Uefi,
    /// This kernel with this command line; the boot loader has no part.
    Kernel { image: PathBuf, cmdline: String },
}

/// A virtio network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    pub cable: Cable,
    pub mac: String,
}

/// Where a card's cable leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cable {
    /// To a tap that exists.
    Tap(String),
    /// To the port of a [`crate::Switch`] that has the card's number.
    Switch,
}

#[derive(Debug, Clone)]
pub struct VmOptions {
    /// Names the console's log.
    pub name: String,
    pub boot: Boot,
    /// A raw image of our own: the guest writes to it. See [`copy_sparse`].
    pub disk: PathBuf,
    /// The disk refuses to be written to.
    pub read_only: bool,
    /// An empty file that is to hold every write and flush of the disk.
    pub write_log: Option<PathBuf>,
    pub memory_mb: u32,
    pub smp: u32,
    /// Its time counts its instructions; see [`accel::COUNTING`]. Meant for one processor.
    pub counting: bool,
    /// In the order in which the guest numbers them.
    pub nics: Vec<Nic>,
    /// Names of virtio serial ports; [`Vm::port`] is the other end.
    pub ports: Vec<String>,
    pub prompt: String,
    /// Further arguments for QEMU.
    pub extra: Vec<String>,
}

impl VmOptions {
    /// The machine of the stories: 256 MB, two processors, no links yet.
    pub fn new(name: &str, boot: Boot, disk: &Path) -> VmOptions {
        VmOptions {
            name: name.into(),
            boot,
            disk: disk.into(),
            read_only: false,
            write_log: None,
            memory_mb: 256,
            smp: 2,
            counting: false,
            nics: Vec::new(),
            ports: Vec::new(),
            prompt: "lb> ".into(),
            extra: Vec::new(),
        }
    }

    /// Adds a link; the first is eth0.
    pub fn nic(mut self, tap: &str, mac: &str) -> VmOptions {
        self.nics.push(Nic {
            cable: Cable::Tap(tap.into()),
            mac: mac.into(),
        });
        self
    }

    /// Adds a link to a switch.
    pub fn nic_on_switch(mut self, mac: &str) -> VmOptions {
        self.nics.push(Nic {
            cable: Cable::Switch,
            mac: mac.into(),
        });
        self
    }
}

/// A running machine; its power is cut when dropped.
#[derive(Debug)]
pub struct Vm {
    qemu: Child,
    pub console: Console,
    qmp: Qmp,
    directory: PathBuf,
    prompt: String,
    /// When QEMU was started: the power button.
    pub powered_on: Instant,
}

impl Vm {
    /// Powers the machine on; does not wait for anything inside.
    pub fn start(options: &VmOptions) -> Result<Vm> {
        let directory = fresh_directory(&options.name)?;
        let errors_path = directory.join("stderr");
        let errors = File::create(&errors_path).map_err(LabError::io("create a log"))?;
        let powered_on = Instant::now();
        let mut qemu = command::command(QEMU)
            .args(arguments(options, &directory)?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(LabError::io(format!(
                "start {QEMU} (Debian package qemu-system-x86)"
            )))?;
        let lines = serve(&directory, &mut qemu);
        let (console, qmp) = lines.map_err(|failure| {
            let _ = qemu.kill();
            let _ = qemu.wait();
            let said = fs::read_to_string(&errors_path).unwrap_or_default();
            LabError::Unexpected(format!("{failure}; QEMU said: {}", said.trim()))
        })?;
        Ok(Vm {
            qemu,
            console,
            qmp,
            directory,
            prompt: options.prompt.clone(),
            powered_on,
        })
    }

    /// See [`Console::wait_for`].
    pub fn wait_for(&self, pattern: &str, limit: Duration) -> Result<String> {
        self.console.wait_for(pattern, limit)
    }

    /// Waits for the appliance's prompt after power-on or a reboot.
    pub fn wait_for_prompt(&self, limit: Duration) -> Result<()> {
        let pattern = format!("(?m)^{}", regex::escape(&self.prompt));
        self.console.wait_for(&pattern, limit).map(drop)
    }

    /// What the appliance shows between this command and its next prompt.
    pub fn command(&self, line: &str) -> Result<String> {
        self.console.command(&self.prompt, line, COMMAND_LIMIT)
    }

    /// A command's `--json` document.
    pub fn json(&self, line: &str) -> Result<Value> {
        let shown = self.command(&format!("{line} --json"))?;
        serde_json::from_str(&shown)
            .map_err(|error| LabError::Unexpected(format!("{line} --json: {error}:\n{shown}")))
    }

    /// `config put`, `text`, and the dot that ends it; what the appliance says to that.
    pub fn config_put(&self, text: &str) -> Result<String> {
        let start = self.begin_config_put(text)?;
        self.console.until_prompt(&self.prompt, start, COMMAND_LIMIT)
    }

    /// [`Vm::config_put`] until the text was received (a long echo may be cut short); where the answer will begin.
    pub fn begin_config_put(&self, text: &str) -> Result<usize> {
        self.begin_to_put("config put", text)
    }

    /// [`Vm::config_put`] with options behind it: `--confirm 10s`.
    pub fn config_put_with(&self, options: &str, text: &str) -> Result<String> {
        let start = self.begin_to_put(&format!("config put {options}"), text)?;
        self.console.until_prompt(&self.prompt, start, COMMAND_LIMIT)
    }

    /// The same for every command that takes a paste.
    pub fn begin_to_put(&self, command: &str, text: &str) -> Result<usize> {
        self.console.reach_prompt(&self.prompt, COMMAND_LIMIT)?;
        let start = self.console.line_start();
        self.console.send(format!("{command}\r").as_bytes())?;
        // Whatever it says, it says it on a line of its own before it reads.
        let pattern = format!(r"{} *\n[^\n]*\n", regex::escape(command));
        self.console.wait_for(&pattern, COMMAND_LIMIT)?;
        self.console.paste(text)?;
        let end_of_line = if text.ends_with('\n') { "" } else { "\r" };
        self.console.send(format!("{end_of_line}.\r").as_bytes())?;
        self.console.wait_for(r"(?m)^\.\n|lines? received", PASTE_LIMIT)?;
        Ok(start)
    }

    /// The other end of the virtio serial port `name`.
    pub fn port(&mut self, name: &str) -> Result<UnixStream> {
        connect(&self.directory.join(format!("port-{name}")), &mut self.qemu)
    }

    /// The ACPI power button.
    pub fn power_button(&mut self) -> Result<()> {
        self.qmp.execute("system_powerdown", json!({})).map(drop)
    }

    /// The reset button.
    pub fn reset(&mut self) -> Result<()> {
        self.console.forget();
        self.qmp.execute("system_reset", json!({})).map(drop)
    }

    /// Ctrl-Alt-Del on the keyboard.
    pub fn ctrl_alt_del(&mut self) -> Result<()> {
        let keys: Vec<Value> = ["ctrl", "alt", "delete"]
            .iter()
            .map(|key| json!({ "type": "qcode", "data": key }))
            .collect();
        self.qmp.execute("send-key", json!({ "keys": keys })).map(drop)
    }

    /// Plugs the cable of the link with this number in, or pulls it out.
    pub fn plug(&mut self, link: usize, plugged: bool) -> Result<()> {
        let arguments = json!({ "name": format!("link{link}"), "up": plugged });
        self.qmp.execute("set_link", arguments).map(drop)
    }

    /// Waits until the guest has switched the machine off.
    pub fn wait_until_off(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.qemu.try_wait().map_err(LabError::io("wait for QEMU"))? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                return Err(LabError::Timeout {
                    what: "the machine switches itself off".into(),
                    limit,
                    seen: self.console.text(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The mains fail: QEMU is killed. What it had handed to the host's kernel stays in the image.
    pub fn power_cut(mut self) -> Result<()> {
        self.qemu.kill().map_err(LabError::io("kill QEMU"))?;
        self.qemu.wait().map(drop).map_err(LabError::io("wait for QEMU"))
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A copy that takes no more room than the original's content.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    command::run(&["cp", "--sparse=always", "--reflink=auto", &from, &to]).map(drop)
}

/// One line of text to a port, one line back.
pub fn ask(port: &UnixStream, line: &str) -> Result<String> {
    let mut writer = port;
    writeln!(writer, "{line}").map_err(LabError::io("write to a virtio port"))?;
    let mut answer = String::new();
    BufReader::new(port)
        .read_line(&mut answer)
        .map_err(LabError::io("read from a virtio port"))?;
    Ok(answer)
}

fn fresh_directory(name: &str) -> Result<PathBuf> {
    for number in 0.. {
        let directory = Path::new(cage::SCRATCH).join(format!("vm-{name}-{number}"));
        if !directory.exists() {
            return cage::scratch(&format!("vm-{name}-{number}"));
        }
    }
    unreachable!("the numbers do not end")
}

/// Connects to the console, for which the machine waits, and to QMP.
fn serve(directory: &Path, qemu: &mut Child) -> Result<(Console, Qmp)> {
    let console = Console::new(connect(&directory.join("serial"), qemu)?)?;
    let qmp = Qmp::new(connect(&directory.join("qmp"), qemu)?)?;
    Ok((console, qmp))
}

fn connect(path: &Path, qemu: &mut Child) -> Result<UnixStream> {
    let started = Instant::now();
    loop {
        let failure = match UnixStream::connect(path) {
            Ok(socket) => return Ok(socket),
            Err(failure) => failure,
        };
        let ended = qemu.try_wait().map_err(LabError::io("wait for QEMU"))?;
        if ended.is_some() || started.elapsed() > SOCKET_LIMIT {
            return Err(LabError::Io {
                what: format!("connect to {}", path.display()),
                source: failure,
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn arguments(options: &VmOptions, directory: &Path) -> Result<Vec<String>> {
    let here = directory.display();
    let log =
        story::log_path(&format!("{}.console", options.name)).unwrap_or_else(|| directory.join("console"));
    let fixed = "-nodefaults -no-user-config -display none -vga std -device virtio-rng-pci";
    let mut line: Vec<String> = fixed.split(' ').map(String::from).collect();
    let mut add = |option: &str, value: String| line.extend([option.to_owned(), value]);
    if options.counting {
        let [accel, icount] = accel::COUNTING;
        add("-accel", accel.into());
        add("-icount", icount.into());
    } else {
        add("-accel", Accel::choose(directory).argument().into());
    }
    add("-m", options.memory_mb.to_string());
    add("-smp", options.smp.to_string());
    add("-qmp", format!("unix:{here}/qmp,server=on,wait=off"));
    add(
        "-chardev",
        format!(
            "socket,id=serial,path={here}/serial,server=on,wait=on,logfile={},logappend=on",
            log.display()
        ),
    );
    add("-serial", "chardev:serial".into());
    line.extend(disk::arguments(options));
    line.extend(device_arguments(options, directory));
    line.extend(boot_arguments(&options.boot, directory)?);
    line.extend(options.extra.iter().cloned());
    Ok(line)
}

/// Links and ports.
fn device_arguments(options: &VmOptions, directory: &Path) -> Vec<String> {
    let mut line = Vec::new();
    let mut add = |option: &str, value: String| line.extend([option.to_owned(), value]);
    for (number, nic) in options.nics.iter().enumerate() {
        let (id, mac) = (format!("link{number}"), &nic.mac);
        let netdev = match &nic.cable {
            Cable::Tap(tap) => format!("tap,id={id},ifname={tap},script=no,downscript=no"),
            Cable::Switch => format!("dgram,id={id},{}", switch::wire(number)),
        };
        add("-netdev", netdev);
        add(
            "-device",
            format!("virtio-net-pci,netdev={id},mac={mac},romfile="),
        );
    }
    if !options.ports.is_empty() {
        add("-device", "virtio-serial-pci".into());
    }
    for port in &options.ports {
        let socket = directory.join(format!("port-{port}"));
        add(
            "-chardev",
            format!("socket,id={port},path={},server=on,wait=off", socket.display()),
        );
        add("-device", format!("virtserialport,chardev={port},name={port}"));
    }
    line
}

fn boot_arguments(boot: &Boot, directory: &Path) -> Result<Vec<String>> {
    let words: Vec<String> = match boot {
        Boot::Bios => vec!["-machine".into(), "pc".into()],
        Boot::Uefi => {
            let variables = directory.join("OVMF_VARS.fd");
            fs::copy(FIRMWARE_VARIABLES, &variables).map_err(LabError::io(format!(
                "copy {FIRMWARE_VARIABLES} (Debian package ovmf)"
            )))?;
            vec![
                "-machine".into(),
                "q35".into(),
                "-drive".into(),
                format!("if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}"),
                "-drive".into(),
                format!("if=pflash,unit=1,format=raw,file={}", variables.display()),
            ]
        }
        Boot::Kernel { image, cmdline } => vec![
            "-machine".into(),
            "pc".into(),
            "-kernel".into(),
            image.display().to_string(),
            "-append".into(),
            cmdline.clone(),
        ],
    };
    Ok(words)
}
