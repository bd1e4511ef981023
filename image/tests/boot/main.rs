//! The boot loader in real machines (QEMU, software emulation; SeaBIOS and OVMF): which slot is started, how tries are
//! counted, and what happens on damaged disks. This program is also PID 1 of those machines.
//! Needs the kernel (image/kernel/build) and QEMU; without them it fails.

mod machine;
mod stand_in;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lb_image::assemble;
use lb_image::bootctl::{EnvFile, read_env, write_env};
use lb_image::config_volume;
use lb_image::file;
use lb_image::layout::{BOOTCTL, MIB, Partition, SLOT_A, SLOT_B, Slot, kernel_command_line};
use lb_image::rootfs::Ingredients;
use libtest_mimic::{Arguments, Trial};
use tempfile::TempDir;

use machine::{Bus, Firmware, Machine, Options};

fn main() -> ExitCode {
    if std::process::id() == 1 {
        stand_in::run();
        return ExitCode::FAILURE;
    }
    let mut trials = vec![
        test(
            "a panicking slot has three tries, then the other one starts",
            panicking_slot,
        ),
        test("BIOS and UEFI count on the same counter", one_counter),
        test("environment files of garbage start slot a", garbage_environment),
        test("a slot that is cut short is skipped", slot_cut_short),
        test(
            "two unreadable slots are reported and the machine restarts",
            both_slots_unreadable,
        ),
        test("a machine without a serial port starts", no_serial_port),
        test("root is found on virtio-scsi, AHCI and NVMe", buses),
        test("an image in use by a machine is left alone", image_in_use),
    ];
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let mut both = |name: &str, run: fn(Firmware)| {
            trials.push(test(&format!("{firmware:?}: {name}"), move || run(firmware)));
        };
        both("the factory's image starts slot a and writes nothing", factory);
        both("want=b starts slot b", want_b);
        both(
            "a zeroed slot is replaced by the other in the same boot",
            zeroed_slot,
        );
        both("a zeroed bootctl starts slot a", zeroed_bootctl);
        both("a foreign disk in front does not matter", decoy);
    }
    let mut arguments = Arguments::from_args();
    // Two emulated machines fill two cores; more would only run into each other's limits.
    arguments.test_threads.get_or_insert(2);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn test(name: &str, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

/// An image whose executable is this program; `dies` names the slots in which it ends at once.
fn build(dies: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let overlay = directory.path().join("overlay");
    fs::create_dir_all(overlay.join("etc")).expect("an overlay");
    fs::write(overlay.join(stand_in::DIES), dies).expect("an overlay");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kernel/build");
    let kernel = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("image/kernel/build runs");
    assert!(kernel.status.success(), "image/kernel/build failed");
    let kernel = String::from_utf8(kernel.stdout).expect("a path");
    let kernel = Path::new(
        kernel
            .lines()
            .last()
            .expect("image/kernel/build names its directory"),
    )
    .join("bzImage");
    let executable = without_debug_information(directory.path());
    let image = directory.path().join("lb.img");
    let from = Ingredients {
        executable: &executable,
        kernel: &kernel,
        overlay: &overlay,
        crates: None,
    };
    assemble::build(&image, &from).unwrap_or_else(|error| panic!("{error:?}"));
    (directory, image)
}

/// This program, as small as a slot has room for.
fn without_debug_information(directory: &Path) -> PathBuf {
    let stripped = directory.join("executable");
    let done = Command::new("strip")
        .arg("--strip-debug")
        .arg("-o")
        .arg(&stripped)
        .arg(std::env::current_exe().expect("this program"))
        .status()
        .expect("strip runs");
    assert!(done.success(), "strip failed");
    stripped
}

/// A copy of the image in which both slots are good.
fn image() -> (TempDir, PathBuf) {
    static IMAGE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, original) = IMAGE.get_or_init(|| build(""));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let copy = directory.path().join("lb.img");
    file::copy_sparse(original, &copy).expect("a copy");
    (directory, copy)
}

fn overwrite(image: &Path, offset: u64, length: u64, byte: u8) {
    use std::os::unix::fs::FileExt;
    let disk = File::options().write(true).open(image).expect("the image");
    disk.write_all_at(&vec![byte; length as usize], offset)
        .expect("the image is writable");
}

fn zero(image: &Path, partition: &Partition) {
    overwrite(image, partition.start, partition.size, 0);
}

fn arm_trial(image: &Path, left: &str) {
    write_env(image, EnvFile::Grub, &[("left", left)]).expect("GRUB.ENV");
    write_env(image, EnvFile::Os, &[("want", "b"), ("trial", "1")]).expect("OS.ENV");
}

fn left(image: &Path) -> String {
    read_env(image, EnvFile::Grub).expect("GRUB.ENV")["left"].clone()
}

fn factory(firmware: Firmware) {
    let (_directory, image) = image();
    let before = fs::read(&image).expect("the image");
    let mut machine = Machine::start(&image, &Options::new(firmware));
    let (_, grub) = machine.wait_for("lb: starting slot a");
    let (line, init) = machine.wait_for("stand-in: slot=a");
    assert!(line.contains(&kernel_command_line(Slot::A)), "{line}");
    let uptime = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("uptime="));
    println!("{firmware:?}: GRUB after {grub:.1?}, init after {init:.1?} (kernel's own clock: {uptime:?} s)");
    assert_eq!(machine.slot(), 'a');
    drop(machine);
    assert!(
        fs::read(&image).expect("the image") == before,
        "a boot without a trial writes nothing"
    );
}

