//! Schemes: what a trust plans to save in each financial year, by what, and what it says about care.

use jiff::civil::Date;
use qipp_domain::calendar::add_working_days;
use qipp_domain::scheme::{LinkedMarker, Milestone, MilestoneKind, Scheme, SchemeCategory};
use qipp_domain::{FinancialYear, MarkerCode, Pence, Period, SchemeId};
use rand_chacha::ChaCha8Rng;

use crate::calibration::{
    FALLING, LINE_CHANGES, ONE_OFF, OWN_SCHEMES, PAY_FREEZE_FROM, PLAN_SPREAD, PLAN_YEAR_SPREAD,
    QUARTERS, RECURRENT_PART, SCHEME_STARTS, year_plan,
};
use crate::models::MODELS;
use crate::noise::{Purpose, between, chance, count, normal, pick, stream};
use crate::story::{Truth, TruthKind};
use crate::{Config, TrustInput};

/// A scheme and what only the simulation knows of it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scheme: Scheme,
    /// Part of what it delivers that recurs.
    pub(crate) recurrent_part: f64,
}

/// What a trust's own schemes are about: how often (weights), what people call it, and the markers that such a scheme
/// declares (`true`: to guard against harm). Weights are chosen.
type Kind = (
    SchemeCategory,
    u32,
    &'static str,
    bool,
    &'static [(&'static str, bool)],
);

const KINDS: [Kind; 13] = [
    (
        SchemeCategory::ClinicalProductivity,
        5,
        "Theatre and ward productivity",
        true,
        &[("CANX_28D", true), ("READM_30", true)],
    ),
    (
        SchemeCategory::PathwayRedesign,
        4,
        "Stroke and frailty pathway redesign",
        false,
        &[("DTOC", false), ("READM_30", true)],
    ),
    (
        SchemeCategory::WorkforceRedesign,
        4,
        "Skill mix and e-rostering",
        true,
        &[("SICKNESS", true), ("PU_2_4", true), ("FALLS_HARM", true)],
    ),
    (
        SchemeCategory::MedicinesValue,
        3,
        "Medicines value",
        false,
        &[("COMPL_RATE", true)],
    ),
    (
        SchemeCategory::Procurement,
        4,
        "Procurement of clinical supplies",
        false,
        &[("CANX_28D", true)],
    ),
    (
        SchemeCategory::BackOfficeManagement,
        4,
        "Shared back office",
        true,
        &[("COMPL_TIME", true)],
    ),
    (
        SchemeCategory::CareShiftOutOfHospital,
        2,
        "Care closer to home",
        false,
        &[("NEL_ADM", false), ("READM_30", true)],
    ),
    (SchemeCategory::Estates, 2, "Estates and energy", false, &[]),
    (SchemeCategory::VacancyHold, 3, "Vacancy hold", true, &[]),
    (
        SchemeCategory::WorkforceReduction,
        3,
        "Reduction of posts",
        true,
        &[],
    ),
    (
        SchemeCategory::BudgetReduction,
        3,
        "Directorate budget reduction",
        false,
        &[],
    ),
    (
        SchemeCategory::IncomeGeneration,
        2,
        "Commercial income",
        false,
        &[],
    ),
    (
        SchemeCategory::TechnicalAccounting,
        1,
        "Balance sheet review",
        false,
        &[],
    ),
];

/// All schemes of a trust, in order of their identifiers.
pub(crate) fn plan(config: &Config, trust: &TrustInput, truth: Option<&Truth>) -> Vec<Plan> {
    let mut rng = stream(config.seed, Some(trust.org), Purpose::Schemes);
    let ambition = (PLAN_SPREAD * normal(&mut rng)).exp().clamp(0.4, 2.2);
    // How much of its programme a trust thinks through: the condition of a scheme of quality (R20).
    let care = between(&mut rng, (0.15, 0.85));
    let mut lines = lines(&mut rng);
    let (first, last) = (
        config.first_savings.financial_year(),
        config.last.financial_year(),
    );
    let years = first.0..=last.0;
    let mut plans = Vec::new();
    for year in years.map(FinancialYear) {
        let Ok(april) = Period::new(year.0, 4) else {
            continue;
        };
        let mut writer = Writer {
            config,
            trust,
            year,
            april,
            care,
            rng: &mut rng,
            written: Vec::new(),
        };
        writer.write_year(ambition, &mut lines, truth);
        plans.append(&mut writer.written);
    }
    plans
}

/// A line of work that a trust goes on with from year to year, as one scheme each year.
#[derive(Clone, Copy, Debug)]
struct Line {
    kind: &'static Kind,
    weight: f64,
    /// Month of the financial year in which its schemes start, from 0.
    offset: usize,
}

fn lines(rng: &mut ChaCha8Rng) -> Vec<Line> {
    let number = OWN_SCHEMES.0 + pick(rng, OWN_SCHEMES.1 - OWN_SCHEMES.0 + 1);
    let line = |_| Line {
        kind: pick_kind(rng),
        weight: (0.5 * normal(rng)).exp(),
        offset: pick_start(rng),
    };
    (0..number).map(line).collect()
}

