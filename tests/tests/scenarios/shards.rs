//! A nation that is split: three processes hold a part each, and a gateway that holds nothing answers as one that holds everything.

use std::sync::Arc;

use qipp::config::Service;
use qipp::serve::House;
use qipp_api::error::ApiError;
use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::{Dataset, Missing, OrganisationSucceeded, ReferenceFact};
use qipp_eventlog::{EventLog, Layout};
use qipp_projection::Share;
use qipp_tests::http::Http;
use qipp_tests::late::Late;
use qipp_tests::returns::{measured, missing, quality, savings, scheme};
use qipp_tests::{Sandbox, TREE, Who, facts, wire};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::binary::command;

const SHARDS: u16 = 3;
const TRUSTS: [&str; 8] = ["RA1", "RA2", "RA3", "RB1", "RB2", "RB3", "RC1", "RC2"];

fn share(index: u16) -> Share {
    Share::new(index, SHARDS).unwrap()
}

/// Which shard an organisation is in.
fn shard_of(org: &str) -> u16 {
    let is_in = |index: &u16| share(*index).has_org(Layout::default(), org.parse().unwrap());
    (0..SHARDS).find(is_in).unwrap()
}

/// A nation of eight trusts, one of which was merged into another one that is in another shard.
async fn nation() -> Sandbox {
    let sandbox = Sandbox::in_memory().await;
    let regions: [(&str, &[&str]); 3] = [
        ("N01", &TRUSTS[..3]),
        ("S01", &TRUSTS[3..6]),
        ("W01", &TRUSTS[6..]),
    ];
    let mut facts = facts::nation_of(&regions);
    let (org, successor) = merged();
    facts.push(ReferenceFact {
        fact: Some(Fact::OrganisationSucceeded(OrganisationSucceeded {
            org_code: org.to_owned(),
            successor_code: successor.to_owned(),
            date: "2011-05-20".to_owned(),
        })),
    });
    for org in TRUSTS {
        for dataset in [Dataset::Quality, Dataset::Savings] {
            facts.push(facts::owes(org, dataset, "2011-04"));
        }
    }
    facts.push(facts::due(Dataset::Quality, "2011-04", "2011-05-15"));
    sandbox.record(facts).await;
    sandbox
}

fn merged() -> (&'static str, &'static str) {
    let successor = TRUSTS[0];
    let elsewhere = |org: &&&str| shard_of(org) != shard_of(successor);
    (TRUSTS.iter().find(elsewhere).unwrap(), successor)
}

/// Returns of two months of everybody but one.
async fn submit(sandbox: &Sandbox, period: &str, seed: i64) {
    for (index, org) in (seed..).zip(&TRUSTS[..7]) {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let figure = |factor: i64| (index * factor + 7) as f64;
        let mut observations = vec![measured("AE_4H", figure(3), figure(5) + 100.0)];
        match index % 3 {
            0 => observations.push(missing("RTT_INC", Missing::WithheldForQuality)),
            _ => observations.push(measured("RTT_INC", figure(2), figure(4))),
        }
        sandbox.submit(quality(org, period, observations)).await;
        sandbox
            .submit(savings(org, period, "S-1", index * 10_000, index * 9_000))
            .await;
    }
}

async fn filled() -> Sandbox {
    let sandbox = nation().await;
    for org in TRUSTS {
        sandbox
            .register(scheme(org, "S-1", "2011-04", 20_000))
            .await;
        sandbox.register(scheme(org, "S-2", "2011-05", 500)).await;
    }
    submit(&sandbox, "2011-04", 1).await;
    sandbox
}

/// A process that holds a shard.
async fn holder(sandbox: &Sandbox, index: u16) -> House {
    let log: Arc<dyn EventLog> = Late::prompt(Arc::clone(&sandbox.house().log));
    let config = |config: &mut qipp::config::ServeConfig| {
        config.services = vec![Service::Projections];
        config.shard = share(index);
    };
    sandbox.beside(Some(log), config).await
}

/// A gateway that asks these.
async fn gateway(sandbox: &Sandbox, shards: Vec<Vec<String>>) -> House {
    let config = |config: &mut qipp::config::ServeConfig| {
        config.services = vec![Service::Gateway];
        config.peers.shards = shards;
    };
    sandbox.beside(None, config).await
}

struct Split {
    holders: Vec<House>,
    gateway: House,
}

