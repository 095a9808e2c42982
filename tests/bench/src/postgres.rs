//! The same work on PostgreSQL: schema, load, submissions and queries. The SQL stands in `postgres.sql` and `postgres_submit.sql`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use futures::{SinkExt as _, future};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Statement};
use tokio_util::sync::CancellationToken;

use crate::load::{Load, Loaded, Mode, WINDOW, counts, place};
use crate::nation::{Figure, Nation, SCHEMES};
use crate::parts::Bench;
use crate::results::{Case, latencies, note};
use crate::say;

/// Bytes that go to COPY at a time.
const CHUNK: usize = 1 << 20;

/// A connection; its task ends when the client is dropped.
pub async fn connect(address: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(address, NoTls)
        .await
        .with_context(|| format!("can't reach PostgreSQL at `{address}`"))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            say(&format!("the connection to PostgreSQL ended: {error}"));
        }
    });
    Ok(client)
}

/// Version and settings, as it says them itself.
pub async fn about(client: &Client) -> anyhow::Result<Vec<(String, String)>> {
    let version: String = client.query_one("SHOW server_version", &[]).await?.get(0);
    let mut about = vec![("server_version".to_owned(), version)];
    let rows = client
        .query(
            "SELECT name, current_setting(name) FROM pg_settings WHERE source IN ('command line', 'configuration file') \
             AND name NOT IN ('DateStyle', 'TimeZone', 'log_timezone', 'unix_socket_directories', 'listen_addresses', 'port', \
             'default_text_search_config') AND name NOT LIKE 'lc_%' AND name NOT LIKE 'data_dir%' ORDER BY name",
            &[],
        )
        .await?;
    about.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
    Ok(about)
}

/// A fresh schema with the organisations and markers of the nation.
pub async fn schema(client: &Client, nation: Nation) -> anyhow::Result<()> {
    client
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        .await?;
    client.batch_execute(include_str!("postgres.sql")).await?;
    client
        .batch_execute(include_str!("postgres_submit.sql"))
        .await?;
    let organisations = (0..nation.orgs).map(|org| {
        let icb = nation.icb_of(org);
        format!(
            "{org}\t{icb}\t{}\t{}\n",
            nation.region_of_icb(icb),
            nation.org(org)
        )
    });
    copy(client, "organisation", organisations).await?;
    let markers =
        (0..nation.markers).map(|marker| format!("{marker}\t{}\n", nation.marker(marker)));
    copy(client, "marker", markers).await?;
    Ok(())
}

/// How long the steps of loading took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// COPY of the history.
    pub copy: Duration,
    /// Keys and indexes of the history.
    pub history_keys: Duration,
    /// Current figures from the history, with keys and indexes.
    pub current: Duration,
    /// Roll-ups from the current figures.
    pub roll_ups: Duration,
}

impl Steps {
    /// From the history to everything that is derived from it: what a fold is to us.
    pub fn fold(&self) -> Duration {
        self.current + self.roll_ups
    }

    /// All of it.
    pub fn all(&self) -> Duration {
        self.copy + self.history_keys + self.fold()
    }
}

/// Loads the history unless it is there, untouched, from an earlier part. Whoever goes on to submit takes the mark away.
pub async fn loaded(client: &Client, nation: Nation) -> anyhow::Result<()> {
    let marked = client
        .query_opt("SELECT obj_description('public'::regnamespace)", &[])
        .await?
        .and_then(|row| row.get::<_, Option<String>>(0));
    if marked != Some(mark(nation)) {
        load(client, nation).await?;
    }
    client
        .batch_execute("COMMENT ON SCHEMA public IS 'submitted to'")
        .await?;
    Ok(())
}

fn mark(nation: Nation) -> String {
    format!("{} of seed {}", nation.name(), nation.seed)
}

