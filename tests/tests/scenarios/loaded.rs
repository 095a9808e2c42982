//! The nation of [`harm`], loaded once for all scenarios of this run: each takes a copy of its log, and a house of its own on it.

use std::path::{Path, PathBuf};

use qipp_tests::{Sandbox, harm};
use tokio::sync::OnceCell;

static LOADED: OnceCell<PathBuf> = OnceCell::const_new();

async fn load() -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("harmed-nation");
    if kept.exists() {
        std::fs::remove_dir_all(&kept).unwrap();
    }
    let mut sandbox = Sandbox::start().await;
    harm::load(&sandbox).await;
    sandbox.close().await;
    qipp_tests::copy(&sandbox.data(), &kept);
    kept
}

/// A house with the whole nation in it, on the day of its last returns.
pub(crate) async fn nation() -> Sandbox {
    let data = LOADED.get_or_init(load).await;
    let sandbox = Sandbox::on_copy_of(data, harm::LAST_DAY).await;
    sandbox.house().follower.caught_up().await.unwrap();
    sandbox
}
