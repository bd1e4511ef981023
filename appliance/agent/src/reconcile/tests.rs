//! When the loop has to come back.

use super::*;

#[test]
fn while_the_kernel_is_read_only_an_event_brings_the_pass_on() {
    let started = Instant::now();
    let mut reconcile = Reconcile::default();
    assert_eq!(reconcile.deadline(started), Some(started + audit::AUDIT_INTERVAL));
    // The audit that is under way was due at that time: coming back for it would be running in circles.
    reconcile.phase = Phase::Observing(BTreeSet::new(), started + audit::AUDIT_INTERVAL);
    assert_eq!(reconcile.deadline(started), None);
    reconcile.phase = Phase::Applying { moves_packets: false };
    assert_eq!(reconcile.deadline(started), None);
    // The neighbours are told whatever else is under way.
    reconcile.announce_at = Some(started + FIRST_CHECKS);
    assert_eq!(reconcile.deadline(started), Some(started + FIRST_CHECKS));
}

#[test]
fn comparing_is_enough_while_nothing_was_left_to_do_and_everything_was_read_not_long_ago() {
    let now = Instant::now();
    let mut reconcile = Reconcile::default();
    assert!(reconcile.audits.is_due(now, now) && !reconcile.audits.may_compare(now));
    reconcile.audits.read_whole(now, now + Duration::from_secs(1));
    assert!(!reconcile.audits.may_compare(now), "the plan has not settled");
    reconcile.audits.settled = true;
    assert!(reconcile.audits.may_compare(now + Duration::from_mins(5)));
    assert!(!reconcile.audits.may_compare(now + Duration::from_mins(6)));
    // What took a second is looked at three times a minute.
    assert_eq!(reconcile.next_audit(now), now + Duration::from_secs(1 + 20));
    reconcile.audits.read_whole(now, now + Duration::from_millis(1));
    assert_eq!(
        reconcile.next_audit(now),
        now + Duration::from_millis(1) + audit::AUDIT_INTERVAL
    );
}
