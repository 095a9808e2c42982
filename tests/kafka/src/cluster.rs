//! One or three nodes, started together, ended together, and everything that can be done to them in between.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::distribution::{Distribution, LOOK, target};
use crate::error::{Code, Error};
use crate::node::Node;
use crate::ports::{free_ports, random};
use crate::properties::Ports;
use crate::secured::{Listener, make_keys, user};
use crate::shared::{EXISTING, existing};
use crate::view::View;
use crate::watchdog::Watchdog;
use crate::wire;

/// How many views a cluster has.
pub const VIEWS: usize = 3;
/// The longest that a start may take, on a machine that has much else to do.
const START: Duration = Duration::from_secs(120);
/// The longest that a new controller may take.
const ELECTION: Duration = Duration::from_secs(60);
/// How often other ports are tried when somebody took one in the moment between choosing it and listening on it.
const ATTEMPTS: usize = 3;

/// Brokers of one's own. Nodes are numbered from 0, as in Kafka (`node.id`); each is broker and controller at once.
///
/// A node that ends without being told to is an error of every call that looks at the nodes, until [`kill`](Self::kill) has taken note of it.
///
/// All of it is gone when this is dropped, and when the process ends, however it ends. When a test panics, the logs of the brokers are kept
/// in `kafka/failed` of the target folder.
#[derive(Debug)]
pub struct Cluster {
    kafka: Distribution,
    folder: PathBuf,
    nodes: Vec<Node>,
    views: Vec<View>,
    secured: Vec<[u16; Listener::ALL.len()]>,
    watchdog: Watchdog,
}

impl Cluster {
    /// Starts so many brokers, 1 or 3, and waits until they are in service. Three keep three copies, of which two have to be in sync.
    ///
    /// # Errors
    /// Those of [`Distribution::find`]; `KAFKA_NOT_OURS` when the tests are pointed at an existing cluster, because nothing of it may be
    /// killed; `KAFKA_NOT_READY` with what the broker said last.
    pub fn start(brokers: usize) -> Result<Self, Error> {
        if brokers != 1 && brokers != 3 {
            return Err(Error::new(
                Code::WrongState,
                format!("a cluster of 1 or 3 brokers, not of {brokers}"),
            ));
        }
        Self::begin(brokers, false)
    }

    /// The same, and clients may come by listeners at which they have to say who they are.
    pub(crate) fn begin(brokers: usize, secured: bool) -> Result<Self, Error> {
        if existing().is_some() {
            return Err(Error::new(
                Code::NotOurs,
                format!(
                    "{EXISTING} names a cluster, and this starts (and may kill) brokers of its own: unset {EXISTING}, or leave this test out"
                ),
            ));
        }
        let kafka = Distribution::find()?;
        let mut attempts = 1;
        loop {
            match Self::attempt(brokers, secured, &kafka) {
                Err(error) if error.code == Code::PortTaken && attempts < ATTEMPTS => attempts += 1,
                result => return result,
            }
        }
    }

    fn attempt(brokers: usize, secured: bool, kafka: &Distribution) -> Result<Self, Error> {
        let name = format!("kafka-{}-{:08x}", std::process::id(), random() >> 32);
        let folder = target().join("tmp").join(name);
        fs::create_dir_all(&folder).map_err(Error::system(folder.display()))?;
        let watchdog = Watchdog::start(&folder)?;
        if secured {
            make_keys(kafka, &folder)?;
        }
        let (ports, views) = addresses(brokers, secured).map_err(Error::system("ports"))?;
        let nodes: Result<_, _> = (0..brokers)
            .map(|n| Node::new(n, &ports, &folder))
            .collect();
        let cluster = Self {
            kafka: kafka.clone(),
            folder,
            secured: ports.iter().filter_map(|node| node.secured).collect(),
            nodes: nodes?,
            views,
            watchdog,
        };
        let id = identity();
        let user = secured.then(user);
        cluster.each(|node| {
            node.format(kafka, &id, user.as_deref())?;
            node.spawn(kafka, &cluster.watchdog)
        })?;
        cluster.ready()?;
        Ok(cluster)
    }

