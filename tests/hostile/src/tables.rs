//! Every format of `qipp_api::files`, and the analyst's chart file: whole or not at all, and every fault with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use qipp_api::draft::{reference_fact, return_draft};
use qipp_api::files::{self, MAX_PROBLEMS, Read, RttTree, Sheet};
use qipp_api::proto::events::v1::{ReferenceFact, Return};

use qipp_spc::Profile;
use qipp_spc::chart_io::{xmr_csv, xmr_json_line};
use qipp_spc::xmr::XmrOptions;

use crate::messages::{check_return, faults_of};
use crate::promises;

/// `quality`.
pub(crate) fn csv_quality(data: &[u8]) {
    sheet(&files::quality_sheet(data), data.len());
    if let Some(read) = read(data, files::quality) {
        returns(&read);
    }
}

/// `savings`.
pub(crate) fn csv_savings(data: &[u8]) {
    sheet(&files::savings_sheet(data), data.len());
    if let Some(read) = read(data, files::savings) {
        returns(&read);
    }
}

/// `rtt`.
pub(crate) fn csv_rtt(data: &[u8]) {
    sheet(&files::rtt_sheet(data, "fuzz"), data.len());
    if let Some(read) = read(data, |data| files::rtt(data, "fuzz")) {
        returns(&read);
    }
    let _ = read(data, files::rtt_treatment_functions);
    let names = BTreeMap::new();
    let tree = RttTree {
        tree: "area_2014",
        title: "Area teams",
        root_code: "ENG",
        root_name: "England",
        group_kind: "area_team",
        org_kind: "ccg",
        group_names: &names,
    };
    if let Some(facts) = read(data, |data| files::rtt_reference(data, &tree)) {
        reference(&facts);
    }
}

/// `ae-weekly`.
pub(crate) fn csv_ae_weekly(data: &[u8]) {
    sheet(&files::ae_weekly_sheet(data, "fuzz"), data.len());
    if let Some(read) = read(data, |data| files::ae_weekly(data, "fuzz")) {
        let merged = files::merge_quality(read.returns.clone(), read.returns.clone());
        assert_eq!(
            merged.len(),
            read.returns.len(),
            "a month merges into itself"
        );
        returns(&read.returns);
    }
}

/// Catalogues, organisations and successions, by the number in the first byte.
pub(crate) fn csv_reference(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let known: BTreeSet<_> = ["RA1", "RA2", "RA9"]
        .map(|code| code.parse().unwrap())
        .into();
    let facts = match which % 4 {
        0 => read(data, |data| files::markers(&[data])),
        1 => read(data, files::pct_sha_2010),
        2 => read(data, |data| files::trusts(data, &known)),
        _ => read(data, |data| files::succession(data, &known)),
    };
    if let Some(facts) = facts {
        reference(&facts);
    }
}

/// The analyst's file of one series: not reached over the network, but people get such files from others.
pub(crate) fn csv_chart(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = |text: &str| xmr_csv(Profile::default(), text, &XmrOptions::default(), "fuzz");
    let found = read(&text);
    assert_eq!(read(&text), found, "reading is deterministic");
    for record in [found, xmr_json_line(&text)].into_iter().flatten() {
        assert_eq!(
            xmr_json_line(&record),
            Ok(record),
            "a record comes back as it was"
        );
    }
}

/// What could be read of a file, faulty or not, has the form of returns, and every fault of one that validation finds has a line.
fn sheet(sheet: &Sheet, sent: usize) {
    assert_eq!(sheet.returns.len(), sheet.places.len());
    returns(&sheet.returns);
    let mut found = Vec::new();
    for (index, ret) in sheet.returns.iter().enumerate().take(200) {
        found.extend(faults_of(ret).into_iter().map(|p| (index, p.into())));
    }
    let all = sheet.all_problems(found);
    assert!(all.len() <= MAX_PROBLEMS + 1);
    let lines = all.iter().map(|problem| {
        let rest = problem.field.strip_prefix("line ")?;
        rest.split(',').next()?.parse::<usize>().ok()
    });
    for (problem, line) in all.iter().zip(lines) {
        promises::fault(&problem.code, &problem.field, &problem.description);
        assert!(
            problem.field == "file" || line.is_some_and(|line| line <= sent + 2),
            "{problem:?}"
        );
    }
}

/// Reads twice: the same both times, and faults that name their line.
fn read<T: Debug + PartialEq>(data: &[u8], read: impl Fn(&[u8]) -> Read<T>) -> Option<T> {
    let found = read(data);
    assert_eq!(read(data), found, "reading is deterministic");
    match found {
        Ok(content) => Some(content),
        Err(problems) => {
            assert!((1..=MAX_PROBLEMS + 1).contains(&problems.len()));
            let lines = 2 + data.iter().filter(|b| matches!(b, b'\n' | b'\r')).count();
            for problem in &problems {
                promises::fault(problem.code, &problem.field, &problem.description);
                if let Some(rest) = problem.field.strip_prefix("line ") {
                    let line = rest.split(',').next().unwrap_or_default();
                    let line: usize = line.parse().expect("a line is a number");
                    assert!(
                        (1..=lines).contains(&line),
                        "{} of {lines} lines",
                        problem.field
                    );
                }
            }
            None
        }
    }
}

/// What a file gives has the form of a return: all faults of form were told with their line, and none is left for the second try.
fn returns(returns: &[Return]) {
    for ret in returns.iter().take(200) {
        let draft = return_draft(ret);
        assert!(
            draft.problems.is_empty(),
            "the file was taken, and then: {:?}",
            draft.problems
        );
        check_return(ret);
    }
}

fn reference(facts: &[ReferenceFact]) {
    for (index, fact) in facts.iter().enumerate().take(200) {
        if let Err(problems) = reference_fact(fact, index) {
            promises::faults(&problems, usize::MAX / 2);
        }
    }
}
