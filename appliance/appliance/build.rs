//! How the executable is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Half a megabyte of relocations, which each process reads when it starts and then has resident, becomes some kilobytes
    // (DT_RELR; glibc from 2.36 on).
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
