//! `qipp rebuild`: a second fold beside the one that serves, what the two say differently, and changing over.

use std::time::Duration;

use clap::{Args, Subcommand};
use qipp_access::Role;
use qipp_api::proto::events::v1::{Cut, ReadOptions};
use qipp_api::proto::projections::v1::{GetStatusRequest, GetStatusResponse};
use qipp_api::proto::replica::v1::{
    ForgetRebuildRequest, GetRebuildRequest, GetRebuildResponse, RebuildPhase, StartRebuildRequest,
    SwitchRebuildRequest,
};

use crate::cli::Reach;
use crate::client::{Client, unreachable};
use crate::exit::{self, DIFFERENT, FAILED, Failure, Outcome, UNAVAILABLE, USAGE};
use crate::output::{json_line, line, plain, word};
use crate::verbs::submit::progress;

/// How often it is asked how far a rebuild is.
const LOOK: Duration = Duration::from_millis(300);
/// How often two replicas are asked until they stand at the same cut.
const MOST_TRIES: usize = 50;

const HELP: &str = "\
The state that serves is folded anew from the log, beside it, in the same process; it costs its memory a second time until `forget`. Both are compared \
at one cut. Changing over interrupts nothing. What was changed from is kept for `back` until `forget`, or until the process ends.

Examples:
  qipp rebuild run                                   # fold, compare, and change over if both say the same
  qipp rebuild run --no-switch && qipp rebuild forget  # only see whether a fresh fold says the same
  qipp rebuild back
  qipp rebuild compare --against http://10.0.0.7:8080  # two replicas, perhaps of two versions";

/// Fold the state anew beside the one that serves, compare the two, and change over without a gap.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct RebuildArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start, wait until both are compared, and change over.
    Run {
        /// Leave it beside: look at it first.
        #[arg(long)]
        no_switch: bool,
        /// Change over although it says something else.
        #[arg(long, conflicts_with = "no_switch")]
        even_if_different: bool,
    },
    /// Start, and do not wait.
    Start,
    /// How far it is, and what it says differently.
    Status,
    /// Change over to the state beside, when it has caught up.
    Switch {
        /// Also when it says something else.
        #[arg(long)]
        even_if_different: bool,
    },
    /// Go back to the state that served before.
    Back,
    /// End what is beside and give its memory back.
    Forget,
    /// Compare the digests of two replicas at one cut. Both have to know the key.
    Compare {
        /// Address of the other one.
        #[arg(long, value_name = "URL")]
        against: String,
    },
}

pub(crate) async fn run(args: RebuildArgs) -> Outcome {
    let asker = Asker {
        client: args.reach.client(Role::Operator)?,
        reach: args.reach,
    };
    match args.what {
        What::Run {
            no_switch,
            even_if_different,
        } => {
            asker.start().await?;
            let equal = asker.caught_up().await?;
            match (no_switch, equal || even_if_different) {
                (true, _) if equal => Ok(exit::OK),
                (true, _) | (false, false) => Ok(DIFFERENT),
                (false, true) => asker.switch(even_if_different, false).await,
            }
        }
        What::Start => {
            asker.start().await?;
            Ok(exit::OK)
        }
        What::Status => {
            asker.show(&asker.status().await?)?;
            Ok(exit::OK)
        }
        What::Switch { even_if_different } => asker.switch(even_if_different, false).await,
        What::Back => asker.switch(true, true).await,
        What::Forget => {
            let mut replica = asker.client.replica();
            let forgotten = replica.forget_rebuild(ForgetRebuildRequest {}).await;
            forgotten.map_err(|status| unreachable(&asker.reach.server, &status))?;
            Ok(exit::OK)
        }
        What::Compare { against } => asker.compare(&against).await,
    }
}

struct Asker {
    client: Client,
    reach: Reach,
}

impl Asker {
    async fn start(&self) -> Result<(), Failure> {
        let mut replica = self.client.replica();
        let started = replica.start_rebuild(StartRebuildRequest {}).await;
        started.map_err(|status| unreachable(&self.reach.server, &status))?;
        Ok(())
    }

    async fn status(&self) -> Result<GetRebuildResponse, Failure> {
        let mut replica = self.client.replica();
        let answer = replica.get_rebuild(GetRebuildRequest {}).await;
        let answer = answer.map_err(|status| unreachable(&self.reach.server, &status))?;
        Ok(answer.into_inner())
    }

    /// Waits until both were compared, and shows it. Do they say the same?
    async fn caught_up(&self) -> Result<bool, Failure> {
        let bar = progress(0, "records");
        let stood = loop {
            let stands = self.status().await?;
            bar.set_length(stands.of_records);
            bar.set_position(stands.records);
            if stands.phase() != RebuildPhase::CatchingUp {
                break stands;
            }
            tokio::time::sleep(LOOK).await;
        };
        bar.finish_and_clear();
        self.show(&stood)?;
        match (stood.phase(), &stood.compared) {
            (RebuildPhase::Ready, Some(compared)) => Ok(compared.differences == 0),
            (RebuildPhase::Failed, _) => Err(Failure::new(FAILED, plain(&stood.why))),
            _ => Err(Failure::new(
                FAILED,
                "somebody else has ended it or changed over; see `qipp rebuild status`",
            )),
        }
    }