/// Loads the whole history and derives everything from it.
pub async fn load(client: &Client, nation: Nation) -> anyhow::Result<Steps> {
    schema(client, nation).await?;
    let mut steps = Steps::default();
    let begun = Instant::now();
    // TRUNCATE in the same transaction: with wal_level=minimal the rows are not logged but synced at the end.
    client
        .batch_execute("BEGIN; TRUNCATE return, observation, savings_line")
        .await?;
    copy(client, "return", headers(nation)).await?;
    copy(client, "observation", values(nation)).await?;
    copy(client, "savings_line", lines(nation)).await?;
    client.batch_execute("COMMIT").await?;
    steps.copy = begun.elapsed();
    say(&format!(
        "PostgreSQL: history copied after {:.0} s",
        steps.copy.as_secs_f64()
    ));
    steps.history_keys = timed(
        client,
        "ALTER TABLE return ADD PRIMARY KEY (return_id);
         CREATE UNIQUE INDEX return_by_revision ON return (org_id, dataset, period, revision);
         CREATE UNIQUE INDEX return_by_key ON return (org_id, dataset, period, idempotency_key) WHERE idempotency_key <> '';
         ALTER TABLE observation ADD PRIMARY KEY (return_id, marker_id);
         ALTER TABLE savings_line ADD PRIMARY KEY (return_id, scheme);
         SELECT setval('return_ids', (SELECT coalesce(max(return_id), 1) FROM return));
         ANALYZE return, observation, savings_line, organisation, marker",
    )
    .await?;
    steps.current = timed(
        client,
        "BEGIN;
         TRUNCATE return_head, observation_current;
         INSERT INTO return_head
             SELECT DISTINCT ON (org_id, dataset, period) org_id, period, dataset, revision, return_id
             FROM return ORDER BY org_id, dataset, period, revision DESC;
         ANALYZE return_head;
         INSERT INTO observation_current
             SELECT h.org_id, o.marker_id, h.period, o.missing, o.numerator, o.denominator
             FROM observation o JOIN return_head h USING (return_id) WHERE h.dataset = 2;
         ALTER TABLE return_head ADD PRIMARY KEY (org_id, dataset, period);
         ALTER TABLE observation_current ADD PRIMARY KEY (org_id, marker_id, period);
         CREATE INDEX observation_current_by_marker ON observation_current (marker_id, period)
             INCLUDE (org_id, missing, numerator, denominator);
         COMMIT;
         VACUUM (ANALYZE) observation_current, return_head",
    )
    .await?;
    steps.roll_ups = timed(
        client,
        "INSERT INTO roll_up
             SELECT 2, o.icb_id, c.marker_id, c.period, sum(c.numerator), sum(c.denominator), count(c.numerator), count(c.missing)
             FROM observation_current c JOIN organisation o USING (org_id) GROUP BY 2, 3, 4;
         INSERT INTO roll_up
             SELECT 1, i.region_id, r.marker_id, r.period, sum(r.numerator), sum(r.denominator), sum(r.organisations), sum(r.missing)
             FROM roll_up r JOIN (SELECT DISTINCT icb_id, region_id FROM organisation) i ON i.icb_id = r.node
             WHERE r.level = 2 GROUP BY 2, 3, 4;
         ANALYZE roll_up",
    )
    .await?;
    say(&format!(
        "PostgreSQL: everything derived after {:.0} s",
        steps.all().as_secs_f64()
    ));
    // What loading left to write is not to be written while something else is measured.
    client.batch_execute("CHECKPOINT").await?;
    let comment = format!("COMMENT ON SCHEMA public IS '{}'", mark(nation));
    client.batch_execute(&comment).await?;
    Ok(steps)
}

/// Statements one by one, because some of them can't run inside of a transaction.
async fn timed(client: &Client, script: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for statement in script.split(';') {
        client
            .batch_execute(statement)
            .await
            .with_context(|| format!("in `{}`", statement.trim()))?;
    }
    Ok(begun.elapsed())
}

/// Bytes on disk, by what they are for.
pub async fn sizes(client: &Client, case: &Case<'_>, values: f64) -> anyhow::Result<f64> {
    let parts = [
        ("history with keys", "return observation savings_line"),
        ("current with indexes", "return_head observation_current"),
        ("roll-ups", "roll_up"),
    ];
    let mut all = 0.0;
    for (what, tables) in parts {
        let mut bytes = 0;
        for table in tables.split(' ') {
            let row = client
                .query_one(
                    "SELECT pg_total_relation_size($1::text::regclass)",
                    &[&table],
                )
                .await?;
            bytes += row.get::<_, i64>(0);
        }
        case.told(what, "bytes/value", bytes as f64 / values)?;
        all += bytes as f64;
    }
    Ok(all)
}

async fn copy(
    client: &Client,
    table: &str,
    rows: impl Iterator<Item = String>,
) -> anyhow::Result<u64> {
    let sink = client
        .copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN"))
        .await?;
    let mut sink = std::pin::pin!(sink);
    let mut chunk = String::with_capacity(CHUNK + 4096);
    for row in rows {
        chunk.push_str(&row);
        if chunk.len() >= CHUNK {
            sink.send(Bytes::from(std::mem::replace(
                &mut chunk,
                String::with_capacity(CHUNK + 4096),
            )))
            .await?;
        }
    }
    sink.send(Bytes::from(chunk)).await?;
    Ok(sink.as_mut().finish().await?)
}

