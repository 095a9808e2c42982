//! Keys on one machine: made at the first start, readable by their owner only, found again by the verbs.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
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

/// Makes a folder, and those above it that are missing, for nobody but its owner: returns are nobody else's business, and keys least of all.
pub(crate) fn private_folder(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("can't make {}", folder.display()))
}

/// A key for each local role. Keys are written before the file that knows them, so that a start which was cut short is repeated whole.
pub(crate) fn make_local(folder: &Path) -> anyhow::Result<()> {
    private_folder(folder)?;
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
    // A link stays one: what it leads to is written.
    let file = &std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    // Held until the file is written, so that of two keys made at once none is lost.
    let _alone = lock(folder_of(file))?;
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

/// Writes a file whole or not at all: beside its name first, durable, and only then under it. One that is replaced keeps its owner and
/// permissions, or the service could not read it any more; a new one is for its owner only.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write_beside(&beside, path, text);
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("can't write {}; it is as it was", path.display()))
}

fn write_beside(beside: &Path, path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(beside)?;
    if let Ok(held) = std::fs::metadata(path) {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (held.uid(), held.gid()) {
            fchown(&file, Some(held.uid()), Some(held.gid())).with_context(|| {
                format!(
                    "it belongs to user {} and group {}: do this as that user",
                    held.uid(),
                    held.gid()
                )
            })?;
        }
        file.set_permissions(held.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    // The new name is durable only once its folder is.
    Ok(File::open(folder_of(path))?.sync_all()?)
}

fn folder_of(file: &Path) -> &Path {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

/// Waits until nobody else writes keys there.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let locked = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    locked.with_context(|| format!("can't lock the folder {}", folder.display()))
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

pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn principal(name: &str) -> Principal {
        Principal {
            name: name.to_owned(),
            role: Role::National,
            scope: Scope::Nation,
        }
    }

    #[test]
    fn a_key_is_added_in_a_new_file_that_takes_the_place_and_the_permissions_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("principals.toml");
        make_local(folder.path()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        // Whoever reads it meanwhile reads the old one to its end.
        let before = std::fs::metadata(&file).unwrap();
        let mut reading = File::open(&file).unwrap();
        add(&link, principal("another"), None).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reading, &mut text).unwrap();
        assert_eq!(KeyFile::parse(&text).unwrap().len(), 3);
        let after = std::fs::metadata(&file).unwrap();
        assert_ne!(after.ino(), before.ino());
        assert_eq!(after.permissions().mode() & 0o777, 0o640);
        assert!(link.is_symlink());
        assert_eq!(KeyFile::read(&file).unwrap().len(), 4);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 5, "nothing is left beside them: {left:?}");
    }

    #[test]
    fn of_keys_that_are_made_at_once_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("principals.toml");
        make_local(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || add(file, principal(&format!("key-{number}")), None).unwrap());
            }
        });
        assert_eq!(KeyFile::read(&file).unwrap().len(), 3 + 8);
    }
}
