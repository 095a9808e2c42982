//! Variables of the environment that look like ours and are not.
//!
//! A misspelt one would be passed over without a word, and what it says would not hold. What looks like a setting of `qipp serve` is refused with
//! the configuration (`config/layers.rs`); other names are only warned of, because some are made by others: Kubernetes gives every process
//! `QIPP_PORT` and the like when there is a service named `qipp`.

/// All names of ours begin so.
pub(crate) const PREFIX: &str = "QIPP_";

/// Entries of `qipp serve` begin so: `QIPP_SERVE__LISTEN` is `serve.listen`.
pub(crate) const ENTRIES: &str = "QIPP_SERVE__";

/// Begins a name that is meant for an entry and is none.
pub(crate) const ALMOST_ENTRIES: &str = "QIPP_SERVE_";

/// What the command line reads. Kept equal to it by a test.
const KNOWN: [&str; 3] = ["QIPP_DATA_DIR", "QIPP_KEY", "QIPP_SERVER"];

/// What our own tests read.
const OF_TESTS: [&str; 2] = ["QIPP_FUZZ_RUNS", "QIPP_FUZZ_SEED"];

/// A sentence for each variable that looks like ours, is not, and keeps nothing from working.
pub(crate) fn warnings() -> Vec<String> {
    warnings_about(names())
}

/// The names of all variables; those that are no text are nobody's.
pub(crate) fn names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

fn warnings_about(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut strange: Vec<String> = names
        .filter(|name| name.starts_with(PREFIX) && !name.starts_with(ALMOST_ENTRIES))
        .filter(|name| !KNOWN.contains(&name.as_str()) && !OF_TESTS.contains(&name.as_str()))
        .collect();
    strange.sort();
    let entries = crate::config::entries();
    let entries: Vec<String> = entries.iter().map(|name| variable_of(name)).collect();
    let candidates = || {
        KNOWN
            .iter()
            .copied()
            .chain(entries.iter().map(String::as_str))
    };
    strange
        .iter()
        .map(|name| match nearest(name, candidates()) {
            Some(meant) => format!(
                "the environment variable {name} is none of ours and is not read: is {meant} meant?"
            ),
            None => format!("the environment variable {name} is none of ours and is not read"),
        })
        .collect()
}

/// The variable of an entry: `QIPP_SERVE__LIMITS__CALLS` of `serve.limits.calls`.
pub(crate) fn variable_of(entry: &str) -> String {
    format!("{PREFIX}{}", entry.replace('.', "__").to_uppercase())
}

/// The name that is meant, if any is like it.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let bare = |name: &str| {
        name.trim_start_matches(ENTRIES)
            .trim_start_matches(ALMOST_ENTRIES)
            .trim_start_matches(PREFIX)
            .replace("__", "_")
    };
    let likeness = |candidate: &&str| strsim::jaro_winkler(&bare(name), &bare(candidate));
    candidates
        .map(|candidate| (likeness(&candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn what_looks_like_ours_is_named_with_what_was_meant_and_what_is_ours_is_not() {
        let held = [
            "PATH",
            "QIPP_KEY",
            "QIPP_SERVE__LISTEN",
            "QIPP_FUZZ_SEED",
            "QIPP_KEYS",
            "QIPP_LISTEN",
            "QIPP_LIMITS_CALLS",
            "QIPP_SERVICE_HOST",
        ];
        let told = warnings_about(held.into_iter().map(str::to_owned));
        assert_eq!(told.len(), 4, "{told:?}");
        for (told, name, meant) in [
            (&told[0], "QIPP_KEYS", "QIPP_KEY "),
            (&told[1], "QIPP_LIMITS_CALLS", "QIPP_SERVE__LIMITS__CALLS "),
            (&told[2], "QIPP_LISTEN", "QIPP_SERVE__LISTEN "),
        ] {
            assert!(told.contains(name) && told.contains(meant), "{told}");
        }
    }

    #[test]
    fn every_variable_that_the_command_line_reads_is_known() {
        fn of(command: &clap::Command, found: &mut Vec<String>) {
            let variables = command.get_arguments().filter_map(clap::Arg::get_env);
            found.extend(variables.map(|name| name.to_string_lossy().into_owned()));
            for verb in command.get_subcommands() {
                of(verb, found);
            }
        }
        let mut found = vec!["QIPP_KEY".to_owned()];
        of(&crate::cli::Cli::command(), &mut found);
        found.sort();
        found.dedup();
        assert_eq!(found, KNOWN);
    }
}