/// Writes the schemes of one trust and year.
struct Writer<'a> {
    config: &'a Config,
    trust: &'a TrustInput,
    year: FinancialYear,
    april: Period,
    care: f64,
    rng: &'a mut ChaCha8Rng,
    written: Vec<Plan>,
}

impl Writer<'_> {
    fn write_year(&mut self, ambition: f64, lines: &mut [Line], truth: Option<&Truth>) {
        let target = year_plan(self.year);
        let total = self.trust.spend_in_pounds()
            * target.share_of_spend
            * ambition
            * (PLAN_YEAR_SPREAD * normal(self.rng)).exp();
        let national = total * target.national_part;
        let own = (total - national) * falling(truth, self.year);
        self.write_national(national);
        self.write_own(own, lines);
        if let Some(truth) = truth
            .filter(|truth| truth.savings_jump > 0.0 && truth.from.financial_year() <= self.year)
        {
            self.write_jump(own / 12.0 * truth.savings_jump, truth.from.max(self.april));
        }
    }

    fn write_national(&mut self, value: f64) {
        let pay = if self.year >= PAY_FREEZE_FROM {
            between(self.rng, (0.35, 0.65))
        } else {
            0.0
        };
        let tariff = self.phased(value * (1.0 - pay), 0);
        self.add(
            SchemeCategory::NationalTariff,
            "National tariff efficiency",
            false,
            self.april,
            tariff,
            true,
        );
        if pay > 0.0 {
            let planned = self.phased(value * pay, 0);
            self.add(
                SchemeCategory::NationalPay,
                "National pay restraint",
                true,
                self.april,
                planned,
                true,
            );
        }
    }

    fn write_own(&mut self, value: f64, lines: &mut [Line]) {
        for line in lines.iter_mut() {
            line.weight *= (LINE_CHANGES.0 * normal(self.rng)).exp();
            if chance(self.rng, LINE_CHANGES.1) {
                line.kind = pick_kind(self.rng);
            }
        }
        let sum: f64 = lines.iter().map(|line| line.weight).sum();
        for Line {
            kind,
            weight,
            offset,
        } in lines.iter().copied()
        {
            let planned = self.phased(value * weight / sum, offset);
            let start = i32::try_from(offset)
                .ok()
                .and_then(|months| self.april.plus(months));
            let recurrent =
                kind.0 != SchemeCategory::TechnicalAccounting && !chance(self.rng, ONE_OFF);
            self.add(
                kind.0,
                kind.2,
                kind.3,
                start.unwrap_or(self.april),
                planned,
                recurrent,
            );
            self.declare(kind);
        }
    }

    /// Posts and budgets on top of the plan, level from the onset (in later years from April) to March; nothing is
    /// declared.
    fn write_jump(&mut self, monthly: f64, start: Period) {
        let months = 12 - usize::try_from(start.months_since(self.april)).unwrap_or(0);
        for (category, title, pay, part) in [
            (
                SchemeCategory::WorkforceReduction,
                "Further reduction of posts",
                true,
                0.65,
            ),
            (
                SchemeCategory::BudgetReduction,
                "Further budget reduction",
                false,
                0.35,
            ),
        ] {
            self.add(
                category,
                title,
                pay,
                start,
                vec![pounds(monthly * part); months],
                true,
            );
        }
    }

    /// A year's value by month from the `offset`-th month on.
    fn phased(&mut self, value: f64, offset: usize) -> Vec<Pence> {
        // Within the first quarter things begin; later months of a quarter are alike.
        const FIRST_QUARTER: [f64; 3] = [0.22, 0.33, 0.45];
        let weight = |month: usize| {
            QUARTERS[month / 3]
                * if month < 3 {
                    FIRST_QUARTER[month]
                } else {
                    1.0 / 3.0
                }
        };
        let weights: Vec<f64> = (offset..12)
            .map(|month| weight(month) * (0.06 * normal(self.rng)).exp())
            .collect();
        let sum: f64 = weights.iter().sum();
        weights
            .iter()
            .map(|weight| pounds(value * weight / sum))
            .collect()
    }

    fn add(
        &mut self,
        category: SchemeCategory,
        title: &str,
        pay: bool,
        start: Period,
        planned: Vec<Pence>,
        recurrent: bool,
    ) {
        let number = self.written.len() + 1;
        let (from, to) = (self.year.0 % 100, (self.year.0 + 1) % 100);
        let id = format!("{}-{from:02}{to:02}-{number:02}", self.trust.org);
        let last_month = planned.last().copied().unwrap_or_default();
        let full_year_effect = if recurrent {
            Pence(last_month.0 * 12)
        } else {
            planned.iter().copied().sum()
        };
        let scheme = Scheme {
            org: self.trust.org,
            id: SchemeId::new(&id).expect("an organisation code of 12 and 8 more fit into 32"),
            title: title.to_owned(),
            category,
            start,
            planned,
            full_year_effect,
            recurrent,
            pay,
            linked_markers: Vec::new(),
            clinical_lead: String::new(),
            qia_medical_director: None,
            qia_nursing_director: None,
            milestones: Vec::new(),
            ended: if recurrent { None } else { self.april.plus(12) },
            simulated: true,
        };
        let recurrent_part = if recurrent {
            between(self.rng, RECURRENT_PART)
        } else {
            0.0
        };
        self.written.push(Plan {
            scheme,
            recurrent_part,
        });
    }

    /// What the scheme last added says about care: all of it when the trust thought it through, else fragments.
    fn declare(&mut self, kind: &Kind) {
        let thought_through = kind.0.is_redesign() && chance(self.rng, self.care);
        let medical = thought_through || chance(self.rng, 0.3);
        let nursing = thought_through || chance(self.rng, 0.1);
        let Some(plan) = self.written.last() else {
            return;
        };
        let start = plan.scheme.start;
        let links = if thought_through {
            self.links(kind, start)
        } else {
            Vec::new()
        };
        let medical = medical.then(|| self.day_before(start)).flatten();
        let nursing = nursing.then(|| self.day_before(start)).flatten();
        let milestones = self.milestones(start, thought_through);
        let lead = if thought_through {
            format!("Simulated clinician {}", 1 + pick(self.rng, 9))
        } else {
            String::new()
        };
        if let Some(plan) = self.written.last_mut() {
            plan.scheme.linked_markers = links;
            plan.scheme.clinical_lead = lead;
            plan.scheme.qia_medical_director = medical;
            plan.scheme.qia_nursing_director = nursing;
            plan.scheme.milestones = milestones;
        }
    }

    /// The markers of the kind that exist when the scheme starts and that the trust returns; sickness absence when
    /// there are none.
    fn links(&self, kind: &Kind, start: Period) -> Vec<LinkedMarker> {
        let exists = |code: &str| {
            MODELS.iter().any(|model| {
                model.code == code && model.is_valid_for(start) && self.trust.returns(model)
            })
        };
        let link = |code: &str, balancing| {
            MarkerCode::new(code)
                .ok()
                .map(|marker| LinkedMarker { marker, balancing })
        };
        let links: Vec<_> = kind
            .4
            .iter()
            .filter(|(code, _)| exists(code))
            .filter_map(|(code, b)| link(code, *b))
            .collect();
        if links.is_empty() {
            link("SICKNESS", true).into_iter().collect()
        } else {
            links
        }
    }

    /// A working day in the two months before a start.
    fn day_before(&mut self, start: Period) -> Option<Date> {
        let days = u32::try_from(1 + pick(self.rng, 35)).unwrap_or(1);
        start
            .plus(-2)
            .map(|before| add_working_days(before.first_day(), days))
    }

    fn milestones(&mut self, start: Period, thought_through: bool) -> Vec<Milestone> {
        let all = [
            (
                MilestoneKind::Clinical,
                "New pathway agreed with clinicians",
                0,
            ),
            (MilestoneKind::Operational, "New way of working in place", 2),
            (MilestoneKind::Financial, "Budget adjusted", 3),
        ];
        let kept = if thought_through { &all[..] } else { &all[2..] };
        let mut milestones = Vec::new();
        for (kind, title, after) in kept {
            let Some(due) = start.plus(*after).map(Period::last_day) else {
                continue;
            };
            let late = u32::try_from(pick(self.rng, 25)).unwrap_or(0);
            let done = chance(self.rng, 0.8)
                .then(|| add_working_days(due, late))
                .filter(|day| *day <= self.config.last.last_day());
            milestones.push(Milestone {
                title: (*title).to_owned(),
                kind: *kind,
                due,
                done,
            });
        }
        milestones
    }
}

