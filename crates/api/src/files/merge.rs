//! Putting observations of several files into one return.

use std::collections::HashMap;

use super::grouped::cut_source;
use crate::proto::events::v1::{Return, ReturnStatus, r#return::Body};

/// Puts the observations of `more` into the quality returns of `returns` for the same organisation and month.
///
/// A return replaces the whole of an organisation's quality month, so figures of different files have to travel in one. The observations
/// of `more` come after those of `returns`; a marker that both give stays there twice, and validation refuses it rather than let this
/// function choose. The merged return is as firm as its least firm part, and names both sources (cut to 200 characters). Its
/// idempotency key is empty: it is other content than either. Returns without a counterpart, and savings returns, are kept as they are.
#[must_use]
pub fn merge_quality(returns: Vec<Return>, more: Vec<Return>) -> Vec<Return> {
    let mut merged: Vec<Return> = Vec::with_capacity(returns.len() + more.len());
    let mut index: HashMap<(String, String), usize> = HashMap::new();
    for next in returns.into_iter().chain(more) {
        let key = (next.org_code.clone(), next.period.clone());
        if !matches!(next.body, Some(Body::Quality(_))) {
            merged.push(next);
        } else if let Some(&held) = index.get(&key) {
            absorb(&mut merged[held], next);
        } else {
            index.insert(key, merged.len());
            merged.push(next);
        }
    }
    merged
}

fn absorb(held: &mut Return, next: Return) {
    held.set_status(less_firm(held.status(), next.status()));
    held.source = join(&held.source, &next.source, "; ", cut_source);
    held.narrative = join(&held.narrative, &next.narrative, "\n", |text| {
        text.chars().take(2_000).collect()
    });
    held.idempotency_key.clear();
    held.expected_revision = held.expected_revision.or(next.expected_revision);
    if let (Some(Body::Quality(into)), Some(Body::Quality(from))) = (&mut held.body, next.body) {
        into.observations.extend(from.observations);
    }
}

/// Provisional before final before restated.
fn less_firm(a: ReturnStatus, b: ReturnStatus) -> ReturnStatus {
    if a as i32 <= b as i32 { a } else { b }
}

fn join(a: &str, b: &str, with: &str, cut: impl Fn(&str) -> String) -> String {
    match (a, b) {
        (a, "") => a.to_owned(),
        ("", b) => b.to_owned(),
        (a, b) if a == b => a.to_owned(),
        (a, b) => cut(&format!("{a}{with}{b}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::quality::quality;
    use super::*;

    #[test]
    fn figures_of_two_files_travel_in_one_return_as_firm_as_the_weaker() {
        let header = "org_code,period,marker,numerator,denominator,status,source\n";
        let read = |rows: &str| quality(format!("{header}{rows}").as_bytes()).unwrap();
        let a = read("RJ1,2012-03,RTT_ADM,90,100,final,a\nRJ2,2012-03,RTT_ADM,1,2,final,a\n");
        let b =
            read("RJ1,2012-03,AE_4H_T1,95,100,provisional,b\nRJ1,2012-04,AE_4H_T1,5,10,final,b\n");
        let merged = merge_quality(a, b);
        assert_eq!(merged.len(), 3);
        assert_eq!(merged[0].status(), ReturnStatus::Provisional);
        assert_eq!(merged[0].source, "a; b");
        let Some(Body::Quality(body)) = &merged[0].body else {
            panic!("a quality return")
        };
        let markers: Vec<&str> = body
            .observations
            .iter()
            .map(|o| o.marker.as_str())
            .collect();
        assert_eq!(markers, ["RTT_ADM", "AE_4H_T1"]);
        assert_eq!(merged[2].period, "2012-04");
    }
}
