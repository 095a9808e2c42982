//! The days of the replay: when returns are due, and when they come in.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::{Dataset, DeadlineSet, ReferenceFact};
use qipp_domain::Period;
use qipp_domain::calendar::working_day_after;

/// Savings are due on the tenth working day of the following month (rules.csv R90).
const SAVINGS_DUE: u32 = 10;

/// The demo's quality returns are due on the same day, because one return a month of each is what is asked for. National collections have
/// dates of their own, by marker.
const QUALITY_DUE: u32 = 10;

/// Most returns come in a day before they are due.
const SUBMITTED_ON: u32 = 9;

/// Nine in the morning (UTC) of a day, Unix milliseconds.
pub(crate) fn morning(day: Date) -> i64 {
    let at_nine = day.at(9, 0, 0, 0).to_zoned(TimeZone::UTC);
    at_nine.map_or(0, |time| time.timestamp().as_millisecond())
}

/// When the returns of a month come in.
pub(crate) fn submitted(month: Period) -> i64 {
    morning(working_day_after(month, SUBMITTED_ON))
}

/// A week after the returns of a month were due: what is missing then is missing.
pub(crate) fn after_deadline(month: Period) -> i64 {
    morning(working_day_after(month, SAVINGS_DUE + 5))
}

/// The deadlines of a month.
pub(crate) fn deadlines(month: Period) -> [ReferenceFact; 2] {
    let due = |dataset: Dataset, day: u32| ReferenceFact {
        fact: Some(Fact::DeadlineSet(DeadlineSet {
            dataset: dataset.into(),
            period: month.to_string(),
            due: working_day_after(month, day).to_string(),
        })),
    };
    [
        due(Dataset::Savings, SAVINGS_DUE),
        due(Dataset::Quality, QUALITY_DUE),
    ]
}
