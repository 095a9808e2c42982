//! The rule catalogue: the state of the nation at a cut → findings → transitions of alerts.
//!
//! Where to look:
//!
//! * one file a rule (`r01.rs`, …): what it asks, which seed of the programme it answers, its parameters, its computation, its
//!   question. The ids are those of the catalogue `rules.csv`;
//! * what rules share: [`mod@slip`] (does a marker slip?), [`mod@series`] (what it is judged on), [`mod@rising`] (are savings
//!   rising?), [`mod@tally`] (how many markers, in how many domains?), [`mod@suppress`] (why is something left out?);
//! * [`mod@surveillance`]: who is on the list that R05 reads, decided over all organisations of a kind at once;
//! * [`mod@national`]: the national values that organisations are held against;
//! * [`mod@rule_set`]: the built-in parameters and the fact that overrides them;
//! * [`mod@transition`]: from the finding of a month to what happens to the alert;
//! * [`mod@again`]: everything that was decided, decided again from the log alone;
//! * [`mod@backtest`]: the alerts that a rule set would have raised, month by month.
//!
//! Every finding is a question with its evidence: never a score, never a rank, and it claims no cause.
//!
//! *Architecture invariant*: pure. No clock, no randomness, no I/O. A finding is a function of the log up to a cut and of the day
//! that counts as today; [`recompute`] proves it.
//!
//! *Architecture invariant*: missing is never zero. A month without a figure can neither slip, nor improve, nor save.

pub mod again;
pub mod backtest;
pub mod national;
pub mod r01;
pub mod r02;
pub mod r03;
pub mod r04;
pub mod r05;
pub mod r06;
pub mod r90;
pub mod rising;
pub mod rule_set;
pub mod series;
pub mod slip;
pub mod subject;
pub mod suppress;
pub mod surveillance;
pub mod tally;
pub mod transition;
mod wording;

use std::sync::Arc;

use jiff::civil::Date;
use qipp_domain::alert::{AlertFact, Finding};
use qipp_domain::nation::Nation;
use qipp_domain::reference::Reference;
use qipp_domain::{Cut, KnownAt, OrgCode, Period};

pub use rule_set::{Parameter, RuleSetInForce};
pub use series::Nationals;
pub use slip::{SlipOutcome, slipping_nationally};
pub use subject::Subject;
pub use transition::{Recheck, cause_id, transitions};

/// What every rule may look at: the nation as it was known at a moment.
///
/// `known_at` and `cut` have to describe the same moment: the cut is what the evidence cites, so that anybody can find the same
/// state again.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Everything that was ever known.
    pub nation: &'a Nation,
    /// The reference data known at the moment.
    pub reference: &'a Reference,
    /// The moment.
    pub known_at: &'a KnownAt,
    /// The moment, as positions of the log.
    pub cut: &'a Cut,
    /// The national values known at the moment.
    pub nationals: &'a Nationals,
    /// The day that counts as today; only lateness (R90) depends on it.
    pub as_of: Date,
    /// The rules in force at the moment.
    pub rules: &'a RuleSetInForce,
}

/// A moment of knowledge with what follows from it; lends out a [`Context`].
#[derive(Clone, Debug)]
pub struct Moment {
    nationals: Arc<Nationals>,
    reference: Arc<Reference>,
    known_at: KnownAt,
    cut: Cut,
    as_of: Date,
    rules: RuleSetInForce,
}

impl Moment {
    /// The moment at which everything below `cut` was known and `as_of` counted as today, under the rules known at the cut.
    #[must_use]
    pub fn at(nation: &Nation, cut: Cut, as_of: Date) -> Self {
        Self::of(nation, KnownAt::Cut(cut.clone()), cut, as_of)
    }

    /// The moment of a nation that holds nothing but what is below `cut`: the same as [`Moment::at`], and nothing has to be asked whether
    /// it was known.
    #[must_use]
    pub fn of_all(nation: &Nation, cut: Cut, as_of: Date) -> Self {
        Self::of(nation, KnownAt::Latest, cut, as_of)
    }

