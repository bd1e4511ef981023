//! The machine's own strings (SMBIOS, DSP0134, type 11 "OEM Strings"), which a hypervisor can give. Must not: read the table (the caller does).

/// What stands before a text, as it is.
const TEXT: &str = "lb.toml=";
/// And before one in base64, for hypervisors that pass a line only.
const BASE64: &str = "lb.toml.base64=";
const OEM_STRINGS: u8 = 11;
const END: u8 = 127;

/// The configuration among the strings, or what is wrong with it.
pub fn configuration(table: &[u8]) -> Option<Result<Vec<u8>, String>> {
    strings(table).into_iter().find_map(|string| {
        let string = String::from_utf8_lossy(string);
        if let Some(text) = string.strip_prefix(TEXT) {
            return Some(Ok(text.as_bytes().to_vec()));
        }
        let coded = string.strip_prefix(BASE64)?;
        let digits: Vec<u8> = coded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        Some(base64(&digits).ok_or_else(|| {
            format!("the text behind {BASE64:?} is no base64 (RFC 4648); `base64 -w0 lb.toml` makes it")
        }))
    })
}

/// All strings of all tables of OEM strings.
fn strings(mut table: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let [kind, length, ..] = *table
        && kind != END
        && let Some(behind) = table.get(usize::from(length.max(4))..)
    {
        // Behind the structure its strings, each ended by a NUL, and one more.
        let end = behind
            .windows(2)
            .position(|pair| pair == [0, 0])
            .unwrap_or(behind.len());
        if kind == OEM_STRINGS {
            all.extend(behind[..end].split(|byte| *byte == 0));
        }
        table = behind.get(end + 2..).unwrap_or_default();
    }
    all
}

/// RFC 4648, with padding or without.
fn base64(digits: &[u8]) -> Option<Vec<u8>> {
    let end = digits
        .iter()
        .rposition(|digit| *digit != b'=')
        .map_or(0, |at| at + 1);
    let mut bytes = Vec::with_capacity(end * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for digit in &digits[..end] {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    // A single digit is no byte.
    (held < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(strings: &[&str]) -> Vec<u8> {
        let mut table = vec![1, 8, 0, 0, 1, 0, 0, 0];
        table.extend(b"a maker\0\0");
        table.extend([2, 4, 0, 0, 0, 0]);
        table.extend([OEM_STRINGS, 5, 0, 0, strings.len() as u8]);
        for string in strings {
            table.extend(string.as_bytes());
            table.push(0);
        }
        table.push(0);
        table.extend([END, 4, 0, 0, 0, 0]);
        table
    }

    #[test]
    fn the_text_is_found_among_the_others() {
        let found = configuration(&table(&["other=1", "lb.toml=hostname = \"a\"\n"]));
        assert_eq!(found, Some(Ok(b"hostname = \"a\"\n".to_vec())));
        assert_eq!(configuration(&table(&["other=1"])), None);
        assert_eq!(configuration(&[]), None);
        assert_eq!(configuration(&[OEM_STRINGS, 200, 0, 0]), None);
    }

    #[test]
    fn base64_is_read_and_its_faults_are_told() {
        // RFC 4648, 10.
        let vectors = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE", "fooba"),
        ];
        for (coded, text) in vectors {
            let found = configuration(&table(&[&format!("{BASE64}{coded}")]));
            assert_eq!(found, Some(Ok(text.as_bytes().to_vec())), "{coded}");
        }
        for wrong in ["Zm9v!", "Z", "Zm=v"] {
            let found = configuration(&table(&[&format!("{BASE64}{wrong}")]));
            assert!(found.unwrap().unwrap_err().contains("base64 -w0"), "{wrong}");
        }
    }
}
