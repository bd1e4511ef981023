//! Bytes to types and back, without a socket: the generic netlink protocol of IPVS (include/uapi/linux/ip_vs.h).
//! Must not: open a socket, know what the appliance wants, or fail on what a newer kernel adds.

pub mod genl;
pub mod ipvs;