    fn of(nation: &Nation, known_at: KnownAt, cut: Cut, as_of: Date) -> Self {
        let reference = nation.reference(&known_at);
        let rules = RuleSetInForce::of(&reference);
        Self {
            nationals: Arc::new(Nationals::known(nation, &known_at)),
            reference,
            known_at,
            cut,
            as_of,
            rules,
        }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &RuleSetInForce {
        &self.rules
    }

    /// What rules may look at.
    #[must_use]
    pub fn context<'a>(&'a self, nation: &'a Nation) -> Context<'a> {
        Context {
            nation,
            nationals: &self.nationals,
            reference: &self.reference,
            known_at: &self.known_at,
            cut: &self.cut,
            as_of: self.as_of,
            rules: &self.rules,
        }
    }
}

/// What a rule looks at, and so which month it looks at and how its findings end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooksAt {
    /// Figures: the month is the latest one with a quality return. A restated figure can make a finding as if it had never been.
    Figures,
    /// The calendar: the month is the latest one whose return is overdue. A return that arrives ends the finding; that it was
    /// late stays true.
    Calendar,
    /// The joint decision over the organisations of its kind: the month is the latest one decided.
    Peers,
    /// All joint decisions, for the one organisation that stands for the nation: the month is the latest one decided.
    Nation,
}

/// A rule of the catalogue.
#[derive(Debug)]
pub struct Rule {
    /// `R01`, `R02`, …
    pub id: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it looks at.
    pub looks_at: LooksAt,
    /// What can be set by a rule set.
    pub parameters: &'static [Parameter],
    /// What it finds for an organisation and month; `None` when there is nothing to ask.
    pub evaluate: fn(&Subject<'_>, Period) -> Option<Finding>,
}

/// Every rule, in the order of the ids.
pub static CATALOGUE: [Rule; 7] = [
    r01::RULE,
    r02::RULE,
    r03::RULE,
    r04::RULE,
    r05::RULE,
    r06::RULE,
    r90::RULE,
];

impl Rule {
    /// The rule of an id.
    #[must_use]
    pub fn of(id: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|rule| rule.id == id)
    }

    /// The month that the rule looks at, given what is known of the organisation; `None` when there is none yet.
    #[must_use]
    pub fn frontier(&self, subject: &Subject<'_>) -> Option<Period> {
        match self.looks_at {
            LooksAt::Figures => subject.latest_quality_period(),
            LooksAt::Calendar => r90::latest_overdue(subject),
            LooksAt::Peers => r05::latest_decided(subject),
            LooksAt::Nation => r06::latest_decided(subject),
        }
    }
}

/// What one rule found for one organisation in one month.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The rule.
    pub rule: &'static Rule,
    /// Whose.
    pub org: OrgCode,
    /// The month that was looked at.
    pub period: Period,
    /// What was found.
    pub finding: Option<Finding>,
}

/// Evaluates every enabled rule for one organisation, each at its frontier.
///
/// A rule without a frontier (nothing was ever returned, nothing is due) and a rule that is switched off give no entry: their
/// alerts, if there are any, stay as they are.
#[must_use]
pub fn evaluate_organisation(context: &Context<'_>, org: OrgCode) -> Vec<Evaluated> {
    evaluate(&Subject::new(*context, org))
}

/// As [`evaluate_organisation`], for a caller that goes on to [`transitions`] with the same subject.
#[must_use]
pub fn evaluate(subject: &Subject<'_>) -> Vec<Evaluated> {
    CATALOGUE
        .iter()
        .filter(|rule| subject.context.rules.is_enabled(rule.id))
        .filter_map(|rule| {
            let period = rule.frontier(subject)?;
            let finding = (rule.evaluate)(subject, period);
            Some(Evaluated {
                rule,
                org: subject.org,
                period,
                finding,
            })
        })
        .collect()
}

/// What happens to the alerts of an organisation at a moment, given those that stand.
#[must_use]
pub fn changes(moment: &Moment, nation: &Nation, org: OrgCode) -> Vec<AlertFact> {
    let subject = Subject::new(moment.context(nation), org);
    evaluate(&subject)
        .iter()
        .flat_map(|found| transitions(nation.alerts(org), &KnownAt::Latest, found, &subject))
        .collect()
}

/// Computes a recorded finding again from the log: at its cut, on its day, under the rules known then.
///
/// For a finding of a raised, updated or suppressed alert the answer equals the recorded one exactly. For the finding of a
/// cleared or withdrawn alert it is `None`: that it no longer holds is what was recorded.
#[must_use]
pub fn recompute(nation: &Nation, recorded: &Finding) -> Option<Finding> {
    let rule = Rule::of(&recorded.rule)?;
    let moment = Moment::at(
        nation,
        recorded.evidence.cut.clone(),
        recorded.evidence.as_of,
    );
    if !moment.rules().is_enabled(rule.id) {
        return None;
    }
    let subject = Subject::new(moment.context(nation), recorded.org);
    (rule.evaluate)(&subject, recorded.period)
}
