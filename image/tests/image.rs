//! The finished image, looked at with the tools of others, and the command line. The kernel and the executable are stand-ins.
//! Must not: boot anything (tests/boot does).

#![allow(clippy::unwrap_used, reason = "a panic here is the report of a failure")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use lb_image::config_volume::{self, LB_TOML};
use lb_image::file;
use lb_image::layout::{BIOS, CONFIG, DISK_SIZE, ESP, SLOT_A, SLOT_B};
use lb_image::tool::Tool;
use tempfile::TempDir;

const OVERLAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../overlay");
const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../overlay/usr/share/lb/lb.toml.sample"
);

/// A file that passes for a bzImage, of bytes that do not compress.
fn stand_in_kernel(path: &Path, size: usize) {
    let mut state = 1u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let mut image: Vec<u8> = (0..size).map(|_| noise()).collect();
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    image[0x300..0x30c].copy_from_slice(b"6.12.0-test ");
    fs::write(path, image).unwrap();
}

fn lb_image(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lb-image"))
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn build(directory: &Path, name: &str, umask: &str) -> PathBuf {
    let (kernel, image) = (directory.join("bzImage"), directory.join(name));
    if !kernel.exists() {
        stand_in_kernel(&kernel, 100_000);
    }
    // The smallest program at hand; only that it is an ELF file with shared objects counts here.
    let script = format!("umask {umask}; exec \"$@\"");
    let output = Command::new("sh")
        .args([
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_lb-image"),
            "build",
            "--overlay",
            OVERLAY,
            "--appliance",
            "/bin/true",
        ])
        .args([
            "--kernel".as_ref(),
            kernel.as_os_str(),
            "--out".as_ref(),
            image.as_os_str(),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    image
}

/// One image for all tests that only read it.
fn shared_image() -> &'static Path {
    static IMAGE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, image) = IMAGE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let image = build(directory.path(), "lb.img", "022");
        (directory, image)
    });
    image
}

fn own_copy() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("lb.img");
    file::copy_sparse(shared_image(), &copy).unwrap();
    (directory, copy)
}

fn partition(start: u64, size: u64, directory: &Path) -> PathBuf {
    let bytes = fs::read(shared_image()).unwrap();
    let path = directory.join("partition");
    fs::write(&path, &bytes[start as usize..(start + size) as usize]).unwrap();
    path
}

#[test]
fn two_builds_are_the_same_bytes_whatever_the_umask_and_nothing_is_left_beside() {
    let directory = tempfile::tempdir().unwrap();
    let one = build(directory.path(), "one.img", "022");
    let two = build(directory.path(), "two.img", "077");
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["bzImage", "one.img", "two.img"]);
}

#[test]
fn the_image_is_sparse_and_has_its_size() {
    let metadata = fs::metadata(shared_image()).unwrap();
    assert_eq!(metadata.len(), DISK_SIZE);
    assert!(
        metadata.blocks() * 512 < 16 << 20,
        "{} bytes allocated",
        metadata.blocks() * 512
    );
}

#[test]
fn the_boot_code_is_in_front_and_the_protective_mbr_is_kept() {
    let bytes = fs::read(shared_image()).unwrap();
    assert_eq!(bytes[0x66..0x68], [0x90, 0x90]);
    assert_eq!(bytes[446 + 4], 0xee, "type of the protective partition");
    assert_eq!(bytes[510..512], [0x55, 0xaa]);
    assert_eq!(
        bytes[BIOS.start as usize + 500..][..8],
        (BIOS.first_lba() + 1).to_le_bytes()
    );
    let output = Tool::new("sfdisk")
        .arg("--verify")
        .path(shared_image())
        .run()
        .unwrap();
    assert!(said(&output).contains("No errors detected"), "{}", said(&output));
}

#[test]
fn both_slots_hold_the_same_system_without_a_shell() {
    let bytes = fs::read(shared_image()).unwrap();
    let slot = |start: u64| &bytes[start as usize..(start + SLOT_A.size) as usize];
    assert!(slot(SLOT_A.start) == slot(SLOT_B.start));
    let offset = SLOT_B.start.to_string();
    let listing = Tool::new("unsquashfs")
        .args(["-o", &offset, "-lln", "-d", ""])
        .path(shared_image())
        .run()
        .unwrap();
    let listing = said(&listing);
    for expected in [
        "/usr/bin/applctl -> appliance",
        "/usr/sbin/init -> ../bin/appliance",
        "/boot/vmlinuz",
        "/etc/os-release",
        "/usr/lib64/ld-linux-x86-64.so.2",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/share/lb/sbom.json",
        "/usr/share/lb/lb.toml.sample",
        "/usr/share/lb/config-template.ext4",
    ] {
        assert!(listing.contains(expected), "{expected} is missing in\n{listing}");
    }
    let programs: Vec<&str> = listing
        .lines()
        .filter(|line| line.starts_with("-rwx") && !line.contains("/usr/lib"))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(programs, ["/usr/bin/appliance"], "one executable, and no shell");
    assert!(
        listing
            .lines()
            .filter(|line| line.starts_with(['-', 'd', 'l']))
            .all(|line| line.contains(" 0/0 "))
    );
    assert!(listing.contains("drwxrwxrwt 0/0"), "/tmp\n{listing}");
}

