//! API keys in a TOML file that holds only their SHA-256 hashes.
//!
//! ```toml
//! [[key]]
//! name = "rj1-upload"
//! role = "submitter"
//! sha256 = "…64 hexadecimal digits…"
//! organisations = ["RJ1"]      # or: tree = "sha_2010", node = "Q30"; or: nation = true
//! expires = "2013-03-31"       # optional, the last day on which it is valid
//! ```
//!
//! A plain hash is enough because a key is 32 random bytes: there is nothing to guess, so there is nothing to slow down. Keys are found by
//! their hash; how long a look-up takes tells of hashes, and a hash that somebody can steer is one of a key that they hold already.
//!
//! Read once at the start. Never holds, writes or prints a key.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use jiff::civil::Date;
use qipp_domain::{OrgCode, Slug};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use toml::Spanned;

use crate::{Authenticator, Credentials, Principal, Role, Scope, Secret, Unauthenticated};

/// What every key starts with, so that scanners recognise one that has leaked.
pub const KEY_PREFIX: &str = "qipp_";

/// Names go into the log and into answers.
const MAX_NAME: usize = 64;

type Hash = [u8; 32];

/// A key as the file holds it: whose it is and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Whom it stands for.
    pub principal: Principal,
    /// Last day on which it is valid.
    pub expires: Option<Date>,
    sha256: Hash,
}

/// Makes a new key for a principal from 32 random bytes. The key is shown to its owner once; the entry goes into the file.
#[must_use]
pub fn generate_key(
    principal: Principal,
    expires: Option<Date>,
    random: [u8; 32],
) -> (Secret, KeyEntry) {
    let key = format!("{KEY_PREFIX}{}", hex(&random));
    let sha256 = hash(&key);
    (
        Secret::new(key),
        KeyEntry {
            principal,
            expires,
            sha256,
        },
    )
}

/// The entry as a block of the key file.
impl fmt::Display for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| toml::Value::String(text.to_owned());
        writeln!(f, "[[key]]")?;
        writeln!(f, "name = {}", text(&self.principal.name))?;
        writeln!(f, "role = \"{}\"", self.principal.role)?;
        writeln!(f, "sha256 = \"{}\"", hex(&self.sha256))?;
        match &self.principal.scope {
            Scope::Organisations(listed) => {
                let codes: Vec<String> = listed.iter().map(|code| format!("\"{code}\"")).collect();
                writeln!(f, "organisations = [{}]", codes.join(", "))?;
            }
            Scope::Node { tree, node } => writeln!(f, "tree = \"{tree}\"\nnode = \"{node}\"")?,
            Scope::Nation => writeln!(f, "nation = true")?,
        }
        self.expires
            .map_or(Ok(()), |day| writeln!(f, "expires = \"{day}\""))
    }
}

