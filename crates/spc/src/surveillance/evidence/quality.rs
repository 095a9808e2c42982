//! All markers at once: what the markers of other domains did is taken off what a domain's markers did.
//!
//! In each month the markers' innovation scores have the correlation C, and a slip of a domain shows in them as a known
//! pattern. Score and information of the slip are those of generalised least squares, `v'C⁻¹u` and `v'C⁻¹v` summed over months,
//! where `u` are the scores and `v` the pattern, both less what the level's error of estimation takes up.

use std::ops::Range;

use super::{RAMPS, Ratios, Unit, add_ratios, before, response};
use crate::surveillance::Design;
use crate::surveillance::correlation::leave_out;
use crate::surveillance::fit::{Shared, Step, score, whiten};

/// What is known of one marker in one month; all 0 where it is missing.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Response to a unit of level.
    o: f64,
    carry: f64,
    /// Of innovations; 0 only where the marker is missing.
    scale: f64,
    /// The monitored month observed before.
    back: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    /// Months × markers.
    cells: Vec<Cell>,
    /// Months × markers: scores, and C⁻¹ times scores.
    u: Vec<f64>,
    g: Vec<f64>,
    /// By marker: how much of a pattern the level takes up, and the first month that is monitored.
    beta: Vec<f64>,
    from: Vec<usize>,
    /// Inverse correlations, one after the other: of all markers, then of months with missing ones.
    precision: Vec<f64>,
    /// Where that of a month begins.
    inverse: Vec<usize>,
    /// Of the domain at hand, sums from a month to the end: of o g and of o o by marker, of C⁻¹ o o by pair.
    og: Vec<f64>,
    oo: Vec<f64>,
    pairs: Vec<f64>,
    /// Pattern of the domain at hand: what the level takes up, what is left of a shift in full, and the months between.
    taken: Vec<f64>,
    left: Vec<f64>,
    v: Vec<f64>,
}

fn zeroed<T: Clone + Default>(room: &mut Vec<T>, len: usize) {
    room.clear();
    room.resize(len, T::default());
}

/// Likelihood ratios by domain and onset. A marker says nothing of months before it is monitored, nor of a slip that began
/// before: its level holds that already.
pub(super) fn ratios(
    unit: Unit,
    shared: &Shared,
    design: &Design,
    window: Range<usize>,
    (steps, x): (&mut Vec<Step>, &mut Room),
    out: &mut [Ratios],
) {
    let n = window.len();
    let p = design.domains.iter().map(Vec::len).sum();
    standardise(unit, shared, design, &window, steps, x, p);
    decorrelate(shared, x, (n, p));
    let gaps = (0..n * p).filter_map(|at| Some(at / p - x.cells[at].back?));
    let longest_gap = gaps.max().unwrap_or(1);
    let mut first = 0;
    for (d, domain) in design.domains.iter().enumerate() {
        let markers = first..first + domain.len();
        first = markers.end;
        sum_up(x, &markers, (n, p));
        for ramp in RAMPS {
            for onset in 0..n {
                // Beyond, the shift is there in full, and acts like a level.
                let full = (onset + ramp + longest_gap - 1).min(n);
                let (a, b) = slip(x, &markers, (onset, full, ramp), p);
                let to = &mut out[d * n + onset];
                add_ratios(a, b, 1.0 / RAMPS.len() as f64, to);
            }
        }
    }
}

/// Scores by month and marker, less what the level's error explains.
fn standardise(
    unit: Unit,
    shared: &Shared,
    design: &Design,
    window: &Range<usize>,
    steps: &mut Vec<Step>,
    x: &mut Room,
    p: usize,
) {
    let n = window.len();
    let (nu, info) = (shared.nu, shared.information);
    let root = info.sqrt();
    zeroed(&mut x.cells, n * p);
    zeroed(&mut x.u, n * p);
    zeroed(&mut x.beta, p);
    zeroed(&mut x.from, p);
    for (m, s) in design.domains.iter().flatten().enumerate() {
        let own = unit.own[*s];
        if !own.usable() {
            x.from[m] = n;
            continue;
        }
        let (from, baseline) = (own.span.base - window.start, own.span.baseline());
        x.from[m] = from;
        whiten(unit.line(*s), own.level, own.marginal_sd(), own.rho, steps);
        let monitored = |month: usize| Some(from + month.checked_sub(baseline)?);
        let (mut oo, mut ou) = (0.0, 0.0);
        for step in steps.iter() {
            let Some(k) = monitored(step.month) else {
                continue;
            };
            let (u, o) = (score(step.e, nu, info), root * step.o);
            x.u[k * p + m] = u;
            x.cells[k * p + m] = Cell {
                o,
                carry: step.carry,
                scale: root * step.scale,
                back: step.previous.and_then(monitored),
            };
            oo += o * o;
            ou += o * u;
        }
        // (I + c o o')^(−1/2) = I − β o o'.
        if oo > 0.0 {
            let beta = (1.0 - 1.0 / (1.0 + own.level_var * oo).sqrt()) / oo;
            x.beta[m] = beta;
            for k in from..n {
                x.u[k * p + m] -= beta * x.cells[k * p + m].o * ou;
            }
        }
    }
}