#[test]
fn the_file_systems_are_sound() {
    let directory = tempfile::tempdir().unwrap();
    let esp = partition(ESP.start, ESP.size, directory.path());
    Tool::new("fsck.vfat").arg("-n").path(&esp).run().unwrap();
    let config = partition(CONFIG.start, CONFIG.size, directory.path());
    Tool::new("e2fsck")
        .args(["-f", "-n"])
        .path(&config)
        .run()
        .unwrap();
    assert_eq!(
        config_volume::list(shared_image()).unwrap(),
        [],
        "the factory's /config is empty"
    );
}

#[test]
fn os_release_states_the_version_of_the_workspace() {
    let text = fs::read_to_string(format!("{OVERLAY}/etc/os-release")).unwrap();
    assert!(
        text.contains(&format!("\nVERSION_ID={}\n", env!("CARGO_PKG_VERSION"))),
        "{text}"
    );
}

#[test]
fn a_kernel_that_is_none_or_too_big_is_refused_and_no_image_appears() {
    let directory = tempfile::tempdir().unwrap();
    let (kernel, image) = (directory.path().join("bzImage"), directory.path().join("lb.img"));
    let attempt = || {
        let [kernel, image] = [&kernel, &image].map(|path| path.to_str().unwrap());
        lb_image(&[
            "build",
            "--overlay",
            OVERLAY,
            "--appliance",
            "/bin/true",
            "--kernel",
            kernel,
            "--out",
            image,
        ])
    };
    fs::write(&kernel, "no kernel").unwrap();
    let output = attempt();
    assert!(
        !output.status.success() && said(&output).contains("is not a bzImage: no HdrS"),
        "{}",
        said(&output)
    );
    stand_in_kernel(&kernel, 64 << 20);
    let output = attempt();
    assert!(
        !output.status.success() && said(&output).contains("does not fit in a slot"),
        "{}",
        said(&output)
    );
    assert!(!image.exists());
}

#[test]
fn the_sample_goes_in_and_comes_out_again() {
    let (_directory, image) = own_copy();
    let image = image.to_str().unwrap();
    let output = lb_image(&["put-config", image, SAMPLE]);
    assert!(output.status.success(), "{}", said(&output));
    let output = lb_image(&["get-config", image]);
    assert!(
        output.status.success() && output.stdout == fs::read(SAMPLE).unwrap(),
        "{}",
        said(&output)
    );
    let output = lb_image(&["config-files", image]);
    assert!(said(&output).ends_with(" lb.toml\n"), "{}", said(&output));
}

#[test]
fn an_invalid_file_is_refused_with_its_place_and_goes_in_unchecked() {
    let (directory, image) = own_copy();
    let bad = directory.path().join("bad.toml");
    fs::write(&bad, "hostname = \"lb\"\ncolour = \"blue\"\n").unwrap();
    let before = fs::read(&image).unwrap();
    let [image, file] = [&image, &bad].map(|path| path.to_str().unwrap());
    let output = lb_image(&["put-config", image, file]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("bad.toml:2") && text.contains("colour") && text.contains("is unchanged"),
        "{text}"
    );
    assert!(fs::read(image).unwrap() == before);
    assert!(
        lb_image(&["put-config", "--unchecked", image, file])
            .status
            .success()
    );
    assert_eq!(
        config_volume::read(Path::new(image), LB_TOML).unwrap(),
        fs::read(&bad).unwrap()
    );
}

#[test]
fn what_is_missing_is_named() {
    let (_directory, image) = own_copy();
    let image = image.to_str().unwrap();
    for (arguments, expected) in [
        (
            vec!["get-config", image],
            "there is no lb.toml in the config partition",
        ),
        (
            vec!["get-config", "/nonexistent.img"],
            "cannot open /nonexistent.img",
        ),
        (
            vec!["get-config", "/etc/passwd"],
            "is not a disk image of this appliance",
        ),
        (vec!["get-config", "/etc"], "not a regular file"),
        (
            vec!["put-config", image, "/nonexistent.toml"],
            "cannot read /nonexistent.toml",
        ),
        (vec!["cmdline", "c"], "the slots are a and b"),
    ] {
        let output = lb_image(&arguments);
        assert!(
            !output.status.success() && said(&output).contains(expected),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}

#[test]
fn the_report_weighs_the_parts() {
    let output = lb_image(&["report", "--short", shared_image().to_str().unwrap()]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.contains("kernel")).unwrap();
    assert!(line.contains(" 100000 bytes"), "{text}");
}
