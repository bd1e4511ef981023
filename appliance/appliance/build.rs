//! How the executable is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Fixed addresses: relocated tables would be half a megabyte of each process's own memory (docs/decisions/0022).
    println!("cargo::rustc-link-arg-bins=-no-pie");
}
