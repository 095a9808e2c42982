//! Where in the log: positions, cuts and times, between the log, the domain and the wire.
//!
//! The domain knows lanes (one number for topic and partition), the log knows topics, the wire knows names. This is the only place
//! that translates. It never reads or waits: whether a cut has been reached is the projection's business.

use jiff::Timestamp;
use qipp_domain::validate::Problem;
use qipp_domain::{Cut, KnownAt, Stamp};
use qipp_eventlog::{self as log, Topic};

use crate::parse::{Faults, Path};
use crate::proto::events::v1 as wire;

/// The lane of a topic (by its id) and partition.
#[must_use]
pub const fn lane(topic_id: u8, partition: u16) -> u32 {
    ((topic_id as u32) << 16) | partition as u32
}

/// The lane of a topic and partition.
#[must_use]
pub const fn lane_of(topic: Topic, partition: u16) -> u32 {
    lane(topic.id(), partition)
}

/// Topic and partition of a lane; `None` when no topic has that id.
#[must_use]
pub fn place_of(lane: u32) -> Option<(Topic, u16)> {
    let topic = u8::try_from(lane >> 16).ok().and_then(Topic::from_id)?;
    let partition = u16::try_from(lane & 0xffff).expect("16 bits fit a u16");
    Some((topic, partition))
}

/// The stamp of a record: its position, and the Unix time in milliseconds at which the log accepted it.
#[must_use]
pub const fn stamp(position: log::Position, time_ms: i64) -> Stamp {
    Stamp {
        lane: lane_of(position.topic, position.partition),
        offset: position.offset,
        time_ms,
    }
}

/// The position of a stamp; `None` when its lane is no lane of the log.
#[must_use]
pub fn position_of(stamp: Stamp) -> Option<log::Position> {
    place_of(stamp.lane).map(|(topic, partition)| log::Position {
        topic,
        partition,
        offset: stamp.offset,
    })
}

/// A cut of the log, for the domain.
#[must_use]
pub fn cut_from_log(cut: &log::Cut) -> Cut {
    cut.iter()
        .map(|((topic, partition), next)| (lane_of(topic, partition), next))
        .collect()
}

/// A cut of the domain, for the log. Lanes that are none of the log (no cut made here has one) are left out.
#[must_use]
pub fn cut_to_log(cut: &Cut) -> log::Cut {
    cut.iter()
        .filter_map(|(lane, next)| place_of(lane).map(|place| (place, next)))
        .collect()
}

/// A position of the log, for the wire.
#[must_use]
pub fn position_to_proto(position: log::Position) -> wire::Position {
    wire::Position {
        topic: position.topic.name().to_owned(),
        partition: u32::from(position.partition),
        offset: position.offset,
    }
}

/// The position of a stamp, for the wire; `None` when its lane is no lane of the log.
#[must_use]
pub fn stamp_to_proto(stamp: Stamp) -> Option<wire::Position> {
    position_of(stamp).map(position_to_proto)
}

/// A cut, for the wire. Lanes that are none of the log (no cut made here has one) are left out.
#[must_use]
pub fn cut_to_proto(cut: &Cut) -> wire::Cut {
    let position = |(lane, offset)| {
        stamp_to_proto(Stamp {
            lane,
            offset,
            time_ms: 0,
        })
    };
    wire::Cut {
        next: cut.iter().filter_map(position).collect(),
    }
}

/// A cut of the log, for the wire.
#[must_use]
pub fn log_cut_to_proto(cut: &log::Cut) -> wire::Cut {
    cut_to_proto(&cut_from_log(cut))
}

/// A position of the wire. `field` is where it stands in the request, for pointers.
///
/// # Errors
/// All faults: `UNKNOWN_TOPIC`, `BAD_PARTITION`.
pub fn position_from_proto(
    position: &wire::Position,
    field: &str,
) -> Result<log::Position, Vec<Problem>> {
    let mut faults = Faults::default();
    let read = read_position(&mut faults, &Path::root(field), position);
    faults.finish(read)
}

/// A cut of the wire. `field` is where it stands in the request, for pointers.
///
/// # Errors
/// All faults: `UNKNOWN_TOPIC`, `BAD_PARTITION`, `DUPLICATE_PARTITION`.
pub fn cut_from_proto(cut: &wire::Cut, field: &str) -> Result<Cut, Vec<Problem>> {
    let mut faults = Faults::default();
    let read = read_cut(&mut faults, &Path::root(field), cut);
    faults.finish(read)
}