    /// The same for all nodes at once.
    fn each(&self, act: impl Fn(&Node) -> Result<(), Error> + Sync) -> Result<(), Error> {
        std::thread::scope(|scope| {
            let act = &act;
            let started: Vec<_> = (self.nodes.iter())
                .map(|node| scope.spawn(move || act(node)))
                .collect();
            (started.into_iter()).try_for_each(|thread| thread.join().expect("it does not panic"))
        })
    }

    /// The bootstrap list: `127.0.0.1:port,…`.
    #[must_use]
    pub fn brokers(&self) -> String {
        let all: Vec<String> = self.nodes.iter().map(|n| n.client.to_string()).collect();
        all.join(",")
    }

    /// The bootstrap list of a listener at which clients have to say who they are; empty when the cluster has none.
    pub(crate) fn secured(&self, listener: Listener) -> String {
        let port = |ports: &[u16; Listener::ALL.len()]| ports[listener as usize];
        let all = self
            .secured
            .iter()
            .map(|ports| format!("127.0.0.1:{}", port(ports)));
        all.collect::<Vec<_>>().join(",")
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// SIGKILL, and waits until the node is gone.
    ///
    /// # Errors
    /// `KAFKA_WRONG_STATE` when there is no such node, or it is down.
    pub fn kill(&self, node: usize) -> Result<(), Error> {
        self.node(node)?.kill(&self.watchdog)
    }

    /// SIGTERM, and waits until the node is gone. True when it left in order; one that does not within 10 s (there is no quorum to hand
    /// over to) is killed.
    ///
    /// # Errors
    /// `KAFKA_WRONG_STATE` when there is no such node, or it is down.
    pub fn stop(&self, node: usize) -> Result<bool, Error> {
        self.node(node)?.stop(&self.watchdog)
    }

    /// Starts a node again, on the same data and ports, and waits until it is in service. It does not wait while fewer than a majority run,
    /// because none can be in service then: [`ready`](Self::ready) does, when the others are started.
    ///
    /// # Errors
    /// `KAFKA_WRONG_STATE` when it runs; `KAFKA_NOT_READY`; `KAFKA_PORT_TAKEN` when somebody listens on its port by now.
    pub fn start_node(&self, node: usize) -> Result<(), Error> {
        self.node(node)?.spawn(&self.kafka, &self.watchdog)?;
        if self.awake()?.len() * 2 > self.nodes.len() {
            self.ready()?;
        }
        Ok(())
    }

    /// SIGSTOP: the node keeps its connections and says nothing.
    ///
    /// # Errors
    /// `KAFKA_WRONG_STATE` when there is no such node, or it is down.
    pub fn pause(&self, node: usize) -> Result<(), Error> {
        self.node(node)?.pause(true)
    }

    /// SIGCONT: the node goes on as if nothing had happened.
    ///
    /// # Errors
    /// `KAFKA_WRONG_STATE` when there is no such node, or it is down.
    pub fn resume(&self, node: usize) -> Result<(), Error> {
        self.node(node)?.pause(false)
    }

    /// Waits until every node that runs (and is not paused) knows all of these to be in service.
    ///
    /// # Errors
    /// `KAFKA_NOT_READY` when one ends, or two minutes have passed.
    pub fn ready(&self) -> Result<(), Error> {
        let until = Instant::now() + START;
        let expected = self.awake()?;
        for node in expected.iter().map(|number| &self.nodes[*number]) {
            loop {
                let known = wire::brokers(node.client);
                if known
                    .as_ref()
                    .is_ok_and(|known| known.is_superset(&expected))
                {
                    break;
                }
                node.awake()?;
                if Instant::now() > until {
                    return Err(node.trouble(&format!(
                        "not in service in time: it knows {known:?} of {expected:?}"
                    )));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// The node that is the active controller. While one is elected, waits for it.
    ///
    /// # Errors
    /// `KAFKA_NOT_READY` when there is none within a minute.
    pub fn controller(&self) -> Result<usize, Error> {
        let until = Instant::now() + ELECTION;
        loop {
            let awake = self.awake()?;
            // Metadata won't do: under KRaft a broker names any broker as the controller. What the nodes noted of the last election does.
            let elected = (self.nodes.iter()).filter_map(|node| leader(&node.quorum_state()));
            if let Some((_, Some(leader))) = elected.max()
                && awake.contains(&leader)
            {
                return Ok(leader);
            }
            if Instant::now() > until {
                return Err(Error::new(
                    Code::NotReady,
                    format!("no controller among the nodes {awake:?}"),
                ));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The nodes that run and are not paused.
    ///
    /// # Errors
    /// `KAFKA_NOT_READY` when one ended without being told to.
    pub fn awake(&self) -> Result<BTreeSet<usize>, Error> {
        let mut awake = BTreeSet::new();
        for node in &self.nodes {
            if node.awake()? {
                awake.insert(node.number);
            }
        }
        Ok(awake)
    }

    /// Other addresses of the same brokers, which can be cut. Numbered from 0, below [`VIEWS`].
    ///
    /// # Panics
    /// When there is no such view.
    #[must_use]
    pub fn view(&self, number: usize) -> &View {
        &self.views[number]
    }

    /// The number of the node's process, while it runs: to look at its memory, say.
    #[must_use]
    pub fn pid(&self, node: usize) -> Option<u32> {
        self.nodes.get(node).and_then(Node::pid)
    }

    /// What the node has said so far: a file that is gone with the cluster.
    ///
    /// # Errors
    /// `KAFKA_WRONG_STATE` when there is no such node.
    pub fn log(&self, node: usize) -> Result<PathBuf, Error> {
        Ok(self.node(node)?.log())
    }

    /// Where all of it is kept while it lives.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn node(&self, number: usize) -> Result<&Node, Error> {
        let missing = || Error::new(Code::WrongState, format!("there is no node {number}"));
        self.nodes.get(number).ok_or_else(missing)
    }

    /// What a failed test leaves for those who look into it.
    fn keep_logs(&self) {
        let kept = target().join("kafka/failed");
        let _ = fs::create_dir_all(&kept);
        let cluster = self
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        for node in &self.nodes {
            let name = format!("{cluster}-node{}.log", node.number);
            let _ = fs::copy(node.log(), kept.join(name));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_logs();
        }
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            // The watchdog, dropped after this, does what can't be done here, and removes the folder.
            let _ = node.kill(&self.watchdog);
        }
    }
}

/// Ports for all nodes, and the forwarders of the views.
fn addresses(brokers: usize, secured: bool) -> std::io::Result<(Vec<Ports>, Vec<View>)> {
    let each = 2 + VIEWS + if secured { Listener::ALL.len() } else { 0 };
    let free = free_ports(brokers * each)?;
    let mut nodes: Vec<Ports> = (free.chunks(each))
        .map(|ports| Ports {
            client: ports[0],
            controller: ports[1],
            views: std::array::from_fn(|view| ports[2 + view]),
            forwarders: [0; VIEWS],
            // As many as are left, or none.
            secured: ports[2 + VIEWS..].try_into().ok(),
        })
        .collect();
    let mut views = Vec::new();
    for number in 0..VIEWS {
        let upstream: Vec<u16> = nodes.iter().map(|node| node.views[number]).collect();
        let view = View::start(&upstream)?;
        for (node, port) in nodes.iter_mut().zip(view.ports()) {
            node.forwarders[number] = port;
        }
        views.push(view);
    }
    Ok((nodes, views))
}

/// 16 bytes in the base64 of Kafka: another one each time, so that nodes of two clusters never take each other for their own.
fn identity() -> String {
    format!("{:016x}{:05x}A", random(), random() >> 44)
}

/// The epoch of the last election that a node knows of, and who won it. Nothing while it does not know, or is about to write.
fn leader(noted: &Path) -> Option<(u64, Option<usize>)> {
    let noted: Value = serde_json::from_slice(&fs::read(noted).ok()?).ok()?;
    let leader = noted["leaderId"].as_i64()?;
    Some((noted["leaderEpoch"].as_u64()?, usize::try_from(leader).ok()))
}
