//! Does a house that is killed keep its promises? The real binary runs as a child process on a folder of its own; many clients send
//! ([`plan`](self)); it is killed (SIGKILL) at random moments, started again, killed while it starts; the clients go on until everything is
//! answered. After every restart, and at the end of it all, a model that knows nothing of the house's code says what must be true
//! ([`model`]).
//!
//! Kills come in episodes, each with a folder and a plan of its own. At the end of one:
//!
//! * everything answered is there once, under the number and at the place that its receipt named; what was retried is the first or a repeat;
//! * a digest that the house told after any restart is that of a fresh fold of the log up to the same cut, and `qipp verify` finds all equal;
//! * a watcher that was cut off at every kill, and went on from its last event, saw every alert event once, in order;
//! * the alerts are those of a house that took the same accepted returns and was never disturbed.
//!
//! A seed determines what is sent and when the kills are aimed for. What the machine does in between is its own affair, so a replayed seed
//! meets the same load and the same aims and not the very same microsecond.

pub(crate) mod checks;
pub(crate) mod clients;
pub(crate) mod journal;
pub mod model;
pub(crate) mod plan;
pub mod process;
pub(crate) mod seed;
pub(crate) mod undisturbed;
pub(crate) mod watcher;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use qipp::client::Client;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::checks::{Digest, Told, Trouble};
use self::clients::{Address, Clients, Keys, Patience};
use self::journal::Journal;
use self::model::{Answer, Copies, Place};
use self::plan::Plan;
use self::process::{Binary, Served};
use self::seed::Seeded;
use self::undisturbed::Undisturbed;
use self::watcher::Watcher;

/// A call that takes longer than this has failed the run: the house is up again long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the look at a house that came back may take.
const LOOK: Duration = Duration::from_secs(60);
/// The fold makes a checkpoint after a second of silence; after so long there must have been one.
const CHECKPOINT: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How `qipp` is called.
    pub binary: Binary,
    /// Determines everything that is not the machine's.
    pub seed: u64,
    /// How many times to kill.
    pub kills: u64,
    /// Where the histories go, a file an episode.
    pub histories: PathBuf,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lives that ended by SIGKILL.
    pub kills: u64,
    /// Of these, before the house was up.
    pub starting: u64,
    /// Of these, when a checkpoint had just begun to be written.
    pub checkpointing: u64,
    /// Lives that ended by SIGTERM under load.
    pub terminated: u64,
    /// Folders.
    pub episodes: u64,
    /// Attempts of clients to have a return stored.
    pub attempts: u64,
    /// Of these, without an answer.
    pub unanswered: u64,
    /// Acknowledged as a new revision.
    pub accepted: u64,
    /// Digests that were held against a fresh fold.
    pub digests: u64,
    /// Alert events that were compared with an undisturbed run.
    pub events: u64,
}

impl Report {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.starting += other.starting;
        self.checkpointing += other.checkpointing;
        self.terminated += other.terminated;
        self.episodes += other.episodes;
        self.attempts += other.attempts;
        self.unanswered += other.unanswered;
        self.accepted += other.accepted;
        self.digests += other.digests;
        self.events += other.events;
    }
}

/// What must not be, and where it can be looked at.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Seed of the run.
    pub seed: u64,
    /// The episode that it happened in.
    pub episode: u64,
    /// Everything that is wrong.
    pub faults: Vec<String>,
    /// The data, and what the house said.
    pub kept: Vec<PathBuf>,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "seed {}, episode {}: {} faults",
            self.seed,
            self.episode,
            self.faults.len()
        )?;
        for fault in self.faults.iter().take(20) {
            writeln!(f, "  {fault}")?;
        }
        write!(f, "kept: {:?}", self.kept)
    }
}

