//! The parameters of the rules: the built-in ones ("default-1"), and those that a rule set fact puts in their place.
//!
//! A fact is written by people and outlives versions of this program. So what it says of rules or parameters that are unknown, or
//! outside their range, is noted and otherwise ignored: the default stays in force.

use std::collections::{BTreeMap, BTreeSet};

use qipp_domain::reference::{Reference, RuleSet};

use crate::{CATALOGUE, Rule};

/// The version that evidence cites when no rule set was ever published.
pub const DEFAULT_VERSION: &str = "default-1";

/// A number that a rule set may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// The rule that it belongs to.
    pub rule: &'static str,
    /// Its name within the rule.
    pub name: &'static str,
    /// The built-in value.
    pub default: f64,
    /// The smallest value that makes sense.
    pub least: f64,
    /// The largest value that makes sense.
    pub most: f64,
    /// What it is, with its unit and source.
    pub what: &'static str,
}

impl Parameter {
    /// A parameter of a rule, with its smallest and largest value.
    #[must_use]
    pub const fn new(
        rule: &'static str,
        name: &'static str,
        default: f64,
        (least, most): (f64, f64),
        what: &'static str,
    ) -> Self {
        Self {
            rule,
            name,
            default,
            least,
            most,
            what,
        }
    }
}

/// The rules in force at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSetInForce {
    version: String,
    disabled: BTreeSet<String>,
    values: BTreeMap<(&'static str, &'static str), f64>,
    notes: Vec<String>,
}

impl Default for RuleSetInForce {
    fn default() -> Self {
        Self {
            version: DEFAULT_VERSION.to_owned(),
            disabled: BTreeSet::new(),
            values: BTreeMap::new(),
            notes: Vec::new(),
        }
    }
}

impl RuleSetInForce {
    /// The rules that reference data puts in force.
    #[must_use]
    pub fn of(reference: &Reference) -> Self {
        reference.rule_set().map(Self::from).unwrap_or_default()
    }

    /// The version that evidence cites.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Is the rule evaluated?
    #[must_use]
    pub fn is_enabled(&self, rule: &str) -> bool {
        !self.disabled.contains(rule)
    }

    /// What of the fact could not be used, and why. For the people who published it.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The value of a parameter.
    #[must_use]
    pub fn value(&self, parameter: &Parameter) -> f64 {
        let key = (parameter.rule, parameter.name);
        self.values.get(&key).copied().unwrap_or(parameter.default)
    }

    /// The value of a parameter that counts something, rounded.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "parameters that count have ranges within 0 to 10,000; as casts saturate"
    )]
    pub fn count(&self, parameter: &Parameter) -> u32 {
        self.value(parameter).round() as u32
    }

    fn set(&mut self, rule: &'static Rule, name: &str, value: f64) {
        let Some(parameter) = rule.parameters.iter().find(|held| held.name == name) else {
            let note = format!("{} has no parameter `{name}`: ignored", rule.id);
            return self.notes.push(note);
        };
        if (parameter.least..=parameter.most).contains(&value) {
            self.values.insert((parameter.rule, parameter.name), value);
        } else {
            self.notes.push(format!(
                "{} {name} = {value} is outside {} to {}: the default {} stays in force",
                rule.id, parameter.least, parameter.most, parameter.default
            ));
        }
    }
}

impl From<&RuleSet> for RuleSetInForce {
    fn from(fact: &RuleSet) -> Self {
        let mut in_force = Self {
            version: fact.version.clone(),
            ..Self::default()
        };
        for (id, setting) in &fact.rules {
            let Some(rule) = CATALOGUE.iter().find(|rule| rule.id == id) else {
                in_force
                    .notes
                    .push(format!("there is no rule {id}: ignored"));
                continue;
            };
            if !setting.enabled {
                in_force.disabled.insert(id.clone());
            }
            for (name, value) in &setting.parameters {
                in_force.set(rule, name, *value);
            }
        }
        in_force
    }
}
