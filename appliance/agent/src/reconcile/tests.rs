//! When the loop has to come back.

use super::*;

#[test]
fn while_the_kernel_is_read_only_an_event_brings_the_pass_on() {
    let started = Instant::now();
    let mut reconcile = Reconcile::default();
    assert_eq!(reconcile.deadline(started), Some(started + AUDIT_INTERVAL));
    // The audit that is under way was due at that time: coming back for it would be running in circles.
    reconcile.phase = Phase::Observing(BTreeSet::new(), started + AUDIT_INTERVAL);
    assert_eq!(reconcile.deadline(started), None);
    reconcile.phase = Phase::Applying { moves_packets: false };
    assert_eq!(reconcile.deadline(started), None);
    // The neighbours are told whatever else is under way.
    reconcile.announce_at = Some(started + FIRST_CHECKS);
    assert_eq!(reconcile.deadline(started), Some(started + FIRST_CHECKS));
}