/// A moment of knowledge of the wire; absent or empty is the latest.
///
/// # Errors
/// All faults: `BAD_TIME`, and those of [`cut_from_proto`].
pub fn known_at_from_proto(
    known_at: Option<&wire::KnownAt>,
    field: &str,
) -> Result<KnownAt, Vec<Problem>> {
    let mut faults = Faults::default();
    let read = read_known_at(&mut faults, &Path::root(field), known_at);
    faults.finish(read)
}

/// A moment of knowledge, for the wire.
#[must_use]
pub fn known_at_to_proto(known_at: &KnownAt) -> Option<wire::KnownAt> {
    let moment = match known_at {
        KnownAt::Latest => return None,
        KnownAt::Time(time_ms) => wire::known_at::Moment::Time(time_to_text(*time_ms)),
        KnownAt::Cut(cut) => wire::known_at::Moment::Cut(cut_to_proto(cut)),
    };
    Some(wire::KnownAt {
        moment: Some(moment),
    })
}

/// Unix time in milliseconds as RFC 3339 in UTC, for example `2012-03-15T09:00:00Z`. Times beyond the calendar are cut to its ends.
#[must_use]
pub fn time_to_text(time_ms: i64) -> String {
    let end = if time_ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(time_ms)
        .unwrap_or(end)
        .to_string()
}

/// RFC 3339 with an offset as Unix time in milliseconds, rounded down; `None` when it is none.
#[must_use]
pub fn time_from_text(text: &str) -> Option<i64> {
    // The calendar library also reads annotations and other forms; the contract says RFC 3339 and nothing else.
    let plain = text.len() <= 40
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"-:.TtZz+".contains(&b));
    let timestamp: Timestamp = plain.then(|| text.parse().ok()).flatten()?;
    i64::try_from(timestamp.as_nanosecond().div_euclid(1_000_000)).ok()
}

pub(crate) fn read_position(
    faults: &mut Faults,
    path: &Path<'_>,
    position: &wire::Position,
) -> Option<log::Position> {
    let topic = Topic::from_name(&position.topic);
    if topic.is_none() {
        let names = Topic::ALL.map(Topic::name).join(", ");
        let shown: String = position.topic.chars().take(40).collect();
        faults.add(
            &path.at("topic"),
            "UNKNOWN_TOPIC",
            format!("`{shown}` is not a topic of the log: use one of {names}"),
        );
    }
    let partition = u16::try_from(position.partition).ok();
    if partition.is_none() {
        let what = format!(
            "{} is not a partition: partitions are numbered from 0 to 65535",
            position.partition
        );
        faults.add(&path.at("partition"), "BAD_PARTITION", what);
    }
    Some(log::Position {
        topic: topic?,
        partition: partition?,
        offset: position.offset,
    })
}

pub(crate) fn read_cut(faults: &mut Faults, path: &Path<'_>, cut: &wire::Cut) -> Option<Cut> {
    let positions = faults.list(path, "next", &cut.next, read_position)?;
    let mut seen = std::collections::BTreeSet::new();
    for (index, position) in positions.iter().enumerate() {
        if !seen.insert((position.topic, position.partition)) {
            let what = format!(
                "{}/{} is named twice: name each partition once",
                position.topic, position.partition
            );
            faults.add(&path.item("next", index), "DUPLICATE_PARTITION", what);
        }
    }
    let lane =
        |position: &log::Position| (lane_of(position.topic, position.partition), position.offset);
    (seen.len() == positions.len()).then(|| positions.iter().map(lane).collect())
}

