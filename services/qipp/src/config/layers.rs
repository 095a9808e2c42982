//! The layers of a configuration, and what is said about an entry that there is not.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Provider as _};
use serde::{Deserialize, Serialize};

use super::{DEFAULTS, Overrides, ServeConfig};
use crate::environment::{ALMOST_ENTRIES, ENTRIES, PREFIX, names, nearest, variable_of};
use crate::exit::{Failure, USAGE};

/// One entry of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// For example `serve.limits.calls`.
    pub name: String,
    /// As TOML.
    pub value: String,
    /// `default`, the file, `environment` or `flag`.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    serve: ServeConfig,
}

#[derive(Serialize)]
struct Layer<'a> {
    serve: &'a Overrides,
}

pub(super) fn load(
    file: Option<&Path>,
    flags: &Overrides,
) -> Result<(ServeConfig, Vec<Entry>), Failure> {
    let mut layers = vec![("default".to_owned(), Figment::from(Toml::string(DEFAULTS)))];
    if let Some(path) = file {
        std::fs::File::open(path)
            .with_context(|| format!("can't read the configuration {}", path.display()))?;
        let layer = Figment::from(Toml::file_exact(path));
        layers.push((path.display().to_string(), layer));
    }
    refuse_almost(names())?;
    let environment = Env::prefixed(PREFIX)
        .filter(|key| key.starts_with("SERVE__"))
        .split("__");
    layers.push(("environment".to_owned(), Figment::from(environment)));
    let flags = Serialized::defaults(Layer { serve: flags });
    layers.push(("flag".to_owned(), Figment::from(flags)));

    let mut known = BTreeMap::new();
    let mut held: BTreeMap<String, Entry> = BTreeMap::new();
    for (number, (source, layer)) in layers.iter().enumerate() {
        for (name, value) in flattened(layer)? {
            if number == 0 {
                known.insert(name.clone(), ());
            }
            let entry = Entry {
                name: name.clone(),
                value,
                source: source.clone(),
            };
            held.insert(name, entry);
        }
    }
    let merged = layers
        .into_iter()
        .fold(Figment::new(), |merged, (_, layer)| merged.merge(layer));
    let unknown: Vec<String> = held
        .keys()
        .filter(|name| !known.contains_key(*name))
        .map(|name| unknown(name, known.keys()))
        .collect();
    if !unknown.is_empty() {
        return Err(wrong(unknown));
    }
    let config: File = merged
        .extract()
        .map_err(|errors| wrong(errors.into_iter().map(|error| error.to_string())))?;
    Ok((config.serve.checked()?, held.into_values().collect()))
}

/// Every entry that there is, by its full name.
pub(crate) fn entries() -> Vec<String> {
    let defaults = flattened(&Figment::from(Toml::string(DEFAULTS)));
    defaults.map_or_else(|_| Vec::new(), |entries| entries.into_keys().collect())
}

/// `QIPP_SERVE_LISTEN` is meant for an entry, and would be passed over: between levels there are two underscores.
fn refuse_almost(names: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut almost: Vec<String> = names
        .filter(|name| name.starts_with(ALMOST_ENTRIES) && !name.starts_with(ENTRIES))
        .collect();
    almost.sort();
    if almost.is_empty() {
        return Ok(());
    }
    let variables: Vec<String> = entries().iter().map(|name| variable_of(name)).collect();
    Err(wrong(almost.iter().map(|name| {
        match nearest(name, variables.iter().map(String::as_str)) {
            Some(meant) => format!("there is no variable {name}: is {meant} meant, with two underscores between levels?"),
            None => format!("there is no variable {name}: those of entries begin with {ENTRIES}, with two underscores between levels"),
        }
    })))
}

fn wrong(what: impl IntoIterator<Item = String>) -> Failure {
    let lines: Vec<String> = what.into_iter().map(|line| format!("  {line}")).collect();
    Failure::new(
        USAGE,
        format!(
            "the configuration is wrong:\n{}\nEvery entry with its meaning: qipp serve --defaults",
            lines.join("\n")
        ),
    )
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    // By the last part first: an entry in the wrong section is as common as a misspelt one.
    let likeness = |candidate: &String| {
        let parts = strsim::jaro_winkler(&last(name), &last(candidate));
        let whole = strsim::jaro_winkler(name, candidate);
        (parts * 1e6 + whole * 1e3).round()
    };
    let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) => format!("there is no entry `{name}`: is `{nearest}` meant?"),
        None => format!("there is no entry `{name}`"),
    }
}

/// Every entry of a layer by its full name, as TOML.
fn flattened(layer: &Figment) -> Result<BTreeMap<String, String>, Failure> {
    let data = layer.data().map_err(|error| wrong([error.to_string()]))?;
    let mut entries = BTreeMap::new();
    for dict in data.into_values() {
        flatten("", dict, &mut entries);
    }
    Ok(entries)
}

fn flatten(prefix: &str, dict: Dict, entries: &mut BTreeMap<String, String>) {
    for (key, value) in dict {
        let name = match prefix {
            "" => key,
            _ => format!("{prefix}.{key}"),
        };
        match value {
            Value::Dict(_, inner) => flatten(&name, inner, entries),
            value => {
                let text = toml::Value::try_from(&value).map(|value| value.to_string());
                entries.insert(name, text.unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_almost_an_entry_is_refused_with_the_one_that_was_meant() {
        let given = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            refuse_almost(names.into_iter()).map_err(|failure| failure.error.to_string())
        };
        assert_eq!(
            given(&["QIPP_SERVE__LISTEN", "QIPP_SERVER", "PATH"]),
            Ok(())
        );
        let wrong = given(&["QIPP_SERVE_LISTEN", "QIPP_SERVE_LIMITS_CALLS"]).unwrap_err();
        assert!(
            wrong.contains("QIPP_SERVE_LISTEN: is QIPP_SERVE__LISTEN meant")
                && wrong.contains("is QIPP_SERVE__LIMITS__CALLS meant"),
            "{wrong}"
        );
    }
}