    async fn switch(&self, even_if_different: bool, back: bool) -> Outcome {
        let request = SwitchRebuildRequest {
            even_if_different,
            back,
        };
        let answer = self.client.replica().switch_rebuild(request).await;
        let answer = answer.map_err(|status| unreachable(&self.reach.server, &status))?;
        let answer = answer.into_inner();
        if self.reach.json {
            line(&json_line(
                "qipp.replica.v1.SwitchRebuildResponse",
                &answer,
            )?)?;
        } else {
            line(&format!(
                "changed over at the cut {}; the state before is kept for `qipp rebuild back` until `qipp rebuild forget`",
                cut_text(answer.cut.as_ref())
            ))?;
        }
        Ok(exit::OK)
    }

    fn show(&self, stands: &GetRebuildResponse) -> Result<(), Failure> {
        if self.reach.json {
            return line(&json_line("qipp.replica.v1.GetRebuildResponse", stands)?);
        }
        let phase = word(stands.phase().as_str_name(), "REBUILD_PHASE_");
        line(&format!(
            "{phase}: {} of {} records",
            stands.records, stands.of_records
        ))?;
        if !stands.why.is_empty() {
            line(&format!("  {}", plain(&stands.why)))?;
        }
        let Some(compared) = &stands.compared else {
            return Ok(());
        };
        if compared.differences == 0 {
            return line(&format!("  same digest {}", compared.serving_digest));
        }
        line(&format!("  digest that serves {}", compared.serving_digest))?;
        line(&format!("  digest beside      {}", compared.beside_digest))?;
        line(&format!("  {} differences:", compared.differences))?;
        let mut named = compared.different.iter();
        named.try_for_each(|what| line(&format!("    {}", plain(what))))
    }

    /// Asks one and then the other, each for at least what the one before had, until both stand at one cut.
    async fn compare(&self, against: &str) -> Outcome {
        let other = Reach {
            server: against.to_owned(),
            ..self.reach.clone()
        };
        let other_client = other.client(Role::Operator)?;
        let mut ours = digest(&self.client, &self.reach.server, None).await?;
        let first = digest(&other_client, against, None).await?;
        comparable((&self.reach.server, &ours), (against, &first))?;
        for _ in 0..MOST_TRIES {
            let theirs = digest(&other_client, against, ours.cut.clone()).await?;
            if theirs.cut == ours.cut {
                return told(&ours, &theirs);
            }
            ours = digest(&self.client, &self.reach.server, theirs.cut.clone()).await?;
            if theirs.cut == ours.cut {
                return told(&ours, &theirs);
            }
        }
        let what = "the two never stood at the same cut, because records keep coming: try again in a quieter moment";
        Err(Failure::new(UNAVAILABLE, what))
    }
}

/// Digests are of what a process holds: two that hold different parts of the nation have nothing to compare.
fn comparable(
    ours: (&str, &GetStatusResponse),
    theirs: (&str, &GetStatusResponse),
) -> Result<(), Failure> {
    for (server, status) in [ours, theirs] {
        if !status.shards.is_empty() {
            let what = format!(
                "{server} asks shards, each of which has a digest of its own: compare replicas of one shard (`qipp query status` names the shards)"
            );
            return Err(Failure::new(USAGE, what));
        }
    }
    let holds = |status: &GetStatusResponse| match status.shard.as_str() {
        "" => "the whole nation".to_owned(),
        shard => format!("shard {shard}"),
    };
    if ours.1.shard != theirs.1.shard {
        let what = format!(
            "{} holds {}, and {} holds {}: compare two that hold the same",
            ours.0,
            holds(ours.1),
            theirs.0,
            holds(theirs.1)
        );
        return Err(Failure::new(USAGE, what));
    }
    Ok(())
}

async fn digest(
    client: &Client,
    server: &str,
    min_cut: Option<Cut>,
) -> Result<GetStatusResponse, Failure> {
    let request = GetStatusRequest {
        read: Some(ReadOptions {
            min_cut,
            ..ReadOptions::default()
        }),
        digest: true,
    };
    let answer = client.projections().get_status(request).await;
    let answer = answer.map_err(|status| unreachable(server, &status))?;
    Ok(answer.into_inner())
}

fn told(ours: &GetStatusResponse, theirs: &GetStatusResponse) -> Outcome {
    let cut = cut_text(ours.cut.as_ref());
    if ours.digest == theirs.digest {
        line(&format!("same digest {} at the cut {cut}", ours.digest))?;
        return Ok(exit::OK);
    }
    line(&format!(
        "different at the cut {cut}: {} here, {} there",
        ours.digest, theirs.digest
    ))?;
    Ok(DIFFERENT)
}

fn cut_text(cut: Option<&Cut>) -> String {
    qipp_gateway::cut_text::encode(&cut.cloned().unwrap_or_default())
}