/// Kills as often as was asked, in as many episodes as that takes. `told` hears of every episode.
///
/// # Errors
/// The first episode in which something was wrong.
pub async fn run(settings: &Settings, mut told: impl FnMut(&Report)) -> Result<Report, Broken> {
    let mut report = Report::default();
    while report.kills < settings.kills {
        let number = report.episodes;
        let folder = tempfile::Builder::new().prefix("qipp-survive-").tempdir();
        let folder = folder.map_err(|error| Broken {
            seed: settings.seed,
            episode: number,
            faults: vec![format!("no folder: {error}")],
            kept: Vec::new(),
        })?;
        match episode(settings, number, settings.kills - report.kills, &folder).await {
            Ok(done) => report.add(&done),
            Err(faults) => {
                let kept = vec![folder.keep(), history(settings, number)];
                return Err(Broken {
                    seed: settings.seed,
                    episode: number,
                    faults,
                    kept,
                });
            }
        }
        told(&report);
    }
    Ok(report)
}

fn history(settings: &Settings, episode: u64) -> PathBuf {
    let name = format!("seed-{}-episode-{episode}.jsonl", settings.seed);
    settings.histories.join(name)
}

/// What is wrong, a sentence each.
pub(crate) type Faults = Vec<String>;

pub(crate) fn fault(error: impl std::fmt::Display) -> Faults {
    vec![error.to_string()]
}

/// One folder: from nothing to the end of the plan.
async fn episode(
    settings: &Settings,
    number: u64,
    kills: u64,
    folder: &TempDir,
) -> Result<Report, Faults> {
    let journal = Journal::create(&history(settings, number)).map_err(fault)?;
    let (address, houses) = watch::channel(Vec::new());
    let data = folder.path().join("data");
    // The first start makes the keys, and nobody kills it.
    let first = Served::spawn(&settings.binary, &data, &said(folder), &[]).map_err(fault)?;
    let first = up(first).await?.0;
    let seed = settings.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9));
    let patience = Patience::Fails(PATIENCE);
    let clients = Clients::new(Plan::new(seed), houses, keys(&data)?, patience, journal);
    let clients = Arc::new(clients);
    first.kill().await.map_err(fault)?;

    let mut killer = Killer {
        settings,
        folder,
        data: data.clone(),
        address,
        clients: Arc::clone(&clients),
        random: Seeded::new(seed, 2),
        life: 0,
        started_within: Duration::from_millis(100),
        digests: Vec::new(),
        report: Report::default(),
    };
    let watcher = Watcher::start(&clients);
    let mut sending = tokio::spawn(Arc::clone(&clients).run());
    let served = killer.until_sent(&mut sending, kills).await;
    let served = match served {
        Ok(served) => served,
        Err(faults) => {
            sending.abort();
            return Err(faults);
        }
    };
    let ended = killer.end(served, watcher).await?;
    let mut report = killer.report;
    ended.hold(&clients, &mut report).await?;
    Ok(report)
}

fn said(folder: &TempDir) -> PathBuf {
    folder.path().join("said.txt")
}

/// Waits until it is up, and says where it listens.
async fn up(mut served: Served) -> Result<(Served, String), Faults> {
    let url = served.address().await.map_err(fault)?;
    Ok((served, url))
}

/// The keys that a house made at its first start.
pub(crate) fn keys(data: &Path) -> Result<Keys, Faults> {
    let key = |name: &str| {
        let path = data.join("keys").join(format!("{name}.key"));
        std::fs::read_to_string(path)
            .map(|key| key.trim().to_owned())
            .map_err(fault)
    };
    Ok(Keys {
        operator: key("operator")?,
        collector: key("collector")?,
        national: key("national")?,
    })
}

/// When a life ends.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// While it starts, so long after the process was made.
    Starting(Duration),
    /// So long after it is up, whatever it is doing.
    Up(Duration),
    /// So long after a checkpoint has begun to be written.
    Checkpoint(Duration),
    /// By SIGTERM, so long after it is up.
    Told(Duration),
    /// Not by us.
    Never,
}

struct Killer<'a> {
    settings: &'a Settings,
    folder: &'a TempDir,
    data: PathBuf,
    address: watch::Sender<Vec<Address>>,
    clients: Arc<Clients>,
    random: Seeded,
    life: u64,
    /// How long starting took the last time.
    started_within: Duration,
    digests: Vec<Digest>,
    report: Report,
}