fn pick_kind(rng: &mut ChaCha8Rng) -> &'static Kind {
    let total: u32 = KINDS.iter().map(|kind| kind.1).sum();
    let mut left = pick(rng, total as usize);
    KINDS
        .iter()
        .find(|kind| {
            let found = left < kind.1 as usize;
            left = left.saturating_sub(kind.1 as usize);
            found
        })
        .unwrap_or(&KINDS[0])
}

fn pick_start(rng: &mut ChaCha8Rng) -> usize {
    let mut left = between(rng, (0.0, 1.0));
    for (offset, probability) in SCHEME_STARTS {
        if left < probability {
            return offset;
        }
        left -= probability;
    }
    0
}

/// What is left of a trust's own plan when its story is that savings fall.
fn falling(truth: Option<&Truth>, year: FinancialYear) -> f64 {
    let Some(truth) = truth.filter(|truth| truth.kind == TruthKind::QualityOnly) else {
        return 1.0;
    };
    match year.cmp(&truth.from.financial_year()) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => FALLING.0,
        std::cmp::Ordering::Greater => FALLING.1,
    }
}

/// Whole pounds, as returns state them.
pub(crate) fn pounds(amount: f64) -> Pence {
    Pence(i64::try_from(count(amount)).unwrap_or(i64::MAX / 100) * 100)
}
