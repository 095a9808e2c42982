//! The settings in `deploy/`, read by the binary that they are for. That the files fit their own tools is `deploy/check`'s.

use std::path::{Path, PathBuf};

use crate::binary::command;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What `qipp serve gateway --check` says with these. A gateway has no log, so that no broker is looked for.
async fn check(environment: &[(String, String)], arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .env_remove("QIPP_DATA_DIR")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .args(["serve", "gateway", "--check"])
        .args(arguments)
        .output()
        .await
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_configuration_file_that_is_shipped_is_read() {
    for name in [
        "qipp.toml",
        "kubernetes/qipp.toml",
        "kubernetes/gateway.toml",
    ] {
        let path = deploy(name).display().to_string();
        let said = check(&[], &["--config", &path]).await;
        let settings = text(name).parse::<toml::Table>().unwrap();
        let stated = entries("serve", &settings["serve"]);
        assert!(!stated.is_empty());
        for entry in stated {
            // What the command line says of services comes last.
            let held = said
                .lines()
                .find(|line| line.starts_with(&format!("{entry} = ")));
            let held = held.unwrap_or_else(|| panic!("{name}: {entry} is no entry: {said}"));
            assert!(held.ends_with(&format!("# {path}")), "{name}: {held}");
        }
    }
}

/// Names of all entries below this one.
fn entries(name: &str, value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| entries(&format!("{name}.{key}"), value))
            .collect(),
        _ => vec![name.to_owned()],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_variable_of_the_image_and_of_compose_is_a_setting() {
    let mut variables = variables(&text("compose.yaml"), ": ");
    variables.extend(self::variables(&text("Dockerfile"), "="));
    assert!(variables.len() >= 15, "{variables:?}");
    let said = check(&variables, &[]).await;
    for (variable, value) in &variables {
        let entry = variable
            .trim_start_matches("QIPP_")
            .replace("__", ".")
            .to_lowercase();
        let held = said
            .lines()
            .find(|line| line.starts_with(&format!("{entry} = ")));
        let held = held.unwrap_or_else(|| panic!("{variable}={value} is no setting: {said}"));
        assert!(held.ends_with("# environment"), "{held}");
    }
}

/// Settings of `qipp serve` in a text that states one a line.
fn variables(text: &str, is: &str) -> Vec<(String, String)> {
    let settings = text.lines().filter_map(|line| {
        let line = line
            .trim_start_matches("ENV")
            .trim()
            .trim_end_matches('\\')
            .trim_end();
        line.starts_with("QIPP_SERVE__")
            .then(|| line.split_once(is))
            .flatten()
    });
    let plain = |value: &str| value.trim_matches(['"', '\'']).to_owned();
    settings
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_login_of_the_example_secret_is_read_and_not_shown() {
    let secrets = text("kubernetes/secrets.example.yaml");
    let properties = secrets
        .lines()
        .find_map(|line| line.trim().strip_prefix("properties: "));
    let properties = properties.expect("the secret has the properties of the client");
    let variable = "QIPP_SERVE__KAFKA__PROPERTIES".to_owned();
    let properties = properties.trim_matches('\'').to_owned();
    assert!(properties.contains("change-me"));
    let said = check(&[(variable, properties)], &[]).await;
    assert!(said.contains("sasl.username"), "{said}");
    assert!(!said.contains("change-me"), "{said}");
}