fn want_b(firmware: Firmware) {
    let (_directory, image) = image();
    write_env(&image, EnvFile::Os, &[("want", "b"), ("trial", "0")]).expect("OS.ENV");
    let mut machine = Machine::start(&image, &Options::new(firmware));
    let (line, _) = machine.wait_for("stand-in: slot=");
    assert!(line.contains(&kernel_command_line(Slot::B)), "{line}");
}

fn zeroed_slot(firmware: Firmware) {
    let (_directory, image) = image();
    zero(&image, &SLOT_A);
    let mut machine = Machine::start(&image, &Options::new(firmware));
    assert_eq!(machine.slot(), 'b');
    assert_eq!(
        machine
            .transcript()
            .matches("lb: slot a cannot be started")
            .count(),
        1 + usize::from(firmware == Firmware::Uefi)
    );
}

fn zeroed_bootctl(firmware: Firmware) {
    let (_directory, image) = image();
    zero(&image, &BOOTCTL);
    assert_eq!(Machine::start(&image, &Options::new(firmware)).slot(), 'a');
}

fn decoy(firmware: Firmware) {
    let (directory, image) = image();
    let other = directory.path().join("decoy");
    file::create_sparse(&other, 64 * MIB).expect("a disk");
    write_env(&image, EnvFile::Os, &[("want", "b"), ("trial", "0")]).expect("OS.ENV");
    let options = Options {
        decoy: Some(&other),
        ..Options::new(firmware)
    };
    assert_eq!(Machine::start(&image, &options).slot(), 'b');
}

fn panicking_slot() {
    let (_directory, image) = build("b");
    arm_trial(&image, "3");
    let before = fs::read(&image).expect("the image");
    let mut machine = Machine::start(&image, &Options::new(Firmware::Bios));
    let mut counted = String::new();
    for _ in 0..3 {
        assert_eq!(machine.slot(), 'b');
        counted += &left(&image);
    }
    assert_eq!(counted, "210");
    assert_eq!(machine.slots(2), "aa", "the tries are used up, and stay so");
    drop(machine);
    let after = fs::read(&image).expect("the image");
    let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert_eq!(changed, 1, "one byte of the disk: the digit");
}

fn one_counter() {
    let (_directory, image) = image();
    arm_trial(&image, "3");
    let boot = |firmware| {
        (
            Machine::start(&image, &Options::new(firmware)).slot(),
            left(&image),
        )
    };
    assert_eq!(boot(Firmware::Bios), ('b', "2".into()));
    assert_eq!(boot(Firmware::Uefi), ('b', "1".into()));
    let mut machine = Machine::start(&image, &Options::new(Firmware::Uefi));
    assert_eq!(machine.slots(2), "ba");
    assert_eq!(left(&image), "0");
}

fn garbage_environment() {
    let (_directory, image) = image();
    for file in [EnvFile::Os, EnvFile::Grub] {
        overwrite(&image, file.offset(), 512, 0xff);
    }
    assert_eq!(Machine::start(&image, &Options::new(Firmware::Bios)).slot(), 'a');
}

fn slot_cut_short() {
    let (_directory, image) = image();
    overwrite(&image, SLOT_A.start + MIB, SLOT_A.size - MIB, 0);
    assert_eq!(Machine::start(&image, &Options::new(Firmware::Bios)).slot(), 'b');
}

fn both_slots_unreadable() {
    let (_directory, image) = image();
    zero(&image, &SLOT_A);
    zero(&image, &SLOT_B);
    let mut machine = Machine::start(&image, &Options::new(Firmware::Bios));
    for slot in ['a', 'b', 'a'] {
        machine.wait_for(&format!("lb: starting slot {slot}"));
    }
    assert_eq!(
        machine
            .transcript()
            .matches("neither slot can be started")
            .count(),
        1
    );
}

fn no_serial_port() {
    let (_directory, image) = image();
    arm_trial(&image, "3");
    let _machine = Machine::start(
        &image,
        &Options {
            serial: false,
            ..Options::new(Firmware::Bios)
        },
    );
    let deadline = Instant::now() + Duration::from_secs(120);
    // The second try proves that the first one reached PID 1, which restarted the machine.
    while left(&image) != "1" {
        assert!(Instant::now() < deadline, "no second try; left={}", left(&image));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn buses() {
    for bus in [Bus::Scsi, Bus::Ahci, Bus::Nvme] {
        let (_directory, image) = image();
        let options = Options {
            bus,
            ..Options::new(Firmware::Bios)
        };
        assert_eq!(Machine::start(&image, &options).slot(), 'a', "{bus:?}");
    }
}

fn image_in_use() {
    let (_directory, image) = image();
    let mut machine = Machine::start(&image, &Options::new(Firmware::Bios));
    machine.wait_for("lb: starting slot a");
    for error in [
        config_volume::write(&image, config_volume::LB_TOML, b"").expect_err("a machine writes to the image"),
        config_volume::read(&image, config_volume::LB_TOML).expect_err("a machine writes to the image"),
    ] {
        assert!(error.to_string().contains("stop it first"), "{error}");
    }
    drop(machine);
    config_volume::write(&image, config_volume::LB_TOML, b"").expect("nobody uses the image any more");
}
