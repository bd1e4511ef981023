//! Sysctls, the host's name and growing a file system, on the host's kernel.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod namespace;

use std::collections::BTreeSet;
use std::path::Path;

use lb_core::plan::Step;
use lb_core::ports::KernelPort;
use lb_kernel::{Kernel, Parts, ext4};
use namespace::sh;

fn kernel() -> Kernel {
    Kernel::open(Parts { ipvs: false }).unwrap()
}

isolated! {
    fn sysctls_are_set_and_read_and_missing_ones_are_left_out() {
        let mut kernel = kernel();
        let names = BTreeSet::from(["net/ipv4/ip_forward", "net/ipv4/conf/lo/rp_filter", "net/ipv4/conf/nic9/rp_filter"].map(str::to_owned));
        let set = |name: &str, value: &str| Step::SetSysctl { name: name.to_owned(), value: value.to_owned() };
        for value in ["1", "0"] {
            kernel.apply(&set("net/ipv4/ip_forward", value)).unwrap();
            let seen = kernel.observe(&names).unwrap().sysctls;
            assert_eq!(seen["net/ipv4/ip_forward"], value);
            assert_eq!(seen.len(), 2, "{seen:?}");
        }
        let missing = kernel.apply(&set("net/ipv4/conf/nic9/rp_filter", "2")).unwrap_err();
        assert_eq!(missing.to_string(), "set sysctl net/ipv4/conf/nic9/rp_filter 2: ENOENT");
        let refused = kernel.apply(&set("net/ipv4/ip_forward", "yes")).unwrap_err();
        assert_eq!(refused.fault.text, "EINVAL");
    }

    fn the_host_is_renamed() {
        let mut kernel = kernel();
        kernel.apply(&Step::SetHostname("lb-under-test".to_owned())).unwrap();
        assert_eq!(kernel.observe(&BTreeSet::new()).unwrap().hostname, "lb-under-test");
        assert_eq!(sh("uname -n"), "lb-under-test\n");
    }

    fn without_ipvs_its_steps_are_refused_and_its_table_is_empty() {
        let mut kernel = kernel();
        let seen = kernel.observe(&BTreeSet::new()).unwrap();
        assert!(seen.virtual_servers.is_empty() && seen.foreign_services.is_empty());
        let step = Step::DeleteVirtual("192.0.2.1:80/tcp".parse().unwrap());
        assert_eq!(
            kernel.apply(&step).unwrap_err().to_string(),
            "delete virtual 192.0.2.1:80/tcp: opened without IPVS"
        );
    }

    /// Growing one takes a block device and CAP_SYS_RESOURCE, which a container's root or an ordinary user has not.
    fn only_ext4_grows() {
        sh("mount -t tmpfs none /mnt && truncate -s 48M /mnt/disk");
        let error = ext4::grow(Path::new("/mnt/disk"), Path::new("/mnt")).unwrap_err();
        assert_eq!(error.to_string(), "grow /mnt to the size of /mnt/disk: ENOTTY");
        let error = ext4::grow(Path::new("/mnt/nothing"), Path::new("/mnt")).unwrap_err();
        assert_eq!(error.fault.text, "ENOENT");
    }
}
