//! The `unsafe` of the nf_tables code: what nftnl and mnl leave to their C libraries.
//! Must not: hold any logic; each function is one foreign call.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use nftnl::expr::{Expression, Nat};
use nftnl::nftnl_sys;
use nftnl::{MsgType, NlMsg, Rule};

pub(super) fn fd(socket: &mnl::Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor belongs to the socket and stays open as long as it is borrowed.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Switches on an option of level SOL_NETLINK.
pub(super) fn switch_on(socket: &mnl::Socket, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and the length describe `on`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A loading expression whose destination is another register than nftnl's fixed one: keys of several fields.
pub(super) struct IntoRegister<E> {
    pub load: E,
    /// NFTNL_EXPR_META_DREG or NFTNL_EXPR_PAYLOAD_DREG, as fits `load`.
    pub attribute: u16,
    pub register: u32,
}

impl<E: Expression> Expression for IntoRegister<E> {
    fn to_expr(&self, rule: &Rule<'_>) -> NonNull<nftnl_sys::nftnl_expr> {
        let expr = self.load.to_expr(rule);
        // SAFETY: `expr` was just allocated and is ours alone; an attribute that its type does not have is refused.
        unsafe { nftnl_sys::nftnl_expr_set_u32(expr.as_ptr(), self.attribute, self.register) };
        expr
    }
}

/// `ct original ...`: a field of the tuple that the connection's first packet had.
pub(super) struct ConntrackOriginal {
    /// NFT_CT_*.
    pub key: u32,
    pub register: u32,
}

impl Expression for ConntrackOriginal {
    fn to_expr(&self, _rule: &Rule<'_>) -> NonNull<nftnl_sys::nftnl_expr> {
        // IP_CT_DIR_ORIGINAL
        const ORIGINAL: u8 = 0;
        // SAFETY: the name is a C string; the attributes are those of this type, in their widths.
        let expr = unsafe {
            let expr = nftnl_sys::nftnl_expr_alloc(c"ct".as_ptr());
            nftnl_sys::nftnl_expr_set_u32(expr, nftnl_sys::NFTNL_EXPR_CT_KEY as u16, self.key);
            nftnl_sys::nftnl_expr_set_u32(expr, nftnl_sys::NFTNL_EXPR_CT_DREG as u16, self.register);
            nftnl_sys::nftnl_expr_set_u8(expr, nftnl_sys::NFTNL_EXPR_CT_DIR as u16, ORIGINAL);
            expr
        };
        NonNull::new(expr).expect("memory for an expression")
    }
}

/// An address translation with what the kernel adds to it by itself, so that it reads back as it was written: a range of one
/// address, and the flag that there is an address.
pub(super) struct ToOneAddress(pub Nat);

impl Expression for ToOneAddress {
    fn to_expr(&self, rule: &Rule<'_>) -> NonNull<nftnl_sys::nftnl_expr> {
        // NF_NAT_RANGE_MAP_IPS (include/uapi/linux/netfilter/nf_nat.h)
        const MAP_IPS: u32 = 1;
        let last = nftnl_sys::NFTNL_EXPR_NAT_REG_ADDR_MAX as u16;
        let flags = nftnl_sys::NFTNL_EXPR_NAT_FLAGS as u16;
        let expr = self.0.to_expr(rule);
        // SAFETY: `expr` was just allocated and is ours alone; both attributes are 32 bits wide.
        unsafe {
            nftnl_sys::nftnl_expr_set_u32(expr.as_ptr(), last, self.0.ip_register.to_raw());
            nftnl_sys::nftnl_expr_set_u32(expr.as_ptr(), flags, MAP_IPS);
        }
        expr
    }
}

/// `ct direction`, into the first register.
pub(super) struct ConntrackDirection;

impl Expression for ConntrackDirection {
    fn to_expr(&self, _rule: &Rule<'_>) -> NonNull<nftnl_sys::nftnl_expr> {
        // SAFETY: the name is a C string; the attributes are those of this type, in their widths.
        let expr = unsafe {
            let expr = nftnl_sys::nftnl_expr_alloc(c"ct".as_ptr());
            let (key, register) = (libc::NFT_CT_DIRECTION as u32, libc::NFT_REG_1 as u32);
            nftnl_sys::nftnl_expr_set_u32(expr, nftnl_sys::NFTNL_EXPR_CT_KEY as u16, key);
            nftnl_sys::nftnl_expr_set_u32(expr, nftnl_sys::NFTNL_EXPR_CT_DREG as u16, register);
            expr
        };
        NonNull::new(expr).expect("memory for an expression")
    }
}

/// What a map says of the key in the first register, into that register.
pub(super) struct MapLookup(pub &'static CStr);

impl Expression for MapLookup {
    fn to_expr(&self, _rule: &Rule<'_>) -> NonNull<nftnl_sys::nftnl_expr> {
        let register = libc::NFT_REG_1 as u32;
        // SAFETY: the names are C strings, and are copied; the attributes are those of this type, in their widths.
        let expr = unsafe {
            let expr = nftnl_sys::nftnl_expr_alloc(c"lookup".as_ptr());
            nftnl_sys::nftnl_expr_set_u32(expr, nftnl_sys::NFTNL_EXPR_LOOKUP_SREG as u16, register);
            nftnl_sys::nftnl_expr_set_u32(expr, nftnl_sys::NFTNL_EXPR_LOOKUP_DREG as u16, register);
            nftnl_sys::nftnl_expr_set_str(expr, nftnl_sys::NFTNL_EXPR_LOOKUP_SET as u16, self.0.as_ptr());
            expr
        };
        NonNull::new(expr).expect("memory for an expression")
    }
}

/// A message that nftnl has no type for.
pub(super) struct Plain {
    /// NFT_MSG_NEW*.
    pub kind: u16,
    /// What follows the nfgenmsg.
    pub attributes: Vec<u8>,
}

impl Plain {
    /// So long an attribute's length field can say; nftnl's buffers hold it and the header (nft_nlmsg_maxsize).
    pub(super) const MAX_LEN: usize = u16::MAX as usize;
}

// SAFETY: no more is written than the limit that is asserted, which is below nft_nlmsg_maxsize.
unsafe impl NlMsg for Plain {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, _kind: MsgType) {
        assert!(
            self.attributes.len() <= Plain::MAX_LEN,
            "a message fits its buffer"
        );
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_ACK) as u16;
        // SAFETY: the caller gives a buffer for the longest message; header and attributes are written one after the other,
        // and the header's length, which says where the message ends, is that of both.
        unsafe {
            let header = nftnl_sys::nftnl_nlmsg_build_hdr(
                buffer.cast(),
                self.kind,
                libc::NFPROTO_INET as u16,
                flags,
                sequence,
            );
            let end = (*header).nlmsg_len as usize;
            let target = buffer.cast::<u8>().add(end);
            target.copy_from_nonoverlapping(self.attributes.as_ptr(), self.attributes.len());
            (*header).nlmsg_len += self.attributes.len() as u32;
        }
    }
}
