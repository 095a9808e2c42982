//! The scoring bench: rules are run over a nation month by month, on what was known then, and held against its truth.
//!
//! ```text
//!  simulated nation ─┐                      ┌─ Known ── the layer, and what it is compared with ─ Said ─┐
//!  four CSV files ───┼─ Input ─┬─ Returns ──┘                                                           ├─ Score ─ Metrics
//!  real A&E figures ─┘         └─ Truth ──────────────────────────────────────────────────────────────┘
//! ```
//!
//! * [`mod@input`]: one form for every source; [`mod@read`]: the four files, from anybody's simulator; [`mod@real`]: real
//!   figures with slips put in;
//! * [`mod@known`]: what was known at the end of a month;
//! * [`mod@speak`]: what is said month by month, by the layer and by the methods of [`mod@methods`];
//! * [`mod@metrics`]: what that was worth; [`mod@report`]: over seeds, with standard errors.
//!
//! *Architecture invariant*: what speaks gets [`Returns`], and no way leads from there to the [`Truth`].
//!
//! Pure, as the rest of the crate: files come as bytes, seeds are arguments.

pub mod input;
pub mod known;
pub mod methods;
pub mod metrics;
pub mod read;
pub mod real;
pub mod report;
pub mod speak;

pub use input::{Episode, Input, Returns, Truth};
pub use known::Known;
pub use methods::Method;
pub use metrics::{METRICS, Metrics, Score, Scorer};
pub use report::{Judged, Unjudged, Voice, judge};
pub use speak::{BenchPlan, Spoken, Tier, speak};
