//! What of the figures cannot be trusted, found from the figures alone.
//!
//! * A *copy*: every figure of a return equals that of the month before (R94). The month is held back.
//! * A *denominator jump* (R96): denominators of most measures jump together, beyond what is usual for the organisation and beyond what
//!   its peers do. For one month it is a partial return, and the month is held back. When it stays, the organisation is not the one that
//!   it was (a merger, a service taken over) and begins anew there.

use super::table::Table;

/// Fewest measures that have to agree before something is said of a whole return.
const LEAST_MEASURES: usize = 3;

/// `|ln(d_t / usual)|` from which denominators jump (rules.csv R96).
const JUMP: f64 = 0.35;

/// For organisations whose denominators swing anyway: so many of their own usual swings (median absolute ones).
const SWINGS: f64 = 6.0;

/// Months before, of which the median is what is usual.
const BEFORE: usize = 6;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    months: usize,
    held: Vec<bool>,
    /// From which month on each organisation's figures are comparable.
    pub(super) starts: Vec<usize>,
}

impl Found {
    /// Is what an organisation returned of a month held back?
    pub(super) fn is_held(&self, organisation: usize, month: usize) -> bool {
        self.held[organisation * self.months + month]
    }
}

/// Looks through the months `first..end`.
pub(super) fn find(table: &Table, first: usize, end: usize) -> Found {
    let mut found = Found {
        months: end,
        held: vec![false; table.organisations() * end],
        starts: (0..table.organisations())
            .map(|organisation| table.begins(organisation, first, end))
            .collect(),
    };
    for organisation in 0..table.organisations() {
        for month in first.max(1)..end {
            found.held[organisation * end + month] = is_copy(table, organisation, month);
        }
    }
    let jumps = Jumps::of(table, first, end);
    for organisation in 0..table.organisations() {
        let mut month = first;
        while month < end {
            month += 1;
            let Some(size) = jumps.at(organisation, month - 1) else {
                continue;
            };
            // The months after a jump are held against the months before it.
            let stays = (month < end)
                .then(|| jumps.still(table, organisation, month - 1))
                .flatten()
                .is_some_and(|later| later * size > 0.0 && later.abs() > JUMP);
            if stays {
                found.starts[organisation] = found.starts[organisation].max(month - 1);
                // What follows is usual from here on.
                month += BEFORE;
            } else {
                found.held[organisation * end + month - 1] = true;
            }
        }
    }
    found
}

fn is_copy(table: &Table, organisation: usize, month: usize) -> bool {
    let mut same = 0;
    for measure in 0..table.measures().len() {
        let (numerators, denominators) = table.line(organisation, measure);
        let (now, before) = (numerators[month], numerators[month - 1]);
        if now.is_nan() && before.is_nan() {
            continue;
        }
        let of = |at: usize| denominators[at];
        let equal = now == before
            && (of(month) == of(month - 1) || of(month).is_nan() && of(month - 1).is_nan());
        if !equal {
            return false;
        }
        // Nothing of nothing is the same every month.
        same += usize::from(now != 0.0);
    }
    same >= LEAST_MEASURES
}

/// How far denominators are from what is usual, by organisation and month.
struct Jumps {
    months: usize,
    /// NaN where it can't be told.
    sizes: Vec<f64>,
    /// From which size on an organisation's denominators jump.
    limits: Vec<f64>,
}

impl Jumps {
    fn of(table: &Table, first: usize, end: usize) -> Self {
        let organisations = table.organisations();
        let mut sizes = vec![f64::NAN; organisations * end];
        for organisation in 0..organisations {
            for month in first.max(3)..end {
                if let Some(size) = size(table, organisation, month, month) {
                    sizes[organisation * end + month] = size;
                }
            }
        }
        // What all do in a month is no fault of anybody's.
        for month in first.max(3)..end {
            let all = (0..organisations).map(|organisation| sizes[organisation * end + month]);
            let usual = median(all.collect()).unwrap_or(0.0);
            for organisation in 0..organisations {
                sizes[organisation * end + month] -= usual;
            }
        }
        let limits = sizes
            .chunks(end.max(1))
            .map(|line| {
                let swing = median(line[first..].iter().map(|size| size.abs()).collect());
                JUMP.max(SWINGS * swing.unwrap_or(0.0))
            })
            .collect();
        Self {
            months: end,
            sizes,
            limits,
        }
    }

    /// The size of a jump, where there is one.
    fn at(&self, organisation: usize, month: usize) -> Option<f64> {
        let size = self.sizes[organisation * self.months + month];
        (size.abs() > self.limits[organisation]).then_some(size)
    }

    /// How far the month after one is from what was usual before that one.
    fn still(&self, table: &Table, organisation: usize, month: usize) -> Option<f64> {
        (month + 1 < self.months).then(|| size(table, organisation, month + 1, month))?
    }
}

/// The median over measures of `ln(d_month / median of d in the months before `reference`)`.
fn size(table: &Table, organisation: usize, month: usize, reference: usize) -> Option<f64> {
    let mut sizes = Vec::new();
    for measure in 0..table.measures().len() {
        let (numerators, denominators) = table.line(organisation, measure);
        let known = |at: usize| {
            (!numerators[at].is_nan() && denominators[at] > 0.0).then(|| denominators[at])
        };
        let Some(now) = known(month) else { continue };
        let mut before = [0.0; BEFORE];
        let mut count = 0;
        for usual in (reference.saturating_sub(BEFORE)..reference).filter_map(known) {
            before[count] = usual;
            count += 1;
        }
        if count >= 3 {
            before[..count].sort_unstable_by(f64::total_cmp);
            sizes.push((now / before[count / 2]).ln());
        }
    }
    (sizes.len() >= LEAST_MEASURES)
        .then(|| median(sizes))
        .flatten()
}

/// The middle value; the upper one of two. `None` without any value.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| !value.is_nan());
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