/// Quality returns have the numbers of their order; savings returns follow.
fn headers(nation: Nation) -> impl Iterator<Item = String> {
    let quality = nation
        .history()
        .map(|(org, month, revision)| (org, month, revision, 2));
    let savings = (0..nation.months)
        .flat_map(move |month| (0..nation.orgs).map(move |org| (org, month, 1, 1)));
    quality.chain(savings).enumerate().map(move |(id, (org, month, revision, dataset))| {
        let at = nation.received_ms(month) / 1000;
        let status = 1 + revision;
        format!("{}\t{org}\t{month}\t{dataset}\t{revision}\t{status}\t{org}-{month}-{revision}\tbench-collector\t{}\n", id + 1, time(at))
    })
}

fn time(unix_seconds: i64) -> String {
    jiff::Timestamp::from_second(unix_seconds)
        .map(|at| at.to_string())
        .unwrap_or_default()
}

fn values(nation: Nation) -> impl Iterator<Item = String> {
    nation
        .history()
        .enumerate()
        .map(move |(id, (org, month, revision))| {
            use std::fmt::Write as _;
            let mut rows = String::with_capacity(nation.markers as usize * 40);
            for marker in 0..nation.markers {
                let written = match nation.figure(org, month, marker, revision) {
                    Figure::Missing(reason) => {
                        writeln!(rows, "{}\t{marker}\t{reason}\t\\N\t\\N", id + 1)
                    }
                    Figure::Counted(n, d) => {
                        writeln!(rows, "{}\t{marker}\t\\N\t{n}000\t{d}000", id + 1)
                    }
                };
                written.expect("a String takes everything");
            }
            rows
        })
}

fn lines(nation: Nation) -> impl Iterator<Item = String> {
    let first = nation.history().count() + 1;
    let returns =
        (0..nation.months).flat_map(move |month| (0..nation.orgs).map(move |org| (org, month)));
    returns.enumerate().flat_map(move |(number, (org, month))| {
        (0..SCHEMES).map(move |scheme| {
            let (plan, actual) = nation.savings(org, month, scheme);
            format!(
                "{}\t{scheme}\t{plan}\t{actual}\t{}\t{}\n",
                first + number,
                plan * 12,
                actual / 2
            )
        })
    })
}

/// What to submit to PostgreSQL, and how. Bulk is a transaction for 64 returns, pipelined.
#[derive(Clone, Debug, Args)]
pub struct PgLoadArgs {
    /// Where PostgreSQL is.
    #[arg(long)]
    pub postgres: String,
    /// What and how.
    #[command(flatten)]
    pub load: Load,
}

/// The parameters of one call.
#[derive(Debug)]
struct Sent {
    org: i32,
    period: i16,
    key: String,
    markers: Vec<i16>,
    missing: Vec<Option<i16>>,
    numerators: Vec<Option<i64>>,
    denominators: Vec<Option<i64>>,
}

impl Sent {
    fn new(nation: Nation, org: u32, month: u32) -> anyhow::Result<Self> {
        let mut sent = Self {
            org: i32::try_from(org)?,
            period: i16::try_from(month)?,
            key: format!("{org}-{month}-1"),
            markers: Vec::new(),
            missing: Vec::new(),
            numerators: Vec::new(),
            denominators: Vec::new(),
        };
        for marker in 0..nation.markers {
            let figure = nation.figure(org, month, marker, 1);
            let (missing, parts) = match figure {
                Figure::Missing(reason) => (Some(i16::from(reason)), None),
                Figure::Counted(n, d) => (None, Some((i64::from(n) * 1000, i64::from(d) * 1000))),
            };
            sent.markers.push(i16::try_from(marker)?);
            sent.missing.push(missing);
            sent.numerators.push(parts.map(|(n, _)| n));
            sent.denominators.push(parts.map(|(_, d)| d));
        }
        Ok(sent)
    }
}

const SUBMIT: &str = "SELECT decision FROM submit_return($1, $2, 2::smallint, $3, 0, 'bench-collector', $4, $5, $6, $7)";

