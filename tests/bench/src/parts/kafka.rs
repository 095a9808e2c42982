//! Many processes on Kafka: real brokers and real processes on loopback, beside the same records in the embedded log.
//!
//! The nation is moved to the brokers by `qipp log copy`. Restoring: a process that serves projections, has nothing, and takes it from the
//! log, from a folder of checkpoints, or from another replica. Memory: of a process for each service. Submissions: to one process that
//! takes returns, with one broker and with three. How long an evaluator's successor takes is measured by `qipp-outage`, and the bare
//! client beside the log by the example `kafka` of `qipp-eventlog`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use qipp_api::proto::replica::v1::FetchCheckpointRequest;
use qipp_kafka_cluster::Cluster;
use tokio::process::Command;

use crate::fill::{Filled, bytes_below, filled, taken_below};
use crate::load::Load;
use crate::nation::Nation;
use crate::parts::submit::{Target, generate, loads, tell};
use crate::parts::{Bench, LOOK, evaluated};
use crate::process::{House, Serve, cpu_seconds, memory, peak_memory};
use crate::results::{Case, Side};
use crate::say;

const BROKERS: [u16; 2] = [1, 3];
const CLIENTS: [u32; 1] = [64];
/// Shards of a nation that is split.
const SHARDS: u16 = 2;
/// How long the rules may take over a log that they have never seen.
const FIRST_EVALUATION: Duration = Duration::from_secs(600);
/// How long a replica may take to leave its checkpoint in the folder.
const LEAVING: Duration = Duration::from_secs(60);

/// Measures our side.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let nation = bench.nation(bench.args.orgs);
    let (data, filled) = filled(&bench.work, nation).await?;
    let embedded = embedded(bench, nation).await?;
    for copies in BROKERS {
        let place = Place::start(bench, nation, copies, &embedded).await?;
        place.fill(&data, &filled).await?;
        if copies == 1 {
            place.restore(&embedded).await?;
            place.evaluate().await?;
        }
        place.submit(&embedded).await?;
        place.end().await?;
    }
    Ok(())
}

/// What the same processes say on the embedded log.
struct Embedded {
    /// Seconds of a replay.
    replay: f64,
    /// Returns a second, load by load.
    rates: Vec<f64>,
    /// Where the keys are that every process takes.
    data: PathBuf,
}

async fn embedded(bench: &Bench, nation: Nation) -> anyhow::Result<Embedded> {
    const NAME: &str = "embedded log";
    let (data, house) = bench
        .house_as(nation, &Serve::only(&["projections"]))
        .await?;
    let case = of(bench, nation, "projections by replay", NAME);
    let replay = restored(&case, &house)?;
    house.stop().await?;
    let house = House::start_as(&bench.qipp, &data, &Serve::only(&["intake"])).await?;
    let rates = submitted(bench, nation, NAME, &house, &[]).await?;
    house.stop().await?;
    Ok(Embedded {
        replay,
        rates,
        data,
    })
}

fn of<'a>(bench: &'a Bench, nation: Nation, what: &str, place: &str) -> Case<'a> {
    let name = format!("{}: {what}, {place}", nation.name());
    bench.results.of("kafka", &name, Side::Qipp)
}

/// Says when a process was ready, and its memory. Seconds.
fn restored(case: &Case<'_>, house: &House) -> anyhow::Result<f64> {
    let seconds = house.ready_after.as_secs_f64();
    case.less("ready after", "s", seconds)?;
    tell_memory(case, house)?;
    Ok(seconds)
}

fn tell_memory(case: &Case<'_>, house: &House) -> anyhow::Result<()> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    case.less("memory", "MiB", mib(memory(house.id())))?;
    case.less("peak memory", "MiB", mib(peak_memory(house.id())))
}

/// Submits everything to a process and says what came of it; returns a second, load by load.
async fn submitted(
    bench: &Bench,
    nation: Nation,
    place: &str,
    house: &House,
    brokers: &[u32],
) -> anyhow::Result<Vec<f64>> {
    let target = Target::house(house)?;
    let used = || -> f64 { brokers.iter().copied().map(cpu_seconds).sum() };
    let loads = loads(bench, nation, &CLIENTS);
    // Brokers, and connections to them, are slow while they are new.
    let (_, warming) = loads.first().context("there is a load")?;
    generate(
        &target,
        Load {
            first: unsent(&loads),
            seconds: warming.seconds / 2.0,
            returns: warming.returns / 2,
            ..*warming
        },
    )
    .await?;
    let mut rates = Vec::new();
    for (name, load) in loads {
        let case = of(bench, nation, &name, place);
        let before = (cpu_seconds(house.id()), used());
        let loaded = generate(&target, load).await?;
        tell(&case, &loaded, cpu_seconds(house.id()) - before.0)?;
        if !brokers.is_empty() {
            let cores = (used() - before.1) / loaded.seconds;
            case.told("brokers", "cores", cores)?;
        }
        rates.push(loaded.rate());
    }
    Ok(rates)
}