pub(crate) fn read_known_at(
    faults: &mut Faults,
    path: &Path<'_>,
    known_at: Option<&wire::KnownAt>,
) -> Option<KnownAt> {
    match known_at.and_then(|known_at| known_at.moment.as_ref()) {
        None => Some(KnownAt::Latest),
        Some(wire::known_at::Moment::Cut(cut)) => {
            read_cut(faults, &path.at("cut"), cut).map(KnownAt::Cut)
        }
        Some(wire::known_at::Moment::Time(text)) => {
            let time = time_from_text(text);
            if time.is_none() {
                let shown: String = text.chars().take(40).collect();
                let what = format!(
                    "`{shown}` is not a time: give RFC 3339 with an offset, for example 2012-03-15T09:00:00Z"
                );
                faults.add(&path.at("time"), "BAD_TIME", what);
            }
            time.map(KnownAt::Time)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(topic: &str, partition: u32, offset: u64) -> wire::Position {
        wire::Position {
            topic: topic.to_owned(),
            partition,
            offset,
        }
    }

    #[test]
    fn a_lane_is_golden() {
        assert_eq!(lane_of(Topic::Returns, 7), 0x0002_0007);
        assert_eq!(place_of(0x0004_ffff), Some((Topic::Alerts, 65535)));
        assert_eq!(place_of(7), None);
        assert_eq!(place_of(0xff02_0007), None);
    }

    #[test]
    fn a_cut_with_several_faults_names_them_all() {
        let twice = position("qipp.returns.v1", 1, 5);
        let cut = wire::Cut {
            next: vec![
                position("orders", 0, 1),
                position("qipp.returns.v1", 70_000, 1),
            ],
        };
        let problems = cut_from_proto(&cut, "read.min_cut").unwrap_err();
        let seen: Vec<_> = problems
            .iter()
            .map(|p| (p.code, p.field.as_str()))
            .collect();
        let expected = [
            ("UNKNOWN_TOPIC", "read.min_cut.next[0].topic"),
            ("BAD_PARTITION", "read.min_cut.next[1].partition"),
        ];
        assert_eq!(seen, expected);
        let cut = wire::Cut {
            next: vec![twice.clone(), twice],
        };
        assert_eq!(
            cut_from_proto(&cut, "cut").unwrap_err()[0].code,
            "DUPLICATE_PARTITION"
        );
    }

    #[test]
    fn times_are_rfc_3339_with_an_offset() {
        assert_eq!(time_to_text(1_331_802_000_000), "2012-03-15T09:00:00Z");
        assert_eq!(
            time_from_text("2012-03-15T10:00:00+01:00"),
            Some(1_331_802_000_000)
        );
        assert_eq!(
            time_from_text("2012-03-15T09:00:00.0019Z"),
            Some(1_331_802_000_001)
        );
        assert_eq!(time_from_text("1969-12-31T23:59:59.9999Z"), Some(-1));
        for bad in [
            "",
            "2012-03-15",
            "2012-03-15T09:00:00",
            "1331802000000",
            "2012-03-15T09:00:00Z[Europe/London]",
        ] {
            assert_eq!(time_from_text(bad), None, "{bad}");
        }
        assert!(time_to_text(i64::MAX).starts_with("9999-"));
    }

    #[test]
    fn nothing_set_is_the_latest() {
        assert_eq!(known_at_from_proto(None, "k"), Ok(KnownAt::Latest));
        assert_eq!(
            known_at_from_proto(Some(&wire::KnownAt { moment: None }), "k"),
            Ok(KnownAt::Latest)
        );
        let bad = wire::KnownAt {
            moment: Some(wire::known_at::Moment::Time("yesterday".into())),
        };
        assert_eq!(
            known_at_from_proto(Some(&bad), "read.known_at").unwrap_err()[0].field,
            "read.known_at.time"
        );
    }

    proptest! {
        #[test]
        fn cuts_come_back_from_the_log_and_from_the_wire(
            lanes in proptest::collection::btree_map((1_u8..=4, any::<u16>()), 0..u64::MAX, 0..6)
        ) {
            let cut: Cut = lanes.into_iter().map(|((topic, partition), next)| (lane(topic, partition), next)).collect();
            prop_assert_eq!(&cut_from_log(&cut_to_log(&cut)), &cut);
            prop_assert_eq!(&cut_from_proto(&cut_to_proto(&cut), "cut").unwrap(), &cut);
            let at = KnownAt::Cut(cut);
            prop_assert_eq!(known_at_from_proto(known_at_to_proto(&at).as_ref(), "k"), Ok(at));
        }

        #[test]
        fn times_come_back(time_ms in -60_000_000_000_000_i64..200_000_000_000_000) {
            prop_assert_eq!(time_from_text(&time_to_text(time_ms)), Some(time_ms));
        }
    }
}