/// Runs the load, like [`crate::load::run`].
pub async fn run_load(args: PgLoadArgs) -> anyhow::Result<Loaded> {
    let PgLoadArgs {
        postgres,
        load: args,
    } = args;
    let nation = args.nation();
    let clients = u64::from(args.clients);
    let mut shares: Vec<Vec<Sent>> = (0..args.clients).map(|_| Vec::new()).collect();
    for number in 0..u64::from(args.returns) {
        let (org, month) = place(args.orgs, args.first + number);
        shares[usize::try_from(number % clients)?].push(Sent::new(nation, org, month)?);
    }
    let mut ready = Vec::new();
    for share in shares {
        let client = connect(&postgres).await?;
        let submit = client.prepare(SUBMIT).await?;
        ready.push((client, submit, share));
    }
    let cpu = crate::process::cpu_seconds(std::process::id());
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for (number, (client, submit, share)) in ready.into_iter().enumerate() {
        running.spawn(one(client, submit, share, args, start, number));
    }
    let (mut accepted, mut refused, mut all) = (0, 0, latencies());
    while let Some(done) = running.join_next().await {
        let (ok, not, histogram) = done??;
        accepted += ok;
        refused += not;
        all += histogram;
    }
    Ok(Loaded {
        accepted,
        refused,
        seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: crate::process::cpu_seconds(std::process::id()) - cpu,
        latencies: counts(&all),
        refusal: String::new(),
    })
}

async fn one(
    mut client: Client,
    submit: Statement,
    share: Vec<Sent>,
    args: Load,
    start: Instant,
    number: usize,
) -> anyhow::Result<(u64, u64, hdrhistogram::Histogram<u64>)> {
    let until = start + Duration::from_secs_f64(args.seconds);
    let (mut accepted, mut refused, mut histogram) = (0, 0, latencies());
    let batch = match args.mode {
        Mode::Unary => 1,
        Mode::Bulk => WINDOW,
    };
    let every = if args.rate > 0.0 {
        f64::from(args.clients) * batch as f64 / args.rate
    } else {
        0.0
    };
    for (turn, some) in share.chunks(batch).enumerate() {
        let mut since = Instant::now();
        if every > 0.0 {
            since = start
                + Duration::from_secs_f64(
                    every * (turn as f64 + number as f64 / f64::from(args.clients)),
                );
            tokio::time::sleep_until(since.into()).await;
        }
        if since >= until {
            break;
        }
        let decisions = match args.mode {
            Mode::Unary => vec![call(&client, &submit, &some[0]).await?],
            Mode::Bulk => {
                let transaction = client.transaction().await?;
                let calls = some
                    .iter()
                    .map(|sent| call(transaction.client(), &submit, sent));
                let decisions = future::try_join_all(calls).await?;
                transaction.commit().await?;
                decisions
            }
        };
        for decision in decisions {
            note(&mut histogram, since.elapsed());
            if decision == "accepted" {
                accepted += 1
            } else {
                refused += 1
            }
        }
    }
    Ok((accepted, refused, histogram))
}

async fn call(client: &Client, submit: &Statement, sent: &Sent) -> anyhow::Result<String> {
    let Sent {
        org,
        period,
        key,
        markers,
        missing,
        numerators,
        denominators,
    } = sent;
    let row = client
        .query_one(
            submit,
            &[org, period, key, markers, missing, numerators, denominators],
        )
        .await?;
    Ok(row.get(0))
}

/// The queries, prepared.
#[derive(Clone, Debug)]
pub struct Queries {
    client: Arc<Client>,
    roll_up: Statement,
    roll_up_raw: Statement,
    month: Statement,
    month_raw: Statement,
    series: Statement,
    scorecard: Statement,
    markers: Vec<i16>,
    last: i16,
    months: i16,
}

