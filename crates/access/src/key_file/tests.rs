use super::*;

fn org(code: &str) -> OrgCode {
    OrgCode::new(code).unwrap()
}

fn submitter(name: &str) -> Principal {
    Principal {
        name: name.to_owned(),
        role: Role::Submitter,
        scope: Scope::Organisations([org("RJ1"), org("RJ2")].into()),
    }
}

fn presented(key: &Secret, day: &str) -> Credentials {
    Credentials::new(
        Some(&format!("Bearer {}", key.expose())),
        day.parse().unwrap(),
    )
}

fn refusal(text: &str) -> String {
    KeyFile::parse(text).unwrap_err().to_string()
}

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn a_generated_key_opens_through_the_file_until_the_day_it_expires() {
    let expires = Some("2012-03-31".parse().unwrap());
    let (key, entry) = generate_key(submitter("rj \"upload\""), expires, [7; 32]);
    assert!(key.expose().starts_with(KEY_PREFIX) && key.expose().len() == KEY_PREFIX.len() + 64);
    let node = Scope::Node {
        tree: Slug::new("sha_2010").unwrap(),
        node: org("Q30"),
    };
    let (other, region) = generate_key(
        Principal {
            name: "north".into(),
            role: Role::Regional,
            scope: node,
        },
        None,
        [8; 32],
    );

    let file = KeyFile::parse(&format!("{entry}\n{region}")).unwrap();
    assert_eq!(file.len(), 2);
    assert_eq!(
        file.authenticate(&presented(&key, "2012-03-31")),
        Ok(entry.principal)
    );
    assert_eq!(
        file.authenticate(&presented(&other, "2032-03-31")),
        Ok(region.principal)
    );
    let expired = file
        .authenticate(&presented(&key, "2012-04-01"))
        .unwrap_err();
    assert_eq!(expired.reason(), "KEY_EXPIRED");
    let (unknown, _) = generate_key(submitter("x"), None, [9; 32]);
    assert_eq!(
        file.authenticate(&presented(&unknown, "2012-03-31")),
        Err(Unauthenticated::Unknown)
    );
}

#[test]
fn nothing_but_a_bearer_key_is_looked_at() {
    let file = KeyFile::default();
    let day = "2012-01-01".parse().unwrap();
    assert_eq!(
        file.authenticate(&Credentials::new(None, day)),
        Err(Unauthenticated::Missing)
    );
    for header in ["Basic abc", "Bearer ", "qipp_abc", ""] {
        assert_eq!(
            file.authenticate(&Credentials::new(Some(header), day)),
            Err(Unauthenticated::NotBearer),
            "{header}"
        );
    }
}

#[test]
fn a_fault_names_its_entry_its_line_and_the_remedy_and_shows_no_key() {
    let good =
        format!("[[key]]\nname = \"a\"\nrole = \"national\"\nsha256 = \"{HASH}\"\nnation = true\n");
    let second = |body: &str| refusal(&format!("# keys\n{good}\n{body}"));
    let pasted = second(
        "[[key]]\nname = \"b\"\nrole = \"submitter\"\nsha256 = \"qipp_5ec4e7\"\norganisations = [\"RJ1\"]",
    );
    assert!(
        pasted.starts_with("key 2 (line 8, name `b`)") && pasted.contains("make a new one"),
        "{pasted}"
    );
    let unquoted = second("[[key]]\nname = qipp_5ec4e7\n");
    assert!(unquoted.starts_with("line 9"), "{unquoted}");
    let named = second(&format!(
        "[[key]]\nname = \"qipp_5ec4e7\"\nrole = \"national\"\nsha256 = \"{HASH}\"\nnation = true"
    ));
    let dated = second(
        "[[key]]\nname = \"c\"\nrole = \"national\"\nsha256 = \"00\"\nexpires = \"qipp_5ec4e7\"\n",
    );
    let as_a_name = second("[[key]]\nqipp_5ec4e7 = 1\n");
    assert!(
        as_a_name.starts_with("line 9") && as_a_name.contains("only hashes"),
        "{as_a_name}"
    );
    for text in [pasted, unquoted, named, dated, as_a_name] {
        assert!(!text.contains("5ec4e7"), "{text}");
    }
    let entry = |body: &str| {
        second(&format!(
            "[[key]]\nname = \"b\"\nsha256 = \"{}\"\n{body}",
            HASH.replace('0', "1")
        ))
    };
    assert!(
        entry("role = \"king\"\nnation = true")
            .contains("submitter, regional, national or operator")
    );
    assert!(entry("role = \"regional\"").contains("exactly one scope"));
    assert!(
        entry("role = \"regional\"\nnation = true\norganisations = [\"RJ1\"]")
            .contains("exactly one scope")
    );
    assert!(entry("role = \"operator\"\norganisations = [\"RJ1\"]").contains("nation = true"));
    assert!(
        entry("role = \"submitter\"\norganisations = [\"rj1\"]").contains("an organisation code")
    );
    assert!(entry("role = \"national\"\nnation = true\nexpires = \"soon\"").contains("YYYY-MM-DD"));
    assert!(entry("roles = \"national\"").contains("unknown field `roles`"));
}

#[test]
fn a_key_or_a_name_cannot_mean_two_things() {
    let block = |name: &str, hash: &str, role: &str| {
        format!(
            "[[key]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\nnation = true\n"
        )
    };
    let other = HASH.replace('f', "e");
    assert!(
        refusal(&(block("a", HASH, "national") + &block("b", HASH, "national")))
            .contains("held by `a` already")
    );
    assert!(
        refusal(&(block("a", HASH, "national") + &block("a", &other, "operator")))
            .contains("same name")
    );
    // Replacing a key while both work.
    assert_eq!(
        KeyFile::parse(&(block("a", HASH, "national") + &block("a", &other, "national")))
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn secrets_are_not_printed() {
    let (key, entry) = generate_key(submitter("a"), None, [0xab; 32]);
    let printed = format!(
        "{key} {key:?} {entry} {entry:?} {:?}",
        presented(&key, "2012-01-01")
    );
    assert!(!printed.contains("abababab"), "{printed}");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_or_change_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    std::fs::write(
        &path,
        generate_key(submitter("a"), None, [1; 32]).1.to_string(),
    )
    .unwrap();
    let warnings = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        KeyFile::read(&path).unwrap().warnings().join(";")
    };
    assert_eq!(warnings(0o600), "");
    assert!(warnings(0o640).contains("can read"));
    assert!(warnings(0o666).contains("can change"));
    let missing = KeyFile::read(&folder.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().contains("none.toml"));
}
