//! The `unsafe` of the nf_tables code: what nftnl and mnl leave to their C libraries.
//! Must not: hold any logic; each function is one foreign call.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use nftnl::Rule;
use nftnl::expr::{Expression, Nat};
use nftnl::nftnl_sys;

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
