//! Proof that a run finds an input that takes too much. Alone in its process: the peak of memory is the process's.

mod lines;

use std::time::{Duration, Instant};

use lb_fuzz::run::{Run, Target};

const SEED: u64 = 1;

#[test]
fn too_much_time_and_too_much_memory_are_found() {
    let slow = Target {
        judge: |_| {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(4) {
                std::hint::black_box(0);
            }
            Ok(())
        },
        ..lines::target()
    };
    let why = Run::new(&slow, SEED).unwrap().judge(b"").unwrap();
    assert!(why.starts_with("it takes ") && why.ends_with(" ms"), "{why}");
    let large = Target {
        judge: |_| {
            std::hint::black_box(vec![1_u8; 200 << 20]);
            Ok(())
        },
        ..lines::target()
    };
    let why = Run::new(&large, SEED).unwrap().judge(b"").unwrap();
    assert!(why.ends_with(" KiB of memory"), "{why}");
}
