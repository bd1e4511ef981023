//! A made-up run on the limits of every goal, and what spoils it.

use super::*;
use crate::figures::{Plan, Sizes};
use crate::memory::Resident;
use crate::stream::Stream;
use std::collections::BTreeMap;

fn times(power_on_to_init: Option<f64>, first_200: Option<f64>) -> Times {
    Times {
        path: Path::Direct,
        memory_mb: 256,
        power_on_to_init,
        kernel_to_init: 3.0,
        init_to_ready: first_200.map(|_| 0.4),
        power_on_to_first_200: first_200,
    }
}

fn stream(failed: Vec<f64>) -> Stream {
    Stream {
        requests: 240,
        failed,
        first_complaint: None,
    }
}

/// A run that meets every goal, by a hair where there is one.
fn good() -> Figures {
    let sizes = Sizes {
        raw: 251_658_240,
        allocated: 30_000_000,
        compressed: IMAGE_BYTES,
        squashfs: 9_000_000,
        kernel: 7_000_000,
        executable: 3_000_000,
        shared_objects: 2_000_000,
    };
    let resident = [("init".to_owned(), 2_000), ("agent".to_owned(), 9_718)];
    let small = Small::Served {
        power_on_to_first_200: 5.5,
        stream: stream(vec![]),
    };
    Figures {
        plan: Plan {
            direct_boots: 3,
            disk_boots: 0,
            stream_seconds: 120,
        },
        kernel: "6.12.1-lb".into(),
        keepalived: "1:2.2.7-1".into(),
        qemu: "7.2.22".into(),
        accel: "tcg",
        processors: 2,
        load_before: 0.25,
        sizes: BTreeMap::from([(System::Appliance, sizes)]),
        times: BTreeMap::from([
            (
                System::Nothing,
                vec![
                    times(Some(4.0), None),
                    times(Some(9.0), None),
                    times(Some(3.0), None),
                ],
            ),
            (
                System::Appliance,
                vec![
                    times(None, Some(5.2)),
                    times(None, Some(5.1)),
                    times(None, Some(8.0)),
                ],
            ),
            (System::Keepalived, vec![times(None, Some(7.0))]),
        ]),
        streams: BTreeMap::from([
            (System::Appliance, stream(vec![])),
            (System::Keepalived, stream(vec![0.5, 33.5])),
        ]),
        resident: BTreeMap::from([(System::Appliance, Resident(BTreeMap::from(resident)))]),
        small: BTreeMap::from([(System::Appliance, small)]),
    }
}

fn missed(figures: &Figures) -> Vec<String> {
    goals(figures)
        .into_iter()
        .filter(|goal| !goal.met)
        .map(|goal| goal.text)
        .collect()
}

#[test]
fn a_run_on_the_limits_is_good() {
    assert_eq!(missed(&good()), Vec::<String>::new());
}

#[test]
fn each_goal_can_be_missed() {
    let spoil: [fn(&mut Figures); 5] = [
        |f| f.times.get_mut(&System::Appliance).unwrap()[0] = times(None, Some(5.21)),
        |f| f.sizes.get_mut(&System::Appliance).unwrap().compressed += 1,
        |f| {
            drop(
                f.small
                    .insert(System::Appliance, Small::Failed("no memory\nmore".into())),
            )
        },
        |f| {
            let resident = f.resident.get_mut(&System::Appliance).unwrap();
            resident.0.insert("agent".into(), 9_719);
        },
        |f| f.streams.get_mut(&System::Appliance).unwrap().failed.push(3.0),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut figures = good();
        spoil(&mut figures);
        assert_eq!(missed(&figures), [goals(&figures)[number].text.clone()]);
    }
}

#[test]
fn what_was_not_measured_is_missed() {
    let mut figures = good();
    figures.times.remove(&System::Nothing);
    figures.streams.clear();
    assert_eq!(missed(&figures).len(), 2);
}

#[test]
fn the_table_stays_within_its_width_and_shows_the_medians() {
    let text = render(&good());
    assert!(text.lines().all(|line| line.chars().count() <= 106), "{text}");
    assert!(text.contains("5.20 (5.10-8.00)"), "{text}");
    assert!(text.contains("5.20 / 4.00 s = 1.30"), "{text}");
    assert!(text.contains("2 of 240"), "{text}");
}

#[test]
fn an_even_number_of_samples_has_its_median_between() {
    assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    assert_eq!(Spread::of(&[]), None);
}
