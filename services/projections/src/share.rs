//! What a process that holds a share of the nation says, and of whom it does not speak.
//!
//! Nobody's organisations are ever left out in silence: what is about one organisation of another share is refused, and what is about many names
//! the shares that are not in it.

use qipp_api::error::ApiError;
use qipp_domain::OrgCode;
use qipp_projection::Share;
use tonic::metadata::MetadataMap;

use crate::Projections;

/// Which shard a caller means to ask, as `0/3`. Whoever adds up what shards say has to be sure of it: one that answers twice would count twice.
pub(crate) const ASKED_AS: &str = "x-qipp-shard";

/// Is this the shard that was meant? Who means none may ask anybody.
///
/// # Errors
/// FAILED_PRECONDITION when it is another one.
pub(crate) fn check_asked(metadata: &MetadataMap, share: Share) -> Result<(), ApiError> {
    let Some(asked) = metadata.get(ASKED_AS) else {
        return Ok(());
    };
    let meant = asked.to_str().unwrap_or("another");
    if !share.is_whole() && meant == share.to_string() {
        return Ok(());
    }
    let held = match share.is_whole() {
        true => "no shard".to_owned(),
        false => format!("shard {share}"),
    };
    let what = format!(
        "shard {meant} was asked, and the process at its address holds {held}: have the operator make serve.peers.shards, where it was asked, \
         and serve.shard, at that address, say the same"
    );
    Err(ApiError::precondition("SHARDS_DISAGREE", what))
}

impl Projections {
    /// Is the organisation in the share of this process?
    pub(crate) fn is_own(&self, org: OrgCode) -> bool {
        self.deps
            .follower
            .share()
            .has_org(self.deps.log.layout(), org)
    }

    /// # Errors
    /// FAILED_PRECONDITION when the organisation is in another share.
    pub(crate) fn own(&self, org: OrgCode) -> Result<(), ApiError> {
        if self.is_own(org) {
            return Ok(());
        }
        let share = self.deps.follower.share();
        let what = format!(
            "{org} is not in shard {share}, which is all that this process holds: ask a gateway, which knows whom to ask; if it was one that \
             asked here, have the operator see that its serve.returns_partitions is that of the log"
        );
        Err(ApiError::precondition("NOT_THIS_SHARD", what))
    }

    /// The shards whose organisations are not in what this process says about many.
    pub(crate) fn others(&self) -> Vec<u32> {
        let others = self.deps.follower.share().others();
        others.map(u32::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(ASKED_AS, text.parse().unwrap());
        metadata
    }

    #[test]
    fn only_the_shard_that_is_meant_answers() {
        let share = |text: &str| text.parse::<Share>().unwrap();
        assert_eq!(check_asked(&MetadataMap::new(), share("1/3")), Ok(()));
        assert_eq!(check_asked(&asked("1/3"), share("1/3")), Ok(()));
        for (meant, held) in [("0/3", "1/3"), ("1/4", "1/3"), ("1/3", ""), ("0/1", "")] {
            let error = check_asked(&asked(meant), share(held)).unwrap_err();
            assert_eq!(error.reason, "SHARDS_DISAGREE", "{meant} of {held}");
        }
    }
}
