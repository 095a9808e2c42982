//! Short words that come back from strangers: page tokens, cuts, times, keys and the files that list them.

use jiff::civil::Date;
use qipp_access::{Authenticator as _, Credentials, KeyFile, KeyFileError};
use qipp_api::proto::registry::v1::ListOrganisationsRequest;
use qipp_api::{cut, page};
use qipp_domain::Cut;
use qipp_gateway::cut_text as word;

use crate::promises;

/// A token that was given out leads back to its place; any other is refused or means just as much.
pub(crate) fn page_token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (token, cursor) = text.split_once('\n').unwrap_or((&text, ""));
    let asked = |page_token: &str| ListOrganisationsRequest {
        kind: "trust".into(),
        page_size: 7,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    match page::page(&asked(token)) {
        Err(error) => promises::refusal(&error, data.len()),
        Ok(page) => {
            let Some(place) = page.after else {
                return assert!(token.is_empty());
            };
            let again = page::next_token(&asked(""), &place.cursor, &place.cut);
            assert_eq!(page::page(&asked(&again)).unwrap().after, Some(place));
        }
    }
    let cut: Cut = data
        .chunks(9)
        .map(|chunk| (u32::from(chunk[0]), chunk.len() as u64 * 1_000_003))
        .collect();
    let token = page::next_token(&asked(""), cursor, &cut);
    // The longest token that is read is far longer than any cursor that a service writes.
    if token.len() <= 16_384 {
        let place = page::page(&asked(&token)).unwrap().after.unwrap();
        assert_eq!((place.cursor.as_str(), &place.cut), (cursor, &cut));
        let mut other = asked(&token);
        other.kind = "ccg".into();
        assert!(page::page(&other).is_err(), "a token of another query");
    }
}

/// Cuts as words and as JSON, and times.
pub(crate) fn cut_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for found in [word::decode(&text), word::from_json(&text)]
        .into_iter()
        .flatten()
    {
        match cut::cut_from_proto(&found, "min_cut") {
            Err(problems) => promises::faults(&problems, 40 * data.len()),
            Ok(cut) => {
                let wire = cut::cut_to_proto(&cut);
                let again = word::decode(&word::encode(&wire)).expect("our own words are read");
                assert_eq!(cut::cut_from_proto(&again, "min_cut"), Ok(cut));
            }
        }
    }
    if let Some(time) = cut::time_from_text(&text) {
        assert_eq!(cut::time_from_text(&cut::time_to_text(time)), Some(time));
    }
}

/// The file of principals: whole or not at all, and no key in what is said of it.
pub(crate) fn key_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match KeyFile::parse(text) {
        Ok(file) => {
            assert!(!file.is_empty() || !file.warnings().is_empty());
            let nobody = Credentials::new(Some("Bearer qipp_0"), Date::constant(2011, 6, 1));
            assert!(file.authenticate(&nobody).is_err());
        }
        Err(error) => {
            let lines = text.lines().count() + 1;
            let (KeyFileError::Malformed { line, .. } | KeyFileError::Entry { line, .. }) = &error
            else {
                panic!("no file was read: {error}");
            };
            assert!((1..=lines).contains(line), "line {line} of {lines}");
            // Somebody may have put the key itself where its hash belongs.
            let said = error.to_string();
            for key in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let is_key = key.len() >= 20 && key.starts_with("qipp_");
                assert!(!is_key || !said.contains(key), "a key is quoted");
            }
        }
    }
}

/// The header `authorization`: nothing but a whole, known key lets in.
pub(crate) fn authorization(data: &[u8]) {
    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of `test`
    let text = String::from_utf8_lossy(data);
    let file =
        format!("[[key]]\nname = \"t\"\nrole = \"national\"\nnation = true\nsha256 = \"{HASH}\"\n");
    let file = KeyFile::parse(&file).unwrap();
    let credentials = Credentials::new(Some(&text), Date::constant(2011, 6, 1));
    let let_in = file.authenticate(&credentials).is_ok();
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    assert_eq!(
        let_in,
        scheme.eq_ignore_ascii_case("bearer") && token.trim() == "test"
    );
    assert!(
        !format!("{credentials:?}").contains("test"),
        "a key is printed"
    );
}