impl Queries {
    /// Prepares them.
    pub async fn new(address: &str, nation: Nation) -> anyhow::Result<Self> {
        let client = connect(address).await?;
        let figures = "numerator, denominator, organisations, missing";
        let sums = "sum(numerator)::bigint, sum(denominator)::bigint, count(numerator)::int, count(missing)::int";
        let months = i16::try_from(nation.months)?;
        Ok(Self {
            roll_up: client
                .prepare(&format!("SELECT period, node, {figures} FROM roll_up WHERE level = 1 AND marker_id = $1 AND period BETWEEN $2 AND $3 ORDER BY period, node"))
                .await?,
            roll_up_raw: client
                .prepare(&format!("SELECT period, region_id, {sums} FROM observation_current JOIN organisation USING (org_id) WHERE marker_id = $1 AND period BETWEEN $2 AND $3 GROUP BY 1, 2 ORDER BY 1, 2"))
                .await?,
            month: client
                .prepare(&format!("SELECT node, marker_id, {figures} FROM roll_up WHERE level = 2 AND period = $1 ORDER BY node, marker_id"))
                .await?,
            month_raw: client
                .prepare(&format!("SELECT icb_id, marker_id, {sums} FROM observation_current JOIN organisation USING (org_id) WHERE marker_id = ANY ($2) AND period = $1 GROUP BY 1, 2 ORDER BY 1, 2"))
                .await?,
            series: client
                .prepare("SELECT period, missing, numerator, denominator FROM observation_current WHERE org_id = $1 AND marker_id = $2 AND period BETWEEN $3 AND $4 ORDER BY period")
                .await?,
            scorecard: client
                .prepare("SELECT o.marker_id, o.missing, o.numerator, o.denominator FROM return_head h JOIN observation o USING (return_id) WHERE h.org_id = $1 AND h.dataset = 2 AND h.period = $2 ORDER BY 1")
                .await?,
            client: Arc::new(client),
            markers: (0..i16::try_from(nation.markers)?).collect(),
            last: months - 1,
            months,
        })
    }

    /// One marker by region over all months of the history: cells, and the sum of the numerators.
    pub async fn roll_up(&self, marker: i16, raw: bool) -> anyhow::Result<(usize, i64)> {
        let statement = if raw {
            &self.roll_up_raw
        } else {
            &self.roll_up
        };
        let rows = self
            .client
            .query(statement, &[&marker, &0_i16, &(self.months - 1)])
            .await?;
        Ok((
            rows.len(),
            rows.iter()
                .filter_map(|row| row.get::<_, Option<i64>>(2))
                .sum(),
        ))
    }

    /// The last month of the history, all markers by integrated care board.
    pub async fn month(&self, raw: bool) -> anyhow::Result<(usize, i64)> {
        let rows = if raw {
            self.client
                .query(&self.month_raw, &[&self.last, &self.markers])
                .await?
        } else {
            self.client.query(&self.month, &[&self.last]).await?
        };
        Ok((
            rows.len(),
            rows.iter()
                .filter_map(|row| row.get::<_, Option<i64>>(2))
                .sum(),
        ))
    }

    /// One marker of one organisation over all months of the history.
    pub async fn series(&self, org: i32, marker: i16) -> anyhow::Result<(usize, i64)> {
        let rows = self
            .client
            .query(&self.series, &[&org, &marker, &0_i16, &(self.months - 1)])
            .await?;
        Ok((
            rows.len(),
            rows.iter()
                .filter_map(|row| row.get::<_, Option<i64>>(2))
                .sum(),
        ))
    }

    /// All markers of one organisation in the last month of the history.
    pub async fn scorecard(&self, org: i32) -> anyhow::Result<(usize, i64)> {
        let rows = self
            .client
            .query(&self.scorecard, &[&org, &self.last])
            .await?;
        Ok((
            rows.len(),
            rows.iter()
                .filter_map(|row| row.get::<_, Option<i64>>(2))
                .sum(),
        ))
    }
}

/// The job that refreshes the roll-ups once a second.
#[derive(Debug)]
pub struct Refreshing {
    stop: CancellationToken,
    job: JoinHandle<anyhow::Result<()>>,
}

impl Refreshing {
    /// Ends it, after the refresh that may be under way.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.job.await?
    }
}

/// Begins to refresh.
pub fn keep_refreshing(bench: &Bench) -> Refreshing {
    let address = bench.args.postgres.clone().unwrap_or_default();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let job = tokio::spawn(async move {
        let client = connect(&address).await?;
        let refresh = client.prepare("SELECT refresh_roll_ups()").await?;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = stopped.cancelled() => return Ok(()),
                _ = second.tick() => {}
            }
            client.query_one(&refresh, &[]).await?;
        }
    });
    Refreshing { stop, job }
}

/// The first process of the server, for its processor time. Not asked of the server, because that tells only its children.
pub async fn server_process(client: &Client) -> anyhow::Result<u32> {
    let backend: i32 = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await?
        .get(0);
    let text = std::fs::read_to_string(format!("/proc/{backend}/status"))
        .context("PostgreSQL does not run on this machine")?;
    let parent = text.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent
        .and_then(|parent| parent.trim().parse().ok())
        .context("the parent of a backend")
}
