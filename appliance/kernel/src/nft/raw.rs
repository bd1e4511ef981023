//! The `unsafe` of the nf_tables code: what nftnl and mnl leave to their C libraries.
//! Must not: hold any logic; each function is one foreign call.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use nftnl::expr::Expression;
use nftnl::{MsgType, NlMsg, Rule, nftnl_sys};

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

/// An expression that nftnl has no type for, or one with attributes that its type leaves out.
pub(super) struct Bare<'a> {
    pub name: &'static CStr,
    /// NFTNL_EXPR_*, in any order.
    pub numbers: &'a [(u32, Number)],
}

/// An expression with 32 bit attributes and the name of a set or a flowtable.
pub(super) struct Naming<'a> {
    pub expression: Bare<'a>,
    /// NFTNL_EXPR_*, and the name.
    pub attribute: u32,
    pub target: &'static CStr,
}

impl Expression for Naming<'_> {
    fn to_expr(&self, rule: &Rule<'_>) -> NonNull<nftnl_sys::nftnl_expr> {
        let expr = self.expression.to_expr(rule);
        let target = self.target.as_ptr();
        // SAFETY: `expr` was just allocated and is ours alone; libnftnl copies the name.
        unsafe { nftnl_sys::nftnl_expr_set_str(expr.as_ptr(), self.attribute as u16, target) };
        expr
    }
}

/// A value in the width that the attribute has.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Byte(u8),
    Half(u16),
    Word(u32),
}

impl Expression for Bare<'_> {
    fn to_expr(&self, _rule: &Rule<'_>) -> NonNull<nftnl_sys::nftnl_expr> {
        // SAFETY: the name is a C string.
        let expr = unsafe { nftnl_sys::nftnl_expr_alloc(self.name.as_ptr()) };
        let expr = NonNull::new(expr).expect("memory for an expression");
        for (attribute, number) in self.numbers {
            let attribute = *attribute as u16;
            // SAFETY: `expr` was just allocated and is ours alone; an attribute that its type does not have is refused.
            unsafe {
                match *number {
                    Number::Byte(byte) => nftnl_sys::nftnl_expr_set_u8(expr.as_ptr(), attribute, byte),
                    Number::Half(half) => nftnl_sys::nftnl_expr_set_u16(expr.as_ptr(), attribute, half),
                    Number::Word(word) => nftnl_sys::nftnl_expr_set_u32(expr.as_ptr(), attribute, word),
                }
            }
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
    /// NFT_MSG_*.
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
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        assert!(
            self.attributes.len() <= Plain::MAX_LEN,
            "a message fits its buffer"
        );
        let flags = match kind {
            MsgType::Add => libc::NLM_F_CREATE | libc::NLM_F_ACK,
            MsgType::Del => libc::NLM_F_ACK,
        };
        // SAFETY: the caller gives a buffer for the longest message; header and attributes are written one after the other,
        // and the header's length, which says where the message ends, is that of both.
        unsafe {
            let header = nftnl_sys::nftnl_nlmsg_build_hdr(
                buffer.cast(),
                self.kind,
                libc::NFPROTO_INET as u16,
                flags as u16,
                sequence,
            );
            let end = (*header).nlmsg_len as usize;
            let target = buffer.cast::<u8>().add(end);
            target.copy_from_nonoverlapping(self.attributes.as_ptr(), self.attributes.len());
            (*header).nlmsg_len += self.attributes.len() as u32;
        }
    }
}
/// A rule with its comment. nftnl's own comments end at 125 bytes; the kernel takes 256 (NFT_USERDATA_MAXLEN) with type,
/// length and NUL.
pub(super) struct Commented<'c> {
    pub rule: Rule<'c>,
    /// At most 253 bytes.
    pub comment: String,
}

// SAFETY: what is written stays within the space for the largest message, of which a rule takes a small part.
unsafe impl NlMsg for Commented<'_> {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let attribute = user_data(&self.comment);
        // SAFETY: the buffer is the caller's, as long as the largest message; after the rule it holds a header whose first
        // four bytes are its length, a multiple of 4.
        unsafe {
            self.rule.write(buffer, sequence, kind);
            let length = buffer.cast::<u32>();
            let end = buffer.cast::<u8>().add(*length as usize);
            end.copy_from_nonoverlapping(attribute.as_ptr(), attribute.len());
            *length += attribute.len() as u32;
        }
    }
}

/// NFTA_RULE_USERDATA with one entry: type, length, and the text with its NUL.
fn user_data(comment: &str) -> Vec<u8> {
    const NFTA_RULE_USERDATA: u16 = 7;
    const UDATA_COMMENT: u8 = 0;
    let length = u8::try_from(comment.len() + 1).expect("a rule's line has at most 253 bytes");
    let mut bytes = (4 + 2 + u16::from(length)).to_ne_bytes().to_vec();
    bytes.extend(NFTA_RULE_USERDATA.to_ne_bytes());
    bytes.extend([UDATA_COMMENT, length]);
    bytes.extend(comment.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