async fn split(sandbox: &Sandbox) -> Split {
    let mut holders = Vec::new();
    for index in 0..SHARDS {
        holders.push(holder(sandbox, index).await);
    }
    let urls = holders.iter().map(|house| vec![house.url()]).collect();
    Split {
        gateway: gateway(sandbox, urls).await,
        holders,
    }
}

const SERVICE: &str = "qipp.projections.v1.ProjectionsService";

async fn ask(
    sandbox: &Sandbox,
    url: impl AsRef<str>,
    who: Who,
    rpc: &str,
    message: Value,
) -> Result<Value, ApiError> {
    let name = format!("{SERVICE}/{rpc}");
    let answer = wire::call(url.as_ref(), Some(sandbox.key(who)), &name, message).await;
    answer.map_err(|status| ApiError::from_status(&status))
}

/// Everything that is asked of a nation, with every page of it, without the cuts and tokens that answers name.
async fn everything(sandbox: &Sandbox, url: &str, who: Who, read: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (rpc, mut message) in questions() {
        message["read"] = read.clone();
        let list = match rpc {
            "ListRollUps" => "cells",
            "ListSchemes" => "schemes",
            _ => "",
        };
        let mut held: Vec<Value> = Vec::new();
        loop {
            let answer = ask(sandbox, url, who, rpc, message.clone()).await;
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    all.push(json!([rpc, error.code.name(), error.reason]));
                    break;
                }
            };
            answer.as_object_mut().unwrap().remove("cut");
            let token = answer.as_object_mut().unwrap().remove("nextPageToken");
            let token = token.filter(|token| token != "");
            if let Some(page) = answer[list].as_array_mut().filter(|_| !list.is_empty()) {
                assert!(page.len() as u64 <= message["pageSize"].as_u64().unwrap_or(100));
                held.append(page);
            }
            let Some(token) = token else {
                all.push(json!([rpc, message["pageSize"], answer, held]));
                break;
            };
            message["pageToken"] = token;
        }
    }
    all
}

fn questions() -> Vec<(&'static str, Value)> {
    let (gone, successor) = merged();
    let mut all = Vec::new();
    for org in TRUSTS {
        all.extend([
            ("GetSeries", json!({"orgCode": org, "marker": "AE_4H"})),
            (
                "ListRevisions",
                json!({"orgCode": org, "dataset": "DATASET_QUALITY", "period": "2011-04"}),
            ),
            (
                "GetSavingsPosition",
                json!({"orgCode": org, "period": "2011-05"}),
            ),
            ("ListSchemes", json!({"orgCode": org, "pageSize": 1})),
        ]);
    }
    for org in [gone, successor] {
        for range in [json!({}), json!({"from": "2011-03", "to": "2011-06"})] {
            let mut of_heir =
                json!({"orgCode": org, "marker": "AE_4H", "structure": "STRUCTURE_AS_IT_IS"});
            of_heir
                .as_object_mut()
                .unwrap()
                .extend(range.as_object().unwrap().clone());
            all.push(("GetSeries", of_heir));
        }
    }
    for level in ["nation", "region", "trust"] {
        for page in [1, 3, 1000] {
            all.push((
                "ListRollUps",
                json!({"tree": TREE, "level": level, "pageSize": page}),
            ));
        }
        all.push((
            "ListRollUps",
            json!({"tree": TREE, "level": level, "includeSources": true, "pageSize": 2}),
        ));
        all.push((
            "ListRollUps",
            json!({"tree": TREE, "level": level, "structure": "STRUCTURE_AS_IT_IS"}),
        ));
    }
    for node in ["ENG", "N01", "W01"] {
        all.push((
            "GetSavingsPosition",
            json!({"orgCode": node, "tree": TREE, "period": "2011-05"}),
        ));
        all.push(("GetCompleteness", json!({"dataset": "DATASET_SAVINGS", "period": "2011-05", "tree": TREE, "nodeCode": node})));
    }
    for as_of in ["", "2011-05-01", "2011-07-01"] {
        all.push((
            "GetCompleteness",
            json!({"dataset": "DATASET_QUALITY", "period": "2011-04", "asOf": as_of}),
        ));
    }
    all.extend([
        ("GetSeries", json!({"orgCode": "RA9", "marker": "AE_4H"})),
        ("GetSeries", json!({"orgCode": "", "marker": "no marker"})),
        ("ListRollUps", json!({"tree": "nowhere", "level": "region"})),
        (
            "ListRollUps",
            json!({"tree": TREE, "level": "region", "pageSize": -1}),
        ),
        ("GetCompleteness", json!({"period": "2011-04"})),
    ]);
    all
}