/// The number of the first return that none of these loads sends.
fn unsent(loads: &[(String, Load)]) -> u64 {
    let ends = loads
        .iter()
        .map(|(_, load)| load.first + u64::from(load.returns));
    ends.max().unwrap_or(0)
}

/// Brokers that hold the nation, and processes on them.
struct Place<'a> {
    bench: &'a Bench,
    nation: Nation,
    cluster: Cluster,
    copies: u16,
    name: String,
    keys_of: PathBuf,
}

impl<'a> Place<'a> {
    async fn start(
        bench: &'a Bench,
        nation: Nation,
        copies: u16,
        embedded: &Embedded,
    ) -> anyhow::Result<Self> {
        let name = if copies == 1 {
            "1 broker".to_owned()
        } else {
            format!("{copies} brokers")
        };
        say(&format!("starting {name}"));
        let starting = tokio::task::spawn_blocking(move || Cluster::start(usize::from(copies)));
        Ok(Self {
            bench,
            nation,
            cluster: starting.await??,
            copies,
            name,
            keys_of: embedded.data.clone(),
        })
    }

    async fn end(self) -> anyhow::Result<()> {
        // It blocks until its brokers are gone.
        let cluster = self.cluster;
        tokio::task::spawn_blocking(move || drop(cluster)).await?;
        Ok(())
    }

    fn url(&self) -> String {
        format!("kafka://{}/bench", self.cluster.brokers())
    }

    /// Of three copies two have to be in sync, as by default.
    fn min_insync(&self) -> u16 {
        self.copies.div_ceil(2)
    }

