//! The power button: the input devices that have a power key, and its presses in their event streams.
//! Must not: act on a press. Devices that appear later are not looked for.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// EV_KEY and KEY_POWER (include/uapi/linux/input-event-codes.h).
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
/// struct input_event on 64-bit: two times of 8 bytes, type, code, value.
const EVENT_BYTES: usize = 24;

#[derive(Debug)]
pub struct Button {
    device: File,
}

impl Button {
    /// Every device with a power key: the ACPI button, and a keyboard's own key.
    pub fn find_all() -> Vec<Button> {
        let Ok(entries) = fs::read_dir("/sys/class/input") else {
            return Vec::new();
        };
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.starts_with("event"))
            .filter(|name| has_power_key(&Path::new("/sys/class/input").join(name)))
            .filter_map(|name| {
                let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
                let path = Path::new("/dev/input").join(name);
                let device = OpenOptions::new()
                    .read(true)
                    .custom_flags(nonblocking)
                    .open(path)
                    .ok()?;
                Some(Button { device })
            })
            .collect()
    }

    /// Takes what the device has to say: whether the key was pressed. An error: the device is gone.
    pub fn take_press(&mut self) -> std::io::Result<bool> {
        let mut events = [0; EVENT_BYTES * 32];
        match self.device.read(&mut events) {
            Ok(length) => Ok(is_pressed(&events[..length])),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Button {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn has_power_key(device: &Path) -> bool {
    fs::read_to_string(device.join("device/capabilities/key"))
        .is_ok_and(|bits| has_bit(&bits, KEY_POWER.into()))
}

/// The kernel prints a bitmap as words of 64 bits in hexadecimal, the highest first (input_print_bitmap).
fn has_bit(bitmap: &str, bit: usize) -> bool {
    let word = bitmap.split_whitespace().rev().nth(bit / 64);
    word.and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

/// Whether the power key goes down in these events; releases and repeats do not count.
fn is_pressed(events: &[u8]) -> bool {
    events.chunks_exact(EVENT_BYTES).any(|event| {
        let kind = u16::from_ne_bytes([event[16], event[17]]);
        let code = u16::from_ne_bytes([event[18], event[19]]);
        let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
        (kind, code, value) == (EV_KEY, KEY_POWER, 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0xaa; 16];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_press_of_the_power_key_counts() {
        let sync = event(0, 0, 0);
        let press = [event(EV_KEY, KEY_POWER, 1), sync.clone()].concat();
        assert!(is_pressed(&press));
        assert!(is_pressed(
            &[event(EV_KEY, 30, 1), sync.clone(), press.clone()].concat()
        ));
        assert!(!is_pressed(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!is_pressed(&event(EV_KEY, KEY_POWER, 2)));
        assert!(!is_pressed(&event(EV_KEY, 30, 1)));
        assert!(!is_pressed(&press[..EVENT_BYTES - 1]));
        assert!(!is_pressed(&[]));
    }

    #[test]
    fn the_power_key_is_found_in_the_bitmaps_of_real_devices() {
        // The ACPI power button, an AT keyboard, and a mouse.
        assert!(has_bit("10000000000000 0\n", KEY_POWER.into()));
        assert!(has_bit(
            "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n",
            KEY_POWER.into()
        ));
        assert!(!has_bit("1f0000 0 0 0 0\n", KEY_POWER.into()));
        assert!(!has_bit("", KEY_POWER.into()) && !has_bit("zz 0", KEY_POWER.into()));
    }
}
