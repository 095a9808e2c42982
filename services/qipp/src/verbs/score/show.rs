//! Scores as tables for people, as JSON for programs, and what the layer said as CSV.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context as _;
use qipp_nation::score::real::{self, AeFigures};
use qipp_nation::score::report::{Summary, summarise};
use qipp_nation::score::{BenchPlan, Judged, Unjudged};
use serde_json::{Map, Value, json};

use super::jobs::{Done, Group};
use crate::exit::{Failure, USAGE};
use crate::output::{Table, line};

/// What rules that look at one department at a time say of the real figures, and what the figures can't show.
pub(super) fn naive(figures: &AeFigures) -> Result<(), Failure> {
    let naive = real::naive(figures);
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    line(&format!(
        "Type 1 A&E, {} providers, {} months. Rules that look at one provider's share over four hours:",
        figures.departments.len(),
        figures.months
    ))?;
    line(&format!(
        "  worse than last month                                    {} of months",
        percent(naive.worse_than_last_month)
    ))?;
    line(&format!(
        "  XmR chart of all months, point of concern                {} of December to February, {} of other months",
        percent(naive.concern_in_winter),
        percent(naive.concern_otherwise)
    ))?;
    line(&format!(
        "  XmR icon of the month on what was known then, concern    {} of December to February, {} of other months",
        percent(naive.icon_in_winter),
        percent(naive.icon_otherwise)
    ))?;
    line(
        "\nBelow, savings are simulated: nobody published them by month. Two markers, each a domain: share over four hours (access), emergency \
         admissions per attendance (activity, more taken as worse). Providers also got worse by themselves in these years; where savings rise in such a one, the alert \
         counts as false.\n",
    )
}

/// One line for each voice.
pub(super) fn table(group: &Group, done: &[Done], plan: &BenchPlan) -> Result<(), Failure> {
    let Some(first) = done.first() else {
        return Ok(());
    };
    line(&format!(
        "{}: {} {}, {} {}, {} {}, judged from month {} on{}",
        group.title,
        done.len(),
        if done.len() == 1 { "nation" } else { "seeds" },
        first.organisations,
        if first.organisations == 1 {
            "organisation"
        } else {
            "organisations"
        },
        first.months,
        if first.months == 1 { "month" } else { "months" },
        plan.warm_up + 1,
        if plan.every > 1 {
            format!(", every {} months", plan.every)
        } else {
            String::new()
        },
    ))?;
    let mut table = Table::new(&[
        "method",
        ">FDR",
        ">±",
        "><=3",
        "><=6",
        "><=11",
        ">delay",
        ">alerts",
        ">false",
        ">expected",
        ">any",
        ">quiet",
        ">matched",
        ">±",
        ">full",
        ">right",
        ">named",
    ]);
    for summary in summaries(done) {
        table.row(cells(&summary));
    }
    table.show()?;
    // Seeds of one group mostly share the reason.
    let mut reasons: Vec<(Unjudged, Vec<u64>)> = Vec::new();
    for (reason, seed) in done
        .iter()
        .filter_map(|done| Some((done.judged.unjudged?, done.seed)))
    {
        match reasons.iter_mut().find(|(held, _)| *held == reason) {
            Some((_, seeds)) => seeds.push(seed),
            None => reasons.push((reason, vec![seed])),
        }
    }
    for (reason, seeds) in reasons {
        let of = if seeds.len() == done.len() {
            String::new()
        } else {
            let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
            format!(" of seed {}", seeds.join(", "))
        };
        line(&format!(
            "The layer judged nothing{of}, {}: {reason}.",
            reason.code()
        ))?;
    }
    line("")
}

fn cells(summary: &Summary) -> Vec<String> {
    let told = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let metric = |name, digits| told(summary.metrics.get(name), digits);
    let error = |name| told(summary.errors.get(name), 3);
    vec![
        summary.voice.title().to_owned(),
        metric("fdr", 3),
        error("fdr"),
        metric("within_3", 2),
        metric("within_6", 2),
        metric("within_11", 2),
        metric("delay_median", 1),
        metric("alerts_a_month", 2),
        metric("false_a_month", 2),
        metric("expected_false", 2),
        metric("any", 3),
        metric("any_when_nothing", 3),
        metric("matched", 3),
        error("matched"),
        metric("matched_full", 3),
        metric("marker_precision", 2),
        metric("marker_recall", 2),
    ]
}

fn summaries(done: &[Done]) -> Vec<Summary> {
    let judged: Vec<&Judged> = done.iter().map(|done| &done.judged).collect();
    summarise(&judged)
}

/// One object for each nation and one for all.
pub(super) fn json(group: &Group, done: &[Done]) -> Result<(), Failure> {
    for nation in done {
        let mut scores = Map::new();
        for (voice, score) in &nation.judged.scores {
            scores.insert(
                voice.name().to_owned(),
                serde_json::to_value(score.metrics())?,
            );
        }
        line(&json!({
            "what": "seed", "source": group.title, "seed": nation.seed, "organisations": nation.organisations, "months": nation.months,
            "not_judged": nation.judged.unjudged.map(|reason| json!({ "code": reason.code(), "description": reason.to_string() })),
            "scores": scores,
        }).to_string())?;
    }
    let mut scores = Map::new();
    for summary in summaries(done) {
        let value: Value = json!({ "metrics": summary.metrics, "errors": summary.errors });
        scores.insert(summary.voice.name().to_owned(), value);
    }
    let seeds: Vec<u64> = done.iter().map(|nation| nation.seed).collect();
    let not_judged = done
        .iter()
        .filter(|nation| nation.judged.unjudged.is_some());
    let not_judged: Vec<u64> = not_judged.map(|nation| nation.seed).collect();
    line(
        &json!({ "what": "summary", "source": group.title, "seeds": seeds, "not_judged": not_judged, "scores": scores })
            .to_string(),
    )
}

/// What the layer said, as CSV.
pub(super) struct AlertFile(csv::Writer<BufWriter<File>>);

impl AlertFile {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| {
            let what = format!(
                "can't write {}: {error}; name another with --alerts",
                path.display()
            );
            Failure::new(USAGE, what)
        })?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        writer.write_record([
            "source",
            "seed",
            "org_code",
            "period",
            "tier",
            "chance_false",
            "savings_p",
            "quality_p",
            "domain",
            "since",
            "markers",
        ])?;
        Ok(Self(writer))
    }

    pub(super) fn write(&mut self, group: &Group, done: &[Done]) -> Result<(), Failure> {
        for nation in done {
            let seed = nation.seed.to_string();
            for row in &nation.alerts {
                let start = [group.title.as_str(), seed.as_str()];
                self.0
                    .write_record(start.into_iter().chain(row.iter().map(String::as_str)))?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        Ok(self.0.flush().context("can't write the file of alerts")?)
    }
}