impl Killer<'_> {
    /// Kills until all is sent, and gives the house that is up then.
    async fn until_sent(
        &mut self,
        sending: &mut JoinHandle<Result<(), String>>,
        kills: u64,
    ) -> Result<(Served, String), Faults> {
        loop {
            let aim = if self.report.kills < kills {
                self.aim()
            } else {
                Aim::Never
            };
            self.clients
                .say(&json!({ "life": self.life, "aim": format!("{aim:?}") }));
            let began = Instant::now();
            let served = Served::spawn(&self.settings.binary, &self.data, &said(self.folder), &[])
                .map_err(fault)?;
            if let Aim::Starting(after) = aim {
                tokio::time::sleep(after).await;
                served.kill().await.map_err(fault)?;
                (self.report.kills, self.report.starting) =
                    (self.report.kills + 1, self.report.starting + 1);
                continue;
            }
            let (served, url) = up(served).await?;
            self.started_within = began.elapsed();
            self.life += 1;
            let life = self.life;
            let hold_back = matches!(aim, Aim::Checkpoint(_)) || self.random.percent(50);
            let reached = Address {
                life,
                url: url.clone(),
            };
            if !hold_back {
                self.address.send_replace(vec![reached.clone()]);
            }
            // A short life is not looked at: the next one is.
            if !matches!(aim, Aim::Up(after) if after < Duration::from_millis(25)) {
                self.look(&url).await?;
            }
            if matches!(aim, Aim::Checkpoint(_)) {
                self.checkpoint().await?;
            } else {
                self.address.send_replace(vec![reached]);
            }
            let end = match aim {
                Aim::Up(after) | Aim::Told(after) | Aim::Checkpoint(after) => after,
                Aim::Never | Aim::Starting(_) => Duration::MAX,
            };
            tokio::select! {
                sent = &mut *sending => {
                    sent.map_err(fault)?.map_err(fault)?;
                    return Ok((served, url));
                }
                () = tokio::time::sleep(end) => {}
            }
            self.finish(served, aim).await?;
        }
    }

    async fn finish(&mut self, served: Served, aim: Aim) -> Result<(), Faults> {
        if let Aim::Told(_) = aim {
            served.terminate().await.map_err(fault)?;
            self.report.terminated += 1;
        } else {
            served.kill().await.map_err(fault)?;
            self.report.kills += 1;
            self.report.checkpointing += u64::from(matches!(aim, Aim::Checkpoint(_)));
        }
        // Clients notice by themselves; what they must not do is take the old address for the new house.
        self.address.send_replace(Vec::new());
        Ok(())
    }

    fn aim(&mut self) -> Aim {
        let start = u64::try_from(self.started_within.as_micros()).unwrap_or(u64::MAX / 2);
        let random = &mut self.random;
        let aim = random.of(0..100);
        let after =
            |from: u64, to: u64, random: &mut Seeded| Duration::from_micros(random.of(from..to));
        match aim {
            0..25 => Aim::Starting(after(0, start + start / 8, random)),
            25..40 => Aim::Up(after(0, 25_000, random)),
            40..44 => Aim::Checkpoint(after(0, 4_000, random)),
            44..48 => Aim::Told(after(0, 150_000, random)),
            _ => Aim::Up(after(25_000, 300_000, random)),
        }
    }

    async fn look(&mut self, url: &str) -> Result<(), Faults> {
        let client = self.client(url)?;
        let looked = tokio::time::timeout(LOOK, checks::look(&self.clients, &client)).await;
        match looked {
            Ok(Ok(digest)) => {
                self.digests.extend(digest);
                Ok(())
            }
            Ok(Err(Trouble::Faults(faults))) => Err(faults),
            Ok(Err(Trouble::Gone)) => Err(fault("the house went away by itself")),
            Err(_) => Err(fault(format!(
                "the house was not looked at within {LOOK:?}"
            ))),
        }
    }

    /// Waits until the files of the projection change.
    async fn checkpoint(&self) -> Result<(), Faults> {
        let folder = self.data.join("projection");
        let before = newest(&folder);
        let until = Instant::now() + CHECKPOINT;
        while newest(&folder) == before && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn client(&self, url: &str) -> Result<Client, Faults> {
        Client::new(url, &self.clients.keys.national, LOOK).map_err(|failure| fault(failure.error))
    }

    /// Looks at all of it for the last time, ends the house in order, and reads what it left.
    async fn end(
        &mut self,
        (served, url): (Served, String),
        mut watcher: Watcher,
    ) -> Result<Ended, Faults> {
        self.look(&url).await?;
        let client = self.client(&url)?;
        let (alerts, places) = checks::alerts(&client).await.map_err(fault)?;
        let seen = watcher.seen(places.len()).await;
        let mut shown = std::collections::BTreeMap::new();
        for sending in &self.clients.plan.sendings {
            let slot = &sending.wanted.slot;
            if !shown.contains_key(slot) {
                match checks::revisions(&client, slot, None).await {
                    Ok(held) => drop(shown.insert(slot.clone(), held)),
                    Err(_) => return Err(fault("the house went away by itself")),
                }
            }
        }
        served.terminate().await.map_err(fault)?;
        let left = checks::left(&self.data, &self.digests).await?;
        self.report.digests = self.digests.len() as u64;
        let verified = self
            .settings
            .binary
            .command(&self.data)
            .arg("verify")
            .output()
            .await
            .map_err(fault)?;
        if verified.status.code() != Some(0) {
            return Err(fault(format!("qipp verify: {verified:?}")));
        }
        let said = std::fs::read_to_string(said(self.folder)).map_err(fault)?;
        if let Some(line) = said.lines().find(|line| line.contains("panicked")) {
            return Err(fault(format!("the house said: {line}")));
        }
        Ok(Ended {
            shown,
            alerts,
            places,
            seen,
            left,
        })
    }
}

