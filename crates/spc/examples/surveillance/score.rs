//! Holds a method's alerts against the truth of a simulated nation.
//!
//! An alert is true when the organisation is one that saves *and* slips, and its onset has come, be the shift there in full
//! or not. FDR is the mean over months of the false fraction of the month's alerts, 0 in a month without.

use super::simulate::{Kind, Nation, RAMP};

#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    pub(crate) months: f64,
    pub(crate) fdr: f64,
    pub(crate) any: f64,
    pub(crate) false_alerts: f64,
    pub(crate) expected_false: f64,
    pub(crate) targets: f64,
    /// Targets alerted within 3, 6 and 11 months of their onset (the month of the onset is the first).
    pub(crate) within: [f64; 3],
    pub(crate) delay: f64,
    pub(crate) detected: f64,
    /// Months of targets since their onset, and since the shift is there in full.
    target_months: f64,
    full_months: f64,
    pool: Vec<(f64, bool, bool)>,
    first: Vec<Option<usize>>,
}

impl Score {
    /// Takes in a month: a score for each organisation (more is more suspect) and who is alerted.
    pub(crate) fn month(
        &mut self,
        nation: &Nation,
        t: usize,
        score: impl Fn(usize) -> f64,
        alerts: &[usize],
    ) {
        self.first.resize(nation.kind.len(), None);
        let target = |u: usize| nation.kind[u] == Kind::Both && t >= nation.onset[u];
        for u in 0..nation.kind.len() {
            let full = target(u) && t + 1 >= nation.onset[u] + RAMP;
            self.target_months += f64::from(u8::from(target(u)));
            self.full_months += f64::from(u8::from(full));
            if score(u) > 0.0 {
                self.pool.push((score(u), target(u), full));
            }
        }
        let wrong = alerts.iter().filter(|u| !target(**u)).count() as f64;
        self.months += 1.0;
        self.false_alerts += wrong;
        if !alerts.is_empty() {
            self.any += 1.0;
            self.fdr += wrong / alerts.len() as f64;
        }
        for u in alerts.iter().filter(|u| target(**u)) {
            self.first[*u].get_or_insert(t);
        }
    }

    /// To be called after the last month of a nation.
    pub(crate) fn close(&mut self, nation: &Nation) {
        self.first.resize(nation.kind.len(), None);
        for u in (0..nation.kind.len()).filter(|u| nation.kind[*u] == Kind::Both) {
            self.targets += 1.0;
            let Some(first) = self.first[u] else { continue };
            let delay = first - nation.onset[u] + 1;
            self.detected += 1.0;
            self.delay += delay as f64;
            for (within, months) in self.within.iter_mut().zip([3, 6, 11]) {
                *within += f64::from(u8::from(delay <= months));
            }
        }
        self.first.clear();
    }

    pub(crate) fn add(&mut self, other: Score) {
        for (a, b) in [
            (&mut self.months, other.months),
            (&mut self.fdr, other.fdr),
            (&mut self.any, other.any),
            (&mut self.false_alerts, other.false_alerts),
            (&mut self.expected_false, other.expected_false),
            (&mut self.targets, other.targets),
            (&mut self.delay, other.delay),
            (&mut self.detected, other.detected),
            (&mut self.target_months, other.target_months),
            (&mut self.full_months, other.full_months),
        ] {
            *a += b;
        }
        for (a, b) in self.within.iter_mut().zip(other.within) {
            *a += b;
        }
        self.pool.extend(other.pool);
    }

    /// Power per organisation-month at the lowest threshold with at most 10 % false among all alerts of all months: of
    /// months since onset, and of months with the shift in full. Equal scores stand or fall together.
    pub(crate) fn matched(&self) -> (f64, f64) {
        let mut pool = self.pool.clone();
        pool.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut all, mut hits, mut full, mut best) = (0.0, 0.0, 0.0, (0.0, 0.0));
        for equal in pool.chunk_by(|a, b| a.0 == b.0) {
            all += equal.len() as f64;
            hits += equal.iter().filter(|x| x.1).count() as f64;
            full += equal.iter().filter(|x| x.2).count() as f64;
            if all - hits <= 0.1 * all {
                best = (hits, full);
            }
        }
        (
            best.0 / self.target_months.max(1.0),
            best.1 / self.full_months.max(1.0),
        )
    }

    pub(crate) fn line(&self) -> String {
        let (since, full) = self.matched();
        let per = |x: f64, n: f64| if n > 0.0 { x / n } else { 0.0 };
        format!(
            "fdr {:.3} | false/month {:6.2} | any {:.3} | <=3 {:.2} <=6 {:.2} <=11 {:.2} | delay {:4.1} | matched {:.3}, full shift {:.3}",
            per(self.fdr, self.months),
            per(self.false_alerts, self.months),
            per(self.any, self.months),
            per(self.within[0], self.targets),
            per(self.within[1], self.targets),
            per(self.within[2], self.targets),
            per(self.delay, self.detected),
            since,
            full,
        )
    }
}
