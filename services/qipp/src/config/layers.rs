//! The layers of a configuration, and what is said about an entry that there is not.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Provider as _};
use serde::{Deserialize, Serialize};

use super::log_kind::{MASK, is_secret, masked_url};
use super::{DEFAULTS, Overrides, ServeConfig};
use crate::environment::{ALMOST_ENTRIES, ENTRIES, PREFIX, names, nearest, variable_of};
use crate::exit::{Failure, USAGE};

/// Below these stand names that are not ours, some with dots in them, and a value that shows how they are written.
const PROPERTIES: [(&str, &str); 2] = [
    (
        "serve.kafka.properties",
        "\"security.protocol\" = \"sasl_ssl\"",
    ),
    ("serve.snapshot.properties", "region = \"eu-west-2\""),
];

/// One entry of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// For example `serve.limits.calls`.
    pub name: String,
    /// As TOML, a secret masked.
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
        std::fs::File::open(path).map_err(|error| {
            let what = format!("can't read the configuration {}: {error}", path.display());
            Failure::new(USAGE, what)
        })?;
        let layer = Figment::from(Toml::file_exact(path));
        layers.push((path.display().to_string(), layer));
    }
    let environment = Env::prefixed(PREFIX)
        .filter(|key| key.starts_with("SERVE__"))
        .split("__");
    layers.push(("environment".to_owned(), Figment::from(environment)));
    let flags = Serialized::defaults(Layer { serve: flags });
    layers.push(("flag".to_owned(), Figment::from(flags)));

    let mut faults = almost_entries(names());
    let mut known = BTreeMap::new();
    let mut held: BTreeMap<String, (Value, String)> = BTreeMap::new();
    for (number, (source, layer)) in layers.iter().enumerate() {
        // A layer that can't be read at all hides no fault of the others.
        let entries = flattened(layer).unwrap_or_else(|error| {
            faults.push(error.to_string());
            BTreeMap::new()
        });
        for (name, value) in entries {
            if number == 0 {
                known.insert(name.clone(), ());
            }
            held.insert(name, (value, source.clone()));
        }
    }
    // Entry by entry on top of the defaults: one that is unknown or of the wrong type is told and left out, so that all the others are
    // judged too.
    let mut merged = Figment::from(Toml::string(DEFAULTS));
    let mut properties = PROPERTIES.map(|(table, _)| (table, BTreeMap::new()));
    for (name, (value, source)) in &held {
        if let Some((number, property)) = property(name) {
            properties[number].1.insert(property, plain(value));
            continue;
        }
        if let Some((_, example)) = PROPERTIES.iter().find(|(table, _)| name == table) {
            faults.push(format!(
                "{name} ({source}): use a table, as in {name}.{example}"
            ));
            continue;
        }
        if !known.contains_key(name) {
            faults.push(unknown(name, known.keys()));
            continue;
        }
        let alone = Figment::from(Toml::string(DEFAULTS)).merge((name.as_str(), value));
        match alone.extract::<File>() {
            Ok(_) => merged = merged.merge((name.as_str(), value)),
            Err(errors) => {
                let errors = errors.into_iter();
                faults.extend(errors.map(|error| format!("{name} ({source}): {}", error.kind)));
            }
        }
    }
    let merged = properties.into_iter().fold(merged, Figment::merge);
    let config: File = merged
        .extract()
        .map_err(|errors| wrong(errors.into_iter().map(|error| error.to_string())))?;
    faults.extend(config.serve.wrong());
    if !faults.is_empty() {
        return Err(wrong(faults));
    }
    let entry = |(name, (value, source)): (String, (Value, String))| Entry {
        value: shown(&name, &value),
        name,
        source,
    };
    Ok((config.serve, held.into_iter().map(entry).collect()))
}

/// The name of a property, when the entry is one, and which of [`PROPERTIES`] it stands below.
fn property(entry: &str) -> Option<(usize, &str)> {
    let below = |(table, _): &(&str, _)| entry.strip_prefix(table)?.strip_prefix('.');
    let mut tables = PROPERTIES.iter().enumerate();
    tables.find_map(|(number, table)| Some((number, below(table)?)))
}

/// Properties are text to those who take them, also those that look like numbers.
fn plain(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        value => written(value),
    }
}

fn written(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| String::new(), |value| value.to_string())
}

/// A value as it may be printed.
fn shown(name: &str, value: &Value) -> String {
    match (name, value) {
        _ if property(name).is_some_and(|(_, name)| is_secret(name)) => format!("\"{MASK}\""),
        ("serve.log", Value::String(_, url)) if url.contains("://") => {
            toml::Value::from(masked_url(url)).to_string()
        }
        _ => written(value),
    }
}

/// Every entry that there is, by its full name.
pub(crate) fn entries() -> Vec<String> {
    let defaults = flattened(&Figment::from(Toml::string(DEFAULTS)));
    defaults.map_or_else(|_| Vec::new(), |entries| entries.into_keys().collect())
}

/// `QIPP_SERVE_LISTEN` is meant for an entry, and would be passed over: between levels there are two underscores.
fn almost_entries(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut almost: Vec<String> = names
        .filter(|name| name.starts_with(ALMOST_ENTRIES) && !name.starts_with(ENTRIES))
        .collect();
    almost.sort();
    if almost.is_empty() {
        return almost;
    }
    let variables: Vec<String> = entries().iter().map(|name| variable_of(name)).collect();
    let told = almost.iter().map(|name| {
        match nearest(name, variables.iter().map(String::as_str)) {
            Some(meant) => format!("there is no variable {name}: is {meant} meant, with two underscores between levels?"),
            None => format!("there is no variable {name}: those of entries begin with {ENTRIES}, with two underscores between levels"),
        }
    });
    told.collect()
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

/// Every entry of a layer by its full name.
fn flattened(layer: &Figment) -> Result<BTreeMap<String, Value>, Box<figment::Error>> {
    let mut entries = BTreeMap::new();
    for dict in layer.data().map_err(Box::new)?.into_values() {
        flatten("", dict, &mut entries);
    }
    Ok(entries)
}

fn flatten(prefix: &str, dict: Dict, entries: &mut BTreeMap<String, Value>) {
    for (key, value) in dict {
        let name = match prefix {
            "" => key,
            _ => format!("{prefix}.{key}"),
        };
        match value {
            Value::Dict(_, inner) => flatten(&name, inner, entries),
            value => {
                entries.insert(name, value);
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
            almost_entries(names.into_iter())
        };
        let fine = given(&["QIPP_SERVE__LISTEN", "QIPP_SERVER", "PATH"]);
        assert_eq!(fine, Vec::<String>::new());
        let wrong = given(&["QIPP_SERVE_LISTEN", "QIPP_SERVE_LIMITS_CALLS"]).join("\n");
        assert!(
            wrong.contains("QIPP_SERVE_LISTEN: is QIPP_SERVE__LISTEN meant")
                && wrong.contains("is QIPP_SERVE__LIMITS__CALLS meant"),
            "{wrong}"
        );
    }
}
