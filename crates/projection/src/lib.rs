//! Running a fold: the log's facts become the [`Nation`](qipp_domain::nation::Nation) that everybody reads.
//!
//! A [`Follower`] tails every lane of the log, applies what arrives, and says at which [`Cut`](qipp_domain::Cut) it stands. Its
//! state is a cache: a checkpoint saves it together with its cut in one atomic batch, and whatever is wrong with a checkpoint
//! is answered by setting it aside and folding the log again, which gives the same [`digest`](Follower::digest).
//!
//! It never decides anything about the domain, never appends to the log, and knows nothing of the wire format: whoever starts
//! it hands in a [`Decoder`].
//!
//! Where to find what:
//!
//! | file | holds |
//! |---|---|
//! | `follower.rs` | what a service holds in its hands: views, waiting, progress |
//! | `state.rs` | applying records to the nation; what is parked and why |
//! | `run.rs` | the thread that folds |
//! | `saver.rs` | when a checkpoint is made |
//! | `changes.rs` | which keys changed, for evaluators |
//! | `checkpoint.rs` | a checkpoint as bytes, and what has to hold of them |
//! | `store.rs` | the store (sled) that keeps them |
//! | `start.rs` | opening a store and judging what it holds against the log |
//! | `snapshot.rs` | checkpoints that others made, and giving one away |
//! | `rebuild.rs` | a second fold beside the one that serves |
//! | `beside.rs` | the thread of the second fold |
//! | `compare.rs` | what two states say differently |
//! | `fold_to.rs` | a fresh fold up to a cut |
//! | `lane.rs` | lanes and cuts, of the log and of the domain |
//! | `digest.rs` | the digest |
//! | `share.rs` | a share of the log, where one process does not hold the whole nation |

mod beside;
mod changes;
mod checkpoint;
mod compare;
mod digest;
mod error;
mod fold_to;
mod follower;
mod lane;
mod rebuild;
mod run;
mod saver;
mod share;
mod snapshot;
mod start;
mod state;
mod store;

pub use changes::Changes;
pub use compare::Compared;
pub use digest::digest_of;
pub use error::{ProjectionError, WaitError};
pub use fold_to::fold_to;
pub use follower::{Checkpointed, Follower, FollowerConfig, StoreConfig, View};
pub use lane::{domain_cut, lane_of, place_of};
pub use rebuild::{Phase, Rebuild, RebuildError};
pub use share::{NoShare, Share};
pub use snapshot::{Directory, Snapshot, Snapshots, checkpoint_name};
pub use state::{Decoded, Decoder, Parked};