/// When something in a folder was changed last, and how much there is; nothing when there is no folder.
fn newest(folder: &Path) -> Vec<(std::ffi::OsString, u64, Option<std::time::SystemTime>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some((entry.file_name(), about.len(), about.modified().ok()))
        })
        .collect();
    all.sort();
    all
}

/// What an episode leaves behind.
struct Ended {
    shown: std::collections::BTreeMap<model::Slot, Vec<model::Shown>>,
    alerts: Vec<Told>,
    /// Where the events of the alerts stand.
    places: Vec<Place>,
    /// Where the events stood that the watcher saw.
    seen: Vec<Place>,
    left: checks::Left,
}

impl Ended {
    async fn hold(self, clients: &Clients, report: &mut Report) -> Result<(), Faults> {
        let history = clients.notes().history.clone();
        let mut faults = model::check_log(&history, &self.left.returns, &self.shown, Copies::Never);
        if self.places != self.left.alerts {
            faults.push(format!(
                "alerts have events at {:?}, and the log holds {:?}: an alert was told twice, or lost",
                self.places, self.left.alerts
            ));
        }
        let mut sorted = self.seen.clone();
        sorted.sort_unstable();
        if sorted != self.places {
            faults.push(format!(
                "the watcher saw {sorted:?}, and there are {:?}",
                self.places
            ));
        }
        let mut undisturbed = Undisturbed::start(&clients.plan).await;
        let steps = clients.plan.steps.len();
        undisturbed
            .follow(&clients.plan, &self.shown, steps, |_| true)
            .await;
        let alerts = undisturbed.alerts().await?;
        faults.extend(checks::differing(&self.alerts, &alerts));
        let accepted =
            |a: &&model::Attempt| matches!(a.answer, Some((Answer::Accepted(_), Some(_))));
        report.episodes = 1;
        report.attempts = history.attempts.len() as u64;
        report.unanswered = history
            .attempts
            .iter()
            .filter(|a| a.answer.is_none())
            .count() as u64;
        report.accepted = history.attempts.iter().filter(accepted).count() as u64;
        report.events = self.places.len() as u64;
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }
}
