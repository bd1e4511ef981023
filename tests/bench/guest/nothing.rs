//! The do-nothing init: says through the kernel's log that it runs, so that the kernel stamps the moment, and rests.
//! It is the whole user space of the yardstick; a kernel cannot come nearer to a product than this.
//! Built by the bench with rustc, statically, outside of the workspace's flags. Must not: do anything else.

fn main() {
    // The alert level passes every console log level. Without the newline the kernel would wait for more.
    let _ = std::fs::write("/dev/kmsg", "<1>bench: init\n");
    loop {
        std::thread::park();
    }
}
