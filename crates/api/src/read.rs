//! What a read is to be answered from, as the caller asked for it. It never waits: that is the projection's business.

use qipp_domain::{Cut, KnownAt};

use crate::cut::{read_cut, read_known_at};
use crate::error::ApiError;
use crate::parse::{Faults, Path};
use crate::proto::events::v1 as wire;

/// The state that a read wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Wait until the state includes this.
    pub min_cut: Option<Cut>,
    /// Answer as it was known then.
    pub known_at: KnownAt,
}

/// Reads the options of a read. Absent: the latest, without waiting. Pointers start with `read`.
///
/// # Errors
/// `INVALID_ARGUMENT` with all faults of both.
pub fn read_options(options: Option<&wire::ReadOptions>) -> Result<Read, ApiError> {
    let Some(options) = options else {
        return Ok(Read::default());
    };
    let mut faults = Faults::default();
    let path = Path::root("read");
    let min_cut = options
        .min_cut
        .as_ref()
        .map(|cut| read_cut(&mut faults, &path.at("min_cut"), cut));
    let known_at = read_known_at(&mut faults, &path.at("known_at"), options.known_at.as_ref());
    let read = known_at.map(|known_at| Read {
        min_cut: min_cut.flatten(),
        known_at,
    });
    faults.finish(read).map_err(ApiError::invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_the_latest() {
        assert_eq!(
            read_options(None),
            Ok(Read {
                min_cut: None,
                known_at: KnownAt::Latest
            })
        );
    }

    #[test]
    fn faults_of_both_options_are_told() {
        let position = wire::Position {
            topic: "orders".into(),
            partition: 0,
            offset: 0,
        };
        let moment = wire::known_at::Moment::Time("now".into());
        let options = wire::ReadOptions {
            min_cut: Some(wire::Cut {
                next: vec![position],
            }),
            known_at: Some(wire::KnownAt {
                moment: Some(moment),
            }),
        };
        let error = read_options(Some(&options)).unwrap_err();
        let fields: Vec<_> = error.problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["read.min_cut.next[0].topic", "read.known_at.time"]);
    }
}
