//! How the kernel's refusals become [`KernelFault`]s: the errno's name, and the text of the extended acknowledgement.
//! Must not: say which operation failed; the caller that knows the verb and the object adds them.

use std::io;

use lb_core::ports::{KernelError, KernelFault};
use netlink_packet_core::NlasIterator;
use nix::errno::Errno;

/// NLMSGERR_ATTR_MSG (include/uapi/linux/netlink.h): the kernel's own words.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// `ENETUNREACH`, or with the kernel's words `ENETUNREACH (Nexthop has invalid gateway)`.
pub(crate) fn from_errno(errno: i32, words: Option<&str>) -> KernelFault {
    let name = match Errno::from_raw(errno) {
        Errno::UnknownErrno => format!("errno {errno}"),
        known => format!("{known:?}"),
    };
    let text = match words {
        Some(words) => format!("{name} ({words})"),
        None => name,
    };
    KernelFault {
        errno: Some(errno),
        text,
    }
}

pub(crate) fn from_io(error: &io::Error) -> KernelFault {
    match error.raw_os_error() {
        Some(errno) => from_errno(errno, None),
        None => plain(error.to_string()),
    }
}

/// Something that went wrong before the kernel was asked, or an answer that makes no sense.
pub(crate) fn plain(text: impl Into<String>) -> KernelFault {
    KernelFault {
        errno: None,
        text: text.into(),
    }
}

pub(crate) fn during(action: impl ToString, fault: KernelFault) -> KernelError {
    KernelError {
        action: action.to_string(),
        fault,
    }
}

/// The message among the attributes behind an error message's header: what NETLINK_EXT_ACK adds.
pub(crate) fn ext_ack_words(attributes: &[u8]) -> Option<String> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
        .map(|attribute| {
            let bytes = attribute.value();
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_has_its_name_and_the_kernels_words() {
        assert_eq!(from_errno(17, None).to_string(), "EEXIST");
        assert_eq!(
            from_errno(101, Some("Nexthop has invalid gateway")).to_string(),
            "ENETUNREACH (Nexthop has invalid gateway)"
        );
        assert_eq!(from_errno(9999, None).to_string(), "errno 9999");
    }

    #[test]
    fn words_are_found_behind_other_attributes() {
        // NLMSGERR_ATTR_OFFS = 8, then NLMSGERR_ATTR_MSG = "no".
        let bytes = [8, 0, 2, 0, 8, 0, 0, 0, 7, 0, 1, 0, b'n', b'o', 0, 0];
        assert_eq!(ext_ack_words(&bytes).as_deref(), Some("no"));
        assert_eq!(ext_ack_words(&bytes[..8]), None);
        assert_eq!(ext_ack_words(&bytes[..11]), None);
        assert_eq!(ext_ack_words(&[]), None);
    }
}