/// Why a key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(
        "cannot read the key file {path}: create it with `[[key]]` entries, or check its permissions"
    )]
    Unreadable {
        /// Which.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not TOML of this form.
    #[error("line {line} of the key file: {message}")]
    Malformed {
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An entry is wrong.
    #[error("key {entry} (line {line}, name `{name}`): {message}")]
    Entry {
        /// From 1.
        entry: usize,
        /// From 1.
        line: usize,
        /// The name in the entry.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// The known keys.
#[derive(Debug, Default)]
pub struct KeyFile {
    by_hash: HashMap<Hash, KeyEntry>,
    warnings: Vec<String>,
}

impl KeyFile {
    /// Reads a key file. What is odd but works is in [`KeyFile::warnings`].
    ///
    /// # Errors
    /// [`KeyFileError`] names the entry, its line and the remedy.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let unreadable = |source| KeyFileError::Unreadable {
            path: path.display().to_string(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        let mut file = Self::parse(&text)?;
        file.warnings.extend(permission_warning(path, &metadata));
        Ok(file)
    }

    /// Parses the text of a key file.
    ///
    /// # Errors
    /// As [`KeyFile::read`].
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        // The message alone: the error's own display quotes the line, and somebody may have pasted a key there. The message quotes the
        // names of fields, and one may even stand there.
        let malformed = |error: toml::de::Error| KeyFileError::Malformed {
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            message: if error.message().contains(KEY_PREFIX) {
                "a key stands here: this file holds only hashes, make a new key with `qipp keys new`".to_owned()
            } else {
                error.message().to_owned()
            },
        };
        let raw: RawFile = toml::from_str(text).map_err(malformed)?;
        let mut file = Self::default();
        for (index, spanned) in raw.key.into_iter().enumerate() {
            let line = line_at(text, spanned.span().start);
            let raw = spanned.into_inner();
            let name = masked(&raw.name);
            let added = raw.into_entry().and_then(|entry| file.add(entry));
            added.map_err(|message| KeyFileError::Entry {
                entry: index + 1,
                line,
                name,
                message,
            })?;
        }
        if file.by_hash.is_empty() {
            file.warnings
                .push("the key file has no keys: every call will be refused".to_owned());
        }
        Ok(file)
    }

    /// Keys that were never in a file: for tests, and for a process that makes its own.
    ///
    /// # Errors
    /// What is wrong with an entry, or that it doubles another.
    pub fn from_entries(entries: impl IntoIterator<Item = KeyEntry>) -> Result<Self, String> {
        let mut file = Self::default();
        entries.into_iter().try_for_each(|entry| file.add(entry))?;
        Ok(file)
    }

    /// What is odd but works. To be logged.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whom the keys stand for, by name.
    #[must_use]
    pub fn principals(&self) -> Vec<&Principal> {
        let mut all: Vec<&Principal> = self.by_hash.values().map(|key| &key.principal).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup();
        all
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// No keys at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Two keys may share a name, so that one can be replaced while both work; then they must stand for the same principal, or the log
    /// could not tell who did something.
    fn add(&mut self, entry: KeyEntry) -> Result<(), String> {
        check_principal(&entry.principal)?;
        let namesake = self
            .by_hash
            .values()
            .find(|held| held.principal.name == entry.principal.name);
        if namesake.is_some_and(|held| held.principal != entry.principal) {
            return Err("another key has the same name and other rights: give each principal a name of its own".to_owned());
        }
        if let Some(held) = self.by_hash.get(&entry.sha256) {
            return Err(format!(
                "the same key is held by `{}` already: make a new one",
                held.principal.name
            ));
        }
        self.by_hash.insert(entry.sha256, entry);
        Ok(())
    }
}

impl Authenticator for KeyFile {
    fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Unauthenticated> {
        let key = credentials.bearer()?;
        let entry = self
            .by_hash
            .get(&hash(key))
            .ok_or(Unauthenticated::Unknown)?;
        match entry.expires {
            Some(expired) if expired < credentials.today() => Err(Unauthenticated::Expired {
                name: entry.principal.name.clone(),
                expired,
            }),
            _ => Ok(entry.principal.clone()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    key: Vec<Spanned<RawEntry>>,
}

/// Texts only: serde's own messages quote what they cannot read, ours choose what they quote.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    sha256: String,
    organisations: Option<Vec<String>>,
    tree: Option<String>,
    node: Option<String>,
    #[serde(default)]
    nation: bool,
    expires: Option<String>,
}

impl RawEntry {
    fn into_entry(self) -> Result<KeyEntry, String> {
        let sha256 = parse_hash(&self.sha256)?;
        let role: Role = self.role.parse()?;
        let expires = self.expires.as_deref().map(parse_day).transpose()?;
        let scope = self.scope()?;
        Ok(KeyEntry {
            principal: Principal {
                name: self.name,
                role,
                scope,
            },
            expires,
            sha256,
        })
    }

    fn scope(&self) -> Result<Scope, String> {
        match (&self.organisations, &self.tree, &self.node, self.nation) {
            (Some(listed), None, None, false) if !listed.is_empty() => {
                let codes: Result<BTreeSet<OrgCode>, _> = listed.iter().map(|code| OrgCode::new(code)).collect();
                codes.map(Scope::Organisations).map_err(|error| error.to_string())
            }
            (None, Some(tree), Some(node), false) => {
                let tree = Slug::new(tree).map_err(|error| error.to_string())?;
                let node = OrgCode::new(node).map_err(|error| error.to_string())?;
                Ok(Scope::Node { tree, node })
            }
            (None, None, None, true) => Ok(Scope::Nation),
            _ => Err("state exactly one scope: `organisations = [\"RJ1\"]`, or `tree` with `node`, or `nation = true`".to_owned()),
        }
    }
}

fn check_principal(principal: &Principal) -> Result<(), String> {
    let name = &principal.name;
    if name.is_empty()
        || name.chars().count() > MAX_NAME
        || name.trim() != name
        || name.chars().any(char::is_control)
    {
        return Err(format!(
            "`name` has to be 1 to {MAX_NAME} characters that people recognise in the log"
        ));
    }
    if name.starts_with(KEY_PREFIX) {
        return Err("`name` looks like a key; names are written into the log".to_owned());
    }
    let whole = matches!(principal.role, Role::National | Role::Operator);
    if whole && principal.scope != Scope::Nation {
        return Err(format!(
            "a key with role {} speaks for everything: write `nation = true`, or choose another role",
            principal.role
        ));
    }
    Ok(())
}

fn parse_hash(text: &str) -> Result<Hash, String> {
    if text.starts_with(KEY_PREFIX) {
        return Err("`sha256` holds the key itself: anybody who saw this file can use it. Withdraw it, make a new one, and write its \
                    hash here"
            .to_owned());
    }
    let wrong =
        || "`sha256` has to be the 64 hexadecimal digits of the key's SHA-256 hash".to_owned();
    let digits: Vec<u8> = text
        .chars()
        .map_while(|c| c.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    if text.len() != 64 || digits.len() != 64 {
        return Err(wrong());
    }
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] * 16 + pair[1])
        .collect();
    bytes.try_into().map_err(|_| wrong())
}

fn parse_day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| {
        format!(
            "`expires` is `{}`: write the last valid day as YYYY-MM-DD",
            masked(text)
        )
    })
}

fn hash(key: &str) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String never fails");
            text
        })
}

/// A text of the file as it may be printed: no key that was put in the wrong place, and not without end.
fn masked(text: &str) -> String {
    if text.contains(KEY_PREFIX) {
        "…".to_owned()
    } else {
        text.chars().take(MAX_NAME).collect()
    }
}

/// The line, from 1, that a byte of the text stands in.
fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(byte)
        .filter(|&&b| b == b'\n')
        .count()
        + 1
}

#[cfg(unix)]
fn permission_warning(path: &Path, metadata: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    let what = match mode {
        mode if mode & 0o022 != 0 => "others can change it, and so give themselves any role",
        mode if mode & 0o044 != 0 => "others can read who has access",
        _ => return None,
    };
    Some(format!(
        "{} has mode {mode:03o}: {what}. Set it to 600",
        path.display()
    ))
}

#[cfg(not(unix))]
fn permission_warning(_path: &Path, _metadata: &std::fs::Metadata) -> Option<String> {
    None
}

#[cfg(test)]
mod tests;