async fn head(sandbox: &Sandbox) -> Value {
    let answer = ask(
        sandbox,
        sandbox.url(),
        Who::National,
        "GetStatus",
        json!({}),
    )
    .await;
    answer.unwrap()["cut"].clone()
}

async fn same(sandbox: &Sandbox, url: &str, read: &Value) {
    for who in [Who::National, Who::Regional, Who::Trust] {
        let whole = everything(sandbox, &sandbox.url(), who, read).await;
        let split = everything(sandbox, url, who, read).await;
        for (whole, split) in whole.iter().zip(&split) {
            assert_eq!(split, whole, "{who:?} at {read}");
        }
        assert_eq!(split.len(), whole.len());
        let refused = whole.iter().filter(|answer| answer[1].is_string()).count();
        match who {
            Who::National => assert_eq!(refused, 5, "those that nobody could answer"),
            _ => assert!(refused < whole.len()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_in_front_of_shards_answers_as_one_process_that_holds_everything() {
    let sandbox = filled().await;
    let split = split(&sandbox).await;
    let url = split.gateway.url();
    let early = head(&sandbox).await;
    same(&sandbox, &url, &json!({"minCut": early})).await;
    sandbox.set_day("2011-06-20");
    submit(&sandbox, "2011-05", 40).await;
    submit(&sandbox, "2011-04", 3).await;
    let late = head(&sandbox).await;
    same(&sandbox, &url, &json!({"minCut": late})).await;
    // As it was known then, by a cut and by a time.
    same(&sandbox, &url, &json!({"knownAt": {"cut": early}})).await;
    same(
        &sandbox,
        &url,
        &json!({"knownAt": {"time": "2011-06-10T00:00:00Z"}, "minCut": late}),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_all_shards_stay_where_the_first_one_began() {
    let sandbox = filled().await;
    let split = split(&sandbox).await;
    let url = split.gateway.url();
    let read = json!({"minCut": head(&sandbox).await});
    let mut message = json!({"tree": TREE, "level": "trust", "pageSize": 3, "read": read});
    let whole = json!({"tree": TREE, "level": "trust", "pageSize": 1000, "read": read});
    let roll_ups = async |message: &Value| {
        let answer = ask(
            &sandbox,
            &url,
            Who::National,
            "ListRollUps",
            message.clone(),
        )
        .await;
        answer.unwrap()
    };
    let before = roll_ups(&whole).await;
    let mut cells = Vec::new();
    let mut cuts = Vec::new();
    for number in 0.. {
        let mut page = roll_ups(&message).await;
        cells.append(page["cells"].as_array_mut().unwrap());
        cuts.push(page["cut"].clone());
        let token = page["nextPageToken"].clone();
        if token.is_null() || token == "" {
            break;
        }
        message["pageToken"] = token;
        // In between, every figure changes.
        submit(&sandbox, "2011-04", 100 + number).await;
    }
    assert!(cuts.len() > 2 && cuts.iter().all(|cut| *cut == cuts[0]));
    assert_eq!(Value::from(cells), before["cells"]);
    // A token of one query is none of another.
    message["level"] = json!("region");
    let error = ask(&sandbox, &url, Who::National, "ListRollUps", message).await;
    assert_eq!(error.unwrap_err().problems[0].code, "PAGE_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_shards_counts_everybody_once_and_tells_each_of_them() {
    let sandbox = filled().await;
    let split = split(&sandbox).await;
    sandbox.evaluated(&serde_cut(&head(&sandbox).await)).await;
    let whole = ask(
        &sandbox,
        sandbox.url(),
        Who::National,
        "GetStatus",
        json!({"digest": true}),
    );
    let whole = whole.await.unwrap();
    let message = json!({"digest": true, "read": {"minCut": whole["cut"]}});
    let status = ask(
        &sandbox,
        split.gateway.url(),
        Who::National,
        "GetStatus",
        message,
    );
    let status = status.await.unwrap();
    for count in [
        "organisations",
        "returns",
        "revisions",
        "values",
        "schemes",
        "alerts",
        "benchmarks",
        "firstPeriod",
        "lastPeriod",
        "cut",
        "head",
    ] {
        assert_eq!(status[count], whole[count], "{count}");
    }
    let shards = status["shards"].as_array().unwrap();
    let names: Vec<&str> = shards
        .iter()
        .map(|s| s["shard"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["0/3", "1/3", "2/3"]);
    for (shard, house) in shards.iter().zip(&split.holders) {
        assert_eq!(shard["digest"], house.follower.digest());
        assert_ne!(shard["digest"], whole["digest"]);
    }
}

fn serde_cut(cut: &Value) -> qipp_api::proto::events::v1::Cut {
    let bytes = qipp_api::json::from_json_text("qipp.events.v1.Cut", cut.to_string().as_bytes());
    prost::Message::decode(bytes.unwrap()).unwrap()
}

fn away(answer: &Value) -> Vec<u64> {
    let away = answer["shardsAway"].as_array().cloned().unwrap_or_default();
    away.iter().map(|shard| shard.as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_away_is_named_and_its_organisations_are_not_missing() {
    let sandbox = filled().await;
    let mut split = split(&sandbox).await;
    let (url, lost) = (split.gateway.url(), shard_of("RA1"));
    split.holders.remove(usize::from(lost)).stop().await;
    let other = TRUSTS.iter().find(|org| shard_of(org) != lost).unwrap();
    let asked =
        async |rpc: &str, message: Value| ask(&sandbox, &url, Who::National, rpc, message).await;

    let error = asked("GetSeries", json!({"orgCode": "RA1", "marker": "AE_4H"})).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.code.name(), &*error.reason),
        ("UNAVAILABLE", "SHARD_AWAY")
    );
    assert!(error.message.contains("RA1") && error.retry_after.is_some());
    asked("GetSeries", json!({"orgCode": other, "marker": "AE_4H"}))
        .await
        .unwrap();

    let completeness = json!({"dataset": "DATASET_QUALITY", "period": "2011-04"});
    let completeness = asked("GetCompleteness", completeness).await.unwrap();
    let there: Vec<&str> = TRUSTS
        .into_iter()
        .filter(|org| shard_of(org) != lost)
        .collect();
    let named = completeness["submissions"].as_array().unwrap().iter();
    let named: Vec<&str> = named.map(|s| s["orgCode"].as_str().unwrap()).collect();
    assert_eq!(named, there);
    assert_eq!(completeness["expected"], there.len());
    let position = json!({"orgCode": "ENG", "tree": TREE, "period": "2011-04"});
    let position = asked("GetSavingsPosition", position).await.unwrap();
    let status = asked("GetStatus", json!({})).await.unwrap();
    assert_eq!(status["shards"][usize::from(lost)]["away"], true);
    let mut roll_ups = json!({"tree": TREE, "level": "trust", "pageSize": 1});
    let first = asked("ListRollUps", roll_ups.clone()).await.unwrap();
    roll_ups["pageToken"] = first["nextPageToken"].clone();

    // It is back: lists that began without it stay so, and everything else has it.
    let back = holder(&sandbox, lost).await;
    let mut urls: Vec<Vec<String>> = split
        .holders
        .iter()
        .map(|house| vec![house.url()])
        .collect();
    urls.insert(usize::from(lost), vec![back.url()]);
    let again = gateway(&sandbox, urls).await;
    let second = ask(
        &sandbox,
        again.url(),
        Who::National,
        "ListRollUps",
        roll_ups,
    );
    let second = second.await.unwrap();
    for answer in [&completeness, &position, &status, &first, &second] {
        assert_eq!(away(answer), [u64::from(lost)], "{answer}");
    }
    let read = json!({"minCut": head(&sandbox).await});
    same(&sandbox, &again.url(), &read).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_replica_of_a_shard_takes_over() {
    let sandbox = filled().await;
    let Split { mut holders, .. } = split(&sandbox).await;
    let second = holder(&sandbox, 1).await;
    let mut urls: Vec<Vec<String>> = holders.iter().map(|house| vec![house.url()]).collect();
    urls[1].push(second.url());
    let gateway = gateway(&sandbox, urls).await;
    let read = json!({"minCut": head(&sandbox).await});
    same(&sandbox, &gateway.url(), &read).await;
    holders.remove(1).stop().await;
    same(&sandbox, &gateway.url(), &read).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_holds_a_shard_speaks_for_no_other() {
    let sandbox = filled().await;
    let split = split(&sandbox).await;
    let url = split.holders[0].url();
    let other = TRUSTS.iter().find(|org| shard_of(org) != 0).unwrap();
    for (rpc, message) in [
        ("GetSeries", json!({"orgCode": other, "marker": "AE_4H"})),
        ("ListSchemes", json!({"orgCode": other})),
        (
            "GetSavingsPosition",
            json!({"orgCode": other, "period": "2011-04"}),
        ),
        (
            "ListRevisions",
            json!({"orgCode": other, "dataset": "DATASET_QUALITY", "period": "2011-04"}),
        ),
    ] {
        let error = ask(&sandbox, &url, Who::National, rpc, message)
            .await
            .unwrap_err();
        assert_eq!(
            (error.code.name(), &*error.reason),
            ("FAILED_PRECONDITION", "NOT_THIS_SHARD"),
            "{rpc}"
        );
    }
    // What is about many says whom it is not about, also without a gateway.
    let message = json!({"tree": TREE, "level": "nation"});
    let roll_ups = ask(&sandbox, &url, Who::National, "ListRollUps", message)
        .await
        .unwrap();
    assert_eq!(away(&roll_ups), [1, 2]);

    // The cut of an answer about one organisation names nothing of others.
    let message = json!({"orgCode": other, "marker": "AE_4H"});
    let series = ask(
        &sandbox,
        split.gateway.url(),
        Who::National,
        "GetSeries",
        message,
    )
    .await
    .unwrap();
    let message =
        json!({"tree": TREE, "level": "nation", "read": {"knownAt": {"cut": series["cut"]}}});
    let roll_ups = ask(
        &sandbox,
        split.gateway.url(),
        Who::National,
        "ListRollUps",
        message,
    )
    .await;
    let others: Vec<u64> = share(shard_of(other)).others().map(u64::from).collect();
    assert_eq!(away(&roll_ups.unwrap()), others);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_are_not_those_that_were_meant_are_refused() {
    let sandbox = filled().await;
    let split = split(&sandbox).await;
    let url = |index: usize| vec![split.holders[index].url()];
    let whole = || vec![sandbox.url()];
    for shards in [
        vec![url(1), url(0), url(2)],
        vec![url(0), url(1)],
        vec![url(0), url(1), whole()],
        vec![url(0), url(1), vec![split.gateway.url()]],
    ] {
        let gateway = gateway(&sandbox, shards).await;
        let message = json!({"tree": TREE, "level": "nation"});
        let error = ask(
            &sandbox,
            &gateway.url(),
            Who::National,
            "ListRollUps",
            message,
        )
        .await;
        let error = error.unwrap_err();
        assert_eq!(
            (error.code.name(), &*error.reason),
            ("FAILED_PRECONDITION", "SHARDS_DISAGREE")
        );
        assert!(error.message.contains("serve.peers.shards"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tool_warns_of_shards_that_are_away_and_http_names_them() {
    let sandbox = filled().await;
    let split = split(&sandbox).await;
    // Nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let urls = vec![
        vec![split.holders[0].url()],
        vec![format!("http://{free}")],
        vec![split.holders[2].url()],
    ];
    let gateway = gateway(&sandbox, urls).await;
    let key = sandbox.data().join("national.key");
    std::fs::write(&key, sandbox.key(Who::National)).unwrap();
    for (arguments, warns) in [
        (&["rollup", TREE, "nation"][..], true),
        (&["completeness", "quality", "2011-04"], true),
        (&["status"], true),
        (
            &[
                "schemes",
                TRUSTS.into_iter().find(|org| shard_of(org) != 1).unwrap(),
            ],
            false,
        ),
    ] {
        let mut command = command(&sandbox.data());
        command.arg("query").args(arguments);
        command
            .args(["--server", &gateway.url(), "--key-file"])
            .arg(&key);
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert_eq!(
            said.contains("organisations of shard 1 "),
            warns,
            "{arguments:?}: {said}"
        );
    }
    let http = Http::new(&gateway.url(), Some(sandbox.key(Who::National)));
    let answer = http.get(&format!("/v1/trees/{TREE}/rollups/nation")).await;
    assert_eq!(away(&answer.body), [1], "{:?}", answer.body);
}
