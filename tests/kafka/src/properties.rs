//! The configuration of a node, as text. Everything that differs from Kafka's defaults, and why.

use std::fmt::Write as _;
use std::path::Path;

use crate::cluster::VIEWS;
use crate::secured::{Listener, secured};

/// The ports of one node.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    /// Clients and other brokers.
    pub(crate) client: u16,
    /// The quorum.
    pub(crate) controller: u16,
    /// What the forwarders of the views connect to.
    pub(crate) views: [u16; VIEWS],
    /// Where the forwarders listen: what clients of a view are told.
    pub(crate) forwarders: [u16; VIEWS],
    /// Where clients have to say who they are, in the order of [`Listener::ALL`].
    pub(crate) secured: Option<[u16; Listener::ALL.len()]>,
}

/// `server.properties` of a node that is broker and controller.
pub(crate) fn properties(node: usize, nodes: &[Ports], data: &Path, keys: &Path) -> String {
    let mut text = String::new();
    let mut set = |key: &str, value: &str| {
        writeln!(text, "{key}={value}").expect("a string takes everything");
    };
    set("process.roles", "broker,controller");
    set("node.id", &node.to_string());
    set("log.dirs", &data.display().to_string());
    listeners(&mut set, &nodes[node]);
    quorum(&mut set, nodes);
    replication(&mut set, nodes.len());
    quick(&mut set);
    small(&mut set);
    if nodes[node].secured.is_some() {
        secured(&mut set, keys);
    }
    text
}

fn listeners(set: &mut impl FnMut(&str, &str), ports: &Ports) {
    let mut listeners = format!(
        "CLIENT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
        ports.client, ports.controller
    );
    let mut advertised = format!("CLIENT://127.0.0.1:{}", ports.client);
    let mut protocols = "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for (view, (port, forwarder)) in ports.views.iter().zip(&ports.forwarders).enumerate() {
        listeners += &format!(",VIEW{view}://127.0.0.1:{port}");
        advertised += &format!(",VIEW{view}://127.0.0.1:{forwarder}");
        protocols += &format!(",VIEW{view}:PLAINTEXT");
    }
    for (listener, port) in Listener::ALL.iter().zip(ports.secured.iter().flatten()) {
        let name = listener.name();
        listeners += &format!(",{name}://127.0.0.1:{port}");
        advertised += &format!(",{name}://127.0.0.1:{port}");
        protocols += &format!(",{name}:{}", listener.protocol());
    }
    set("listeners", &listeners);
    set("advertised.listeners", &advertised);
    set("listener.security.protocol.map", &protocols);
    set("inter.broker.listener.name", "CLIENT");
    set("controller.listener.names", "CONTROLLER");
}

fn quorum(set: &mut impl FnMut(&str, &str), nodes: &[Ports]) {
    let voters: Vec<String> = (nodes.iter().enumerate())
        .map(|(node, ports)| format!("{node}@127.0.0.1:{}", ports.controller))
        .collect();
    set("controller.quorum.voters", &voters.join(","));
}

fn replication(set: &mut impl FnMut(&str, &str), nodes: usize) {
    let replicas = nodes.to_string();
    let in_sync = if nodes > 1 { "2" } else { "1" };
    for key in [
        "default.replication.factor",
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "share.coordinator.state.topic.replication.factor",
    ] {
        set(key, &replicas);
    }
    for key in [
        "min.insync.replicas",
        "transaction.state.log.min.isr",
        "share.coordinator.state.topic.min.isr",
    ] {
        set(key, in_sync);
    }
    // A topic that nobody created is a mistake in what is tested.
    set("auto.create.topics.enable", "false");
}

/// A node that is gone is noticed in seconds.
fn quick(set: &mut impl FnMut(&str, &str)) {
    set("broker.session.timeout.ms", "3000");
    set("broker.heartbeat.interval.ms", "500");
    set("controller.quorum.fetch.timeout.ms", "1500");
    set("controller.quorum.election.timeout.ms", "750");
    set("controller.quorum.election.backoff.max.ms", "500");
    set("controller.quorum.request.timeout.ms", "1000");
    set("replica.lag.time.max.ms", "5000");
    set("replica.socket.timeout.ms", "3000");
    // A node that comes back before the others waits for them, and does not give up.
    set("initial.broker.registration.timeout.ms", "600000");
    set("group.initial.rebalance.delay.ms", "0");
    set("group.min.session.timeout.ms", "1000");
    set("group.consumer.min.session.timeout.ms", "1000");
    set("group.consumer.session.timeout.ms", "6000");
    set("group.consumer.min.heartbeat.interval.ms", "100");
    set("group.consumer.heartbeat.interval.ms", "1000");
}

/// Three brokers share a small machine with what is tested.
fn small(set: &mut impl FnMut(&str, &str)) {
    for key in [
        "offsets.topic.num.partitions",
        "transaction.state.log.num.partitions",
        "share.coordinator.state.topic.num.partitions",
    ] {
        set(key, "3");
    }
    // Each listener has threads of its own.
    set("num.network.threads", "2");
    set("num.io.threads", "4");
    set("background.threads", "2");
    set("log.cleaner.dedupe.buffer.size", "4194304");
    set("log.index.size.max.bytes", "1048576");
    set("log.preallocate", "false");
}