    fn of(&self, what: &str) -> Case<'_> {
        of(self.bench, self.nation, what, &self.name)
    }

    fn pids(&self) -> Vec<u32> {
        let nodes = 0..self.cluster.size();
        nodes.filter_map(|node| self.cluster.pid(node)).collect()
    }

    /// The nation, moved here.
    async fn fill(&self, data: &Path, filled: &Filled) -> anyhow::Result<()> {
        say(&format!("moving {} to {}", self.nation.name(), self.name));
        let begun = Instant::now();
        let status = Command::new(&self.bench.qipp)
            .args(["log", "copy", "--to", &self.url(), "--from"])
            .arg(data)
            .args(["--replication", &self.copies.to_string()])
            .args(["--min-insync", &self.min_insync().to_string()])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await?;
        anyhow::ensure!(status.success(), "`qipp log copy` failed");
        let seconds = begun.elapsed().as_secs_f64();
        let case = self.of("moved and proved equal");
        case.told("values and lines in the log", "", filled.all())?;
        case.less("took", "s", seconds)?;
        case.more("moved", "values/s", filled.all() / seconds)?;
        let kept = taken_below(self.cluster.folder())?;
        case.told("disk", "bytes/value", kept as f64 / filled.all())
    }

    /// A process on these brokers.
    fn serve(&self, words: &[&str]) -> Serve {
        let mut serve = Serve::only(words)
            .with("QIPP_SERVE__KAFKA__REPLICATION", self.copies.to_string())
            .with(
                "QIPP_SERVE__KAFKA__MIN_INSYNC",
                self.min_insync().to_string(),
            );
        serve.words.extend(["--log".to_owned(), self.url()]);
        serve.keys_of = Some(self.keys_of.clone());
        serve
    }

    /// Starts it with nothing in its folder.
    async fn begin(&self, folder: &str, serve: &Serve) -> anyhow::Result<House> {
        let data = self.folder(folder);
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        std::fs::create_dir_all(&data)?;
        House::start_as(&self.bench.qipp, &data, serve).await
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.bench.work.join("processes").join(name)
    }

    /// Projections: by replay, from a folder, from another replica, from the checkpoint of its own; and a shard.
    async fn restore(&self, embedded: &Embedded) -> anyhow::Result<()> {
        let folder = self.folder("snapshots");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let projections = self.serve(&["projections"]);
        let from_folder =
            (projections.clone()).with("QIPP_SERVE__SNAPSHOT__FROM", folder.display().to_string());
        // It leaves its checkpoints for the others.
        let leaving = from_folder
            .clone()
            .with("QIPP_SERVE__SNAPSHOT__SAVE", "true");
        // The brokers are warm after it, as those of a nation are: nothing of it is a figure.
        let first = self.begin("first", &leaving).await?;
        let other = self.begin("other", &projections).await?;
        let case = self.of("projections by replay");
        let replay = restored(&case, &other)?;
        case.told(
            "of the time on the embedded log",
            "×",
            replay / embedded.replay,
        )?;
        other.stop().await?;
        let beside = |case: &Case<'_>, seconds: f64| {
            case.told("of the time of a replay", "%", 100.0 * seconds / replay)
        };

        let bytes = left(&first, &folder).await?;
        let case = self.of("projections from a folder");
        case.told("snapshot", "MiB", bytes as f64 / f64::from(1 << 20))?;
        let other = self.begin("other", &from_folder).await?;
        beside(&case, restored(&case, &other)?)?;
        other.stop().await?;

        let from_replica = (projections.clone())
            .with("QIPP_SERVE__SNAPSHOT__FROM", &first.url)
            .with(
                "QIPP_SERVE__SNAPSHOT__KEY_FILE",
                first.key_file("operator").display().to_string(),
            );
        let other = self.begin("other", &from_replica).await?;
        let case = self.of("projections from another replica");
        beside(&case, restored(&case, &other)?)?;
        other.stop().await?;

        first.stop().await?;
        let data = self.folder("first");
        let again = House::start_as(&self.bench.qipp, &data, &projections).await?;
        let case = self.of("projections from a checkpoint of their own");
        beside(&case, restored(&case, &again)?)?;
        again.stop().await?;

        let mut shard = projections;
        (shard.words).extend(["--shard".to_owned(), format!("0/{SHARDS}")]);
        let shard = self.begin("shard", &shard).await?;
        let case = self.of(&format!("shard 0/{SHARDS} by replay"));
        beside(&case, restored(&case, &shard)?)?;
        shard.stop().await?;
        Ok(())
    }

    /// The process that evaluates, over everything that it has never seen.
    async fn evaluate(&self) -> anyhow::Result<()> {
        let projections = self.folder("first");
        let projections = House::start_as(
            &self.bench.qipp,
            &projections,
            &self.serve(&["projections"]),
        )
        .await?;
        let alerts = self
            .serve(&["alerts"])
            .with("QIPP_SERVE__PEERS__PROJECTIONS", &projections.url);
        let house = self.begin("alerts", &alerts).await?;
        let case = self.of("evaluator by replay");
        case.less("ready after", "s", house.ready_after.as_secs_f64())?;
        match evaluated(&house, FIRST_EVALUATION).await? {
            Some(took) => case.told("rules evaluated after", "s", took.as_secs_f64())?,
            None => say("the rules were not evaluated in time; going on"),
        }
        tell_memory(&case, &house)?;
        house.stop().await?;
        projections.stop().await?;
        Ok(())
    }

    /// Returns to one process that takes them; with one broker also by way of a gateway.
    async fn submit(&self, embedded: &Embedded) -> anyhow::Result<()> {
        let (bench, nation) = (self.bench, self.nation);
        let intake = self.begin("intake", &self.serve(&["intake"])).await?;
        let case = self.of("intake by replay");
        restored(&case, &intake)?;
        let brokers = self.pids();
        let rates = submitted(bench, nation, &self.name, &intake, &brokers).await?;
        let loads = loads(bench, nation, &CLIENTS);
        for ((what, _), (rate, embedded)) in loads.iter().zip(rates.iter().zip(&embedded.rates)) {
            let share = 100.0 * rate / embedded;
            self.of(what)
                .told("of the rate on the embedded log", "%", share)?;
        }
        tell_memory(&self.of("intake after all returns"), &intake)?;
        if self.copies == 1 {
            let mut gateway =
                Serve::only(&["gateway"]).with("QIPP_SERVE__PEERS__INTAKE", &intake.url);
            gateway.keys_of = Some(self.keys_of.clone());
            let gateway = self.begin("gateway", &gateway).await?;
            let (what, mut load) = loads.first().cloned().context("there is a load")?;
            // Behind those that warmed the brokers.
            load.first = unsent(&loads) + u64::from(load.returns);
            let before = cpu_seconds(gateway.id());
            let loaded = generate(&Target::house(&gateway)?, load).await?;
            let case = self.of(&format!("{what}, by way of a gateway"));
            tell(&case, &loaded, cpu_seconds(gateway.id()) - before)?;
            let direct = rates.first().context("it was measured")?;
            case.told(
                "of the rate without it",
                "%",
                100.0 * loaded.rate() / direct,
            )?;
            tell_memory(&case, &gateway)?;
            gateway.stop().await?;
        }
        intake.stop().await?;
        let peaks = brokers.iter().map(|broker| peak_memory(*broker));
        let most = peaks.max().unwrap_or(0) as f64 / f64::from(1 << 20);
        self.of("the brokers")
            .told("peak memory of one", "MiB", most)
    }
}

/// Waits until the replica has left in the folder what it would send now, but for what is too little to be saved again. Bytes.
async fn left(replica: &House, folder: &Path) -> anyhow::Result<u64> {
    let client = replica.client("operator")?;
    let request = FetchCheckpointRequest::default();
    let mut pieces = client
        .checkpoint()
        .fetch_checkpoint(request)
        .await?
        .into_inner();
    let mut whole = 0;
    while let Some(piece) = pieces.message().await? {
        whole += piece.piece.len() as u64;
    }
    let begun = Instant::now();
    loop {
        let bytes = if folder.exists() {
            bytes_below(folder)?
        } else {
            0
        };
        if bytes * 100 >= whole * 95 {
            return Ok(bytes);
        }
        anyhow::ensure!(
            begun.elapsed() < LEAVING,
            "the replica left {bytes} bytes in the folder, and has {whole}"
        );
        tokio::time::sleep(LOOK).await;
    }
}
