//! Who may do what.
//!
//! Three parts, in the order in which a call meets them:
//!
//! 1. [`Credentials`] come from the `authorization` header, and an [`Authenticator`] turns them into a [`Principal`]. [`KeyFile`] is
//!    the adapter for API keys; tokens of an identity provider come behind the same trait.
//! 2. The policy is one table, [`policy::TABLE`]: which role may call which rpc, and how its [`Scope`] is held against the target.
//!    What is not in the table is refused. [`check`] and [`check_act`] say no with what is missing and whom to ask.
//! 3. Answers that are lists are cut down to what the principal may see: [`visible`] and [`visible_node`].
//!
//! Knows no transport and no clock: the day on which credentials are presented comes in with them. The only thing that it ever reads is
//! the key file, once, in [`KeyFile::read`]. It never holds a key, only SHA-256 hashes, and never prints what it was shown.

mod authenticate;
mod key_file;
pub mod policy;
mod principal;

pub use authenticate::{Authenticator, Credentials, Secret, Unauthenticated};
pub use key_file::{KEY_PREFIX, KeyEntry, KeyFile, KeyFileError, generate_key};
pub use policy::{
    Denied, DeniedReason, Target, check, check_act, check_digest, method, visible, visible_node,
};
pub use principal::{Principal, Role, Scope};
