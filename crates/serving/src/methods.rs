//! The calls that there are: what bounds the labels of metrics, and says which calls are streams.

use std::collections::HashMap;
use std::sync::Arc;

/// One rpc, or one HTTP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// For people: `qipp.intake.v1.IntakeService/SubmitReturn`, or `POST /v1/returns`.
    pub name: Arc<str>,
    /// Open-ended: counted as a stream, and without a deadline.
    pub is_stream: bool,
    /// About the house's own health, or the contract: needs no credentials and leaves no line in the log.
    pub is_quiet: bool,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Methods {
    known: HashMap<String, Method>,
    other: Method,
}

impl Methods {
    /// From names, each with whether it is a stream.
    pub fn new(names: impl IntoIterator<Item = (String, bool)>) -> Self {
        let method = |name: &str, is_stream| Method {
            name: name.into(),
            is_stream,
            is_quiet: false,
        };
        let known = names.into_iter().map(|(name, is_stream)| {
            let method = method(&name, is_stream);
            (name, method)
        });
        Self {
            known: known.collect(),
            other: method("other", false),
        }
    }

    /// The method of that name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Method> {
        self.known.get(name)
    }

    /// The method of that name; what the contract does not have is `other`, whatever it was called.
    #[must_use]
    pub fn get(&self, name: &str) -> &Method {
        self.known.get(name).unwrap_or(&self.other)
    }

    /// Health and reflection.
    #[must_use]
    pub fn quiet(&self) -> Method {
        Method {
            is_quiet: true,
            ..self.other.clone()
        }
    }
}
