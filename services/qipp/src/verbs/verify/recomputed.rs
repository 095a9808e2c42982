//! Is every alert what the rules say? What evaluations did to alerts, the national values and the joint decisions are computed again from
//! the log alone, each at the cut and on the day that it cites.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use qipp_domain::nation::Nation;
use qipp_projection::place_of;
use qipp_rules::again::{Again, all};

use super::{Check, grouped, on};
use crate::exit::Failure;
use crate::verbs::submit::progress;

/// Computes everything again; the nation is what the log made.
pub(super) async fn check(nation: &Arc<Nation>) -> Result<Check, Failure> {
    Ok(on(nation, check_all).await?)
}

fn check_all(nation: &Nation) -> Check {
    let groups = all(nation);
    let bar = progress(groups.len(), "states of the log computed again");
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, found) = (
        Mutex::new(groups.iter().enumerate()),
        Mutex::new(Vec::new()),
    );
    let work = || {
        loop {
            let group = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, group)) = group else { break };
            let again = group.again(nation);
            bar.inc(1);
            found
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((place, again));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(place, _)| *place);
    told(found.into_iter().flat_map(|(_, again)| again))
}

fn told(found: impl Iterator<Item = Again>) -> Check {
    let mut check = Check::new("alerts");
    let mut by_what: BTreeMap<String, u64> = BTreeMap::new();
    for again in found {
        check.checked += 1;
        *by_what.entry(again.of.clone()).or_default() += 1;
        if let Some(difference) = &again.difference {
            let place =
                place_of(again.stamp.lane).map_or_else(String::new, |(topic, partition)| {
                    format!(" at {topic}/{partition}, offset {}", again.stamp.offset)
                });
            check.differ(|| format!("{}, {}{place}: {difference}", again.of, again.name));
        }
    }
    let parts: Vec<String> = by_what
        .iter()
        .map(|(what, count)| format!("{what} {}", grouped(*count)))
        .collect();
    check.summary = format!(
        "{} of {} recorded findings recompute to the same ({})",
        grouped(check.checked - check.differences),
        grouped(check.checked),
        if parts.is_empty() {
            "none".to_owned()
        } else {
            parts.join(", ")
        }
    );
    check
}
