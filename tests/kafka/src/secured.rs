//! A broker that wants to know who comes: passwords with and without TLS, certificates of both sides. Keys are made on the spot, by the keytool
//! that every Java has, and are gone with the broker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::cluster::Cluster;
use crate::distribution::Distribution;
use crate::error::{Code, Error};

/// The one user that there is, by SASL/PLAIN and by SCRAM-SHA-512.
pub const USER: &str = "qipp";
/// The password of [`USER`], and of all key stores. Nothing that it opens outlives the test.
pub const PASSWORD: &str = "of-no-worth";

/// Where a client comes to a [`Secured`] broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `SASL_PLAINTEXT`: a password by SASL/PLAIN, without TLS.
    Password,
    /// `SASL_SSL`: TLS, and a password by SASL/PLAIN or SCRAM-SHA-512.
    PasswordOverTls,
    /// `SSL`: TLS with certificates of both sides, and no password.
    MutualTls,
}

impl Listener {
    /// In the order of their numbers.
    pub(crate) const ALL: [Listener; 3] = [
        Listener::Password,
        Listener::PasswordOverTls,
        Listener::MutualTls,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Listener::Password => "PASSWORD",
            Listener::PasswordOverTls => "TLS",
            Listener::MutualTls => "MUTUAL",
        }
    }

    pub(crate) const fn protocol(self) -> &'static str {
        match self {
            Listener::Password => "SASL_PLAINTEXT",
            Listener::PasswordOverTls => "SASL_SSL",
            Listener::MutualTls => "SSL",
        }
    }
}

/// One broker of one's own, for clients that have to say who they are.
#[derive(Debug)]
pub struct Secured(Cluster);

impl Secured {
    /// Makes keys, starts the broker and waits until it is in service.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start() -> Result<Self, Error> {
        Cluster::begin(1, true).map(Self)
    }

    /// The bootstrap list for clients that come this way.
    #[must_use]
    pub fn brokers(&self, listener: Listener) -> String {
        self.0.secured(listener)
    }

    /// The certificate of the authority that signed the broker's, as PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        keys(self.0.folder()).join("authority.pem")
    }

    /// Key and certificate of a client that the broker knows, as PKCS #12 under [`PASSWORD`].
    #[must_use]
    pub fn client(&self) -> PathBuf {
        keys(self.0.folder()).join("client.p12")
    }

    /// The certificate of that client, as PEM: an authority that signed nothing but itself.
    #[must_use]
    pub fn stranger(&self) -> PathBuf {
        keys(self.0.folder()).join("client.pem")
    }
}

/// A secured broker that all tests of this process share. It ends with the process.
///
/// # Errors
/// Those of [`Secured::start`], to every caller alike.
pub fn shared_secured() -> Result<&'static Secured, Error> {
    static SHARED: OnceLock<Result<Secured, Error>> = OnceLock::new();
    let shared = SHARED.get_or_init(Secured::start);
    shared.as_ref().map_err(Error::clone)
}

/// Where the keys of a cluster are.
pub(crate) fn keys(cluster: &Path) -> PathBuf {
    cluster.join("keys")
}

/// [`USER`] as a folder of Kafka is formatted with it.
pub(crate) fn user() -> String {
    format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
}

/// The part of `server.properties` that is about who comes.
pub(crate) fn secured(set: &mut impl FnMut(&str, &str), keys: &Path) {
    let file = |name: &str| keys.join(name).display().to_string();
    let module = "org.apache.kafka.common.security";
    let plain = format!(r#"{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";"#);
    let scram = format!("{module}.scram.ScramLoginModule required;");
    for (listener, mechanisms) in [("password", "PLAIN"), ("tls", "PLAIN,SCRAM-SHA-512")] {
        let listener = format!("listener.name.{listener}");
        set(&format!("{listener}.sasl.enabled.mechanisms"), mechanisms);
        set(&format!("{listener}.plain.sasl.jaas.config"), &plain);
        set(
            &format!("{listener}.scram-sha-512.sasl.jaas.config"),
            &scram,
        );
    }
    set("listener.name.mutual.ssl.client.auth", "required");
    set("ssl.keystore.type", "PKCS12");
    set("ssl.keystore.location", &file("broker.p12"));
    set("ssl.keystore.password", PASSWORD);
    set("ssl.truststore.type", "PEM");
    set("ssl.truststore.location", &file("client.pem"));
}

/// An authority, a broker's key that it signed for 127.0.0.1, and a client that signed for itself.
pub(crate) fn make_keys(kafka: &Distribution, cluster: &Path) -> Result<(), Error> {
    let folder = keys(cluster);
    fs::create_dir_all(&folder).map_err(Error::system(folder.display()))?;
    let keytool = |words: &str| {
        let mut command = Command::new(kafka.keytool());
        command.current_dir(&folder).stdin(Stdio::null());
        command.args(words.split(' '));
        let done = command.output().map_err(Error::system("start keytool"))?;
        if done.status.success() {
            return Ok(());
        }
        // It complains on its standard output.
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Err(Error::new(Code::System, format!("keytool {words}: {said}")))
    };
    let key = "-keyalg EC -groupname secp256r1 -validity 2";
    let store = |file: &str| format!("-keystore {file} -storetype PKCS12 -storepass {PASSWORD}");
    let (all, client) = (store("all.p12"), store("client.p12"));
    let broker = || {
        keytool(&format!(
            "-genkeypair {all} -alias authority -dname CN=authority -ext bc:c {key}"
        ))?;
        keytool(&format!(
            "-genkeypair {all} -alias broker -dname CN=broker -signer authority -ext san=ip:127.0.0.1 {key}"
        ))?;
        keytool(&format!(
            "-exportcert {all} -alias authority -rfc -file authority.pem"
        ))?;
        // A broker that had the key of the authority too might show that one.
        keytool(&format!(
            "-importkeystore -srckeystore all.p12 -srcstorepass {PASSWORD} -srcalias broker -destkeystore broker.p12 -deststoretype PKCS12 -deststorepass {PASSWORD}"
        ))
    };
    let client = || {
        keytool(&format!(
            "-genkeypair {client} -alias client -dname CN=client {key}"
        ))?;
        keytool(&format!(
            "-exportcert {client} -alias client -rfc -file client.pem"
        ))
    };
    std::thread::scope(|scope| {
        let client = scope.spawn(client);
        broker()?;
        client.join().expect("it does not panic")
    })
}
