//! getsockopt with a buffer that says what is asked and takes the answer. Must not: know what is in it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

/// `false`: there is no such service.
pub(super) fn ask(socket: &impl AsRawFd, option: libc::c_int, buffer: &mut [u8]) -> io::Result<bool> {
    let room = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
    let mut length = room;
    // SAFETY: pointer and length describe `buffer`, which is ours alone; the kernel writes at most as much as `length` says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(true),
        _ => {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(false),
                _ => Err(error),
            }
        }
    }
}