/// `g = C⁻¹ u` month by month; months with missing markers get an inverse of their own.
fn decorrelate(shared: &Shared, x: &mut Room, (n, p): (usize, usize)) {
    zeroed(&mut x.g, n * p);
    zeroed(&mut x.inverse, n);
    x.precision.clear();
    x.precision.extend_from_slice(&shared.precision);
    for k in 0..n {
        let cells = &x.cells[k * p..(k + 1) * p];
        if cells.iter().any(|cell| cell.scale == 0.0) {
            let at = x.precision.len();
            x.inverse[k] = at;
            x.precision.extend_from_slice(&shared.precision);
            for (m, _) in cells.iter().enumerate().filter(|(_, c)| c.scale == 0.0) {
                leave_out(&mut x.precision[at..], p, m);
            }
        }
        let g = &mut x.g[k * p..(k + 1) * p];
        let rows = x.precision[x.inverse[k]..].chunks_exact(p);
        for (row, u) in rows.zip(&x.u[k * p..(k + 1) * p]) {
            for (g, c) in g.iter_mut().zip(row) {
                *g += c * u;
            }
        }
    }
}

/// Sums from each month to the end, for the markers of one domain.
fn sum_up(x: &mut Room, markers: &Range<usize>, (n, p): (usize, usize)) {
    let size = markers.len();
    let triangle = size * (size + 1) / 2;
    zeroed(&mut x.og, (n + 1) * size);
    zeroed(&mut x.oo, (n + 1) * size);
    zeroed(&mut x.pairs, (n + 1) * triangle);
    for k in (0..n).rev() {
        let cells = &x.cells[k * p..(k + 1) * p];
        let c = &x.precision[x.inverse[k]..];
        let mut at = k * triangle;
        for (r, i) in markers.clone().enumerate() {
            let o = cells[i].o;
            let here = k * size + r;
            x.og[here] = x.og[here + size] + o * x.g[k * p + i];
            x.oo[here] = x.oo[here + size] + o * o;
            for j in i..markers.end {
                let both = if i == j { 1.0 } else { 2.0 };
                x.pairs[at] = x.pairs[at + triangle] + both * c[i * p + j] * o * cells[j].o;
                at += 1;
            }
        }
    }
}

/// Score and information of a slip of all `markers` from `onset` on, there in full from month `full` on.
fn slip(
    x: &mut Room,
    markers: &Range<usize>,
    (onset, full, ramp): (usize, usize, usize),
    p: usize,
) -> (f64, f64) {
    let size = markers.len();
    let between = onset..full;
    zeroed(&mut x.taken, size);
    zeroed(&mut x.left, size);
    zeroed(&mut x.v, between.len() * size);
    let mut a = 0.0;
    for (r, m) in markers.clone().enumerate() {
        if onset < x.from[m] {
            continue;
        }
        let mut ho = x.oo[full * size + r];
        a += x.og[full * size + r];
        for k in between.clone() {
            let cell = &x.cells[k * p + m];
            let h = (response(k, onset, ramp) - cell.carry * before(cell.back, onset, ramp))
                * cell.scale;
            x.v[(k - onset) * size + r] = h;
            ho += h * cell.o;
            a += h * x.g[k * p + m];
        }
        let taken = x.beta[m] * ho;
        a -= taken * x.og[r];
        x.taken[r] = taken;
        x.left[r] = 1.0 - taken;
        for k in between.clone() {
            x.v[(k - onset) * size + r] -= taken * x.cells[k * p + m].o;
        }
    }
    let triangle = size * (size + 1) / 2;
    let [all, since, rest] = [0, onset, full].map(|k| &x.pairs[k * triangle..(k + 1) * triangle]);
    let (mut b, mut at) = (0.0, 0);
    for r in 0..size {
        for q in r..size {
            b += x.taken[r] * x.taken[q] * (all[at] - since[at]) + x.left[r] * x.left[q] * rest[at];
            at += 1;
        }
    }
    for (k, v) in between.zip(x.v.chunks_exact(size)) {
        let c = &x.precision[x.inverse[k]..];
        for (r, i) in markers.clone().enumerate() {
            let row = &c[i * p + i..i * p + markers.end];
            let others: f64 = row[1..].iter().zip(&v[r + 1..]).map(|(c, v)| c * v).sum();
            b += v[r] * (row[0] * v[r] + 2.0 * others);
        }
    }
    (a, b)
}
