//! Keys on one machine: made at the first start, readable by their owner only, found again by the verbs.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use qipp_access::{KeyEntry, KeyFile, Principal, Role, Scope, generate_key};

use qipp_domain::OrgCode;
use qipp_domain::reference::Reference;

use crate::config::ServeConfig;

/// The roles that get a key at the first start, with the name of their file.
pub(crate) const LOCAL: [(Role, &str); 3] = [
    (Role::Operator, "operator"),
    (Role::Submitter, "collector"),
    (Role::National, "national"),
];

/// The principals of a configuration; made, with a key each, when none are configured and none are there yet.
///
/// # Errors
/// When they can't be read or written.
pub(crate) fn principals(config: &ServeConfig) -> anyhow::Result<KeyFile> {
    let file = config.principals_file();
    if config.principals.as_os_str().is_empty() && !file.exists() {
        make_local(&config.keys_dir())?;
    }
    let known = KeyFile::read(&file)?;
    for warning in known.warnings() {
        tracing::warn!(file = %file.display(), "{warning}");
    }
    Ok(known)
}

/// What the reference data does not know of what keys are for. Such a key is let in and may see nothing, or not what its owner expects.
pub(crate) fn unknown_scopes(known: &KeyFile, reference: &Reference) -> Vec<String> {
    let unknown = |org: &OrgCode| reference.organisation(*org).is_none();
    let of = |principal: &Principal| match &principal.scope {
        Scope::Nation => None,
        Scope::Organisations(listed) => {
            let missing: Vec<&str> = listed
                .iter()
                .filter(|org| unknown(org))
                .map(OrgCode::as_str)
                .collect();
            let name = &principal.name;
            (!missing.is_empty()).then(|| {
                format!("the key of `{name}` is for organisations that are not recorded: {}; record them, or correct the key", missing.join(", "))
            })
        }
        Scope::Node { tree, node } => {
            let name = &principal.name;
            match reference.tree(*tree) {
                None => Some(format!(
                    "the key of `{name}` is for {node} of the tree `{tree}`, and there is no such tree: it sees nothing until there is"
                )),
                Some(held)
                    if held.root == *node || held.members().any(|member| member == *node) =>
                {
                    None
                }
                Some(_) => Some(format!(
                    "the key of `{name}` is for {node}, which is nowhere in the tree `{tree}`: it sees nothing until it is"
                )),
            }
        }
    };
    known.principals().into_iter().filter_map(of).collect()
}

/// A key for each local role. Keys are written before the file that knows them, so that a start which was cut short is repeated whole.
pub(crate) fn make_local(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let mut entries = String::from(
        "# Who may call. Keys stand here as SHA-256 only; `qipp keys new` makes further ones.\n",
    );
    for (role, name) in LOCAL {
        let principal = Principal {
            name: format!("local-{name}"),
            role,
            scope: Scope::Nation,
        };
        let (key, entry) = generate_key(principal, None, rand::random());
        write_secret(&folder.join(format!("{name}.key")), key.expose())?;
        entries.push_str(&format!("\n{entry}"));
    }
    write_secret(&folder.join("principals.toml"), &entries)
}

/// Adds a principal to a file of principals and returns the key, which is shown once.
///
/// # Errors
/// When the file can't be read or written, or has a key of that name.
pub(crate) fn add(
    file: &Path,
    principal: Principal,
    expires: Option<jiff::civil::Date>,
) -> anyhow::Result<String> {
    let mut text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("can't read {}", file.display())),
    };
    let (key, entry): (_, KeyEntry) = generate_key(principal, expires, rand::random());
    text.push_str(&format!("\n{entry}"));
    // What can't be read back is not written.
    KeyFile::parse(&text)?;
    write_secret(file, &text)?;
    Ok(key.expose().to_owned())
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("can't write {}", path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("can't write {}", path.display()))
}

/// The key that a verb uses: the environment, the file that was named, or the local key of its role.
///
/// # Errors
/// When none is there: the message says where to get one.
pub(crate) fn find(named: Option<&Path>, data_dir: &Path, role: Role) -> anyhow::Result<String> {
    if let Some(path) = named {
        return read(path);
    }
    if let Ok(key) = std::env::var("QIPP_KEY") {
        return Ok(key.trim().to_owned());
    }
    let name = LOCAL
        .iter()
        .find(|(held, _)| *held == role)
        .map_or("national", |(_, name)| name);
    let path: PathBuf = data_dir.join("keys").join(format!("{name}.key"));
    read(&path).context("no key: pass --key-file FILE or set QIPP_KEY (`qipp serve` makes local keys in its data directory at the first start)")
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("can't read the key {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// A scope as it is given on the command line.
///
/// # Errors
/// When none or several are given.
pub(crate) fn scope(
    organisations: &[String],
    node: Option<&str>,
    nation: bool,
) -> anyhow::Result<Scope> {
    match (organisations, node, nation) {
        ([], None, true) => Ok(Scope::Nation),
        ([], Some(node), false) => {
            let (tree, code) = node
                .split_once('/')
                .context("a node is TREE/CODE, for example region7/Y60")?;
            Ok(Scope::Node {
                tree: tree.parse()?,
                node: code.parse()?,
            })
        }
        (codes, None, false) if !codes.is_empty() => {
            let parsed: Result<BTreeSet<_>, _> = codes.iter().map(|code| code.parse()).collect();
            Ok(Scope::Organisations(parsed?))
        }
        _ => anyhow::bail!(
            "say what the key is for: --org CODE (once or more), --node TREE/CODE, or --nation"
        ),
    }
}
