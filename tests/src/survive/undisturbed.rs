//! A house in this process that takes the same accepted returns, step by step, and is never disturbed.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::checks::{self, Told};
use super::model::{Shown, Slot};
use super::plan::Plan;
use super::{Faults, fault};
use crate::{Sandbox, Who};

/// The house, and how far it has followed.
pub(crate) struct Undisturbed {
    sandbox: Sandbox,
    next: usize,
}

impl Undisturbed {
    /// A house on a log in memory, with the reference data and schemes of the plan, on the day that it is.
    pub(crate) async fn start(plan: &Plan) -> Self {
        let sandbox = Sandbox::in_memory().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        sandbox.clock.set(i64::try_from(now.as_millis()).unwrap());
        sandbox.record(plan.reference.clone()).await;
        for scheme in &plan.schemes {
            sandbox.register(scheme.clone()).await;
        }
        Self { sandbox, next: 0 }
    }

    /// Takes what was accepted of the steps below `upto`, in the order of the log, and evaluates after those that say so.
    pub(crate) async fn follow(
        &mut self,
        plan: &Plan,
        shown: &BTreeMap<Slot, Vec<Shown>>,
        upto: usize,
        evaluated: impl Fn(usize) -> bool,
    ) {
        for number in self.next..upto {
            let mut accepted = Vec::new();
            for sending in plan.steps[number]
                .iter()
                .flat_map(|script| &script.sendings)
            {
                let sending = &plan.sendings[*sending];
                let held = shown.get(&sending.wanted.slot).into_iter().flatten();
                let mut held = held.filter(|held| held.token == sending.wanted.token);
                let place = held.next().map(|held| held.place);
                accepted.extend(place.map(|place| (place, sending.message.clone())));
            }
            accepted.sort_by_key(|(place, _)| *place);
            let returns: Vec<_> = accepted
                .into_iter()
                .map(|(_, mut message)| {
                    message.idempotency_key.clear();
                    message.expected_revision = None;
                    message
                })
                .collect();
            let cut = self.sandbox.submit_all(&returns).await.cut;
            if evaluated(number) {
                self.sandbox.evaluated(&cut).await;
            }
        }
        self.next = upto;
    }

    /// The alerts that it shows.
    pub(crate) async fn alerts(&self) -> Result<Vec<Told>, Faults> {
        let told = checks::alerts(&self.sandbox.client(Who::National)).await;
        told.map(|(alerts, _)| alerts).map_err(fault)
    }

    /// Ends it.
    pub(crate) async fn close(mut self) {
        self.sandbox.close().await;
    }
}
