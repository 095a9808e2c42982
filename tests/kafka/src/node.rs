//! One node, broker and controller at once: its folder, and the process that comes and goes.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::distribution::{Distribution, ended, outputs};
use crate::error::{Code, Error};
use crate::properties::{Ports, properties};
use crate::secured::keys;
use crate::watchdog::Watchdog;

/// Formatting is a second's work.
const FORMAT: Duration = Duration::from_secs(60);
/// A node that can't hand over, because the others are away, would wait for minutes.
const LEAVE: Duration = Duration::from_secs(10);
/// Waits for the word that the watchdog knows of it, and becomes the broker. Without the word it ends: its parent is gone.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) client: SocketAddr,
    folder: PathBuf,
    life: Mutex<Life>,
    /// So long was the log when it was last started.
    life_began_at: AtomicUsize,
}

#[derive(Debug, Default)]
struct Life {
    child: Option<Child>,
    paused: bool,
}

impl Node {
    /// Writes its configuration into a folder of its own.
    pub(crate) fn new(number: usize, ports: &[Ports], cluster: &Path) -> Result<Self, Error> {
        let folder = cluster.join(format!("node{number}"));
        fs::create_dir_all(&folder).map_err(Error::system(folder.display()))?;
        let text = properties(number, ports, &folder.join("data"), &keys(cluster));
        let node = Self {
            number,
            client: (Ipv4Addr::LOCALHOST, ports[number].client).into(),
            folder,
            life: Mutex::default(),
            life_began_at: AtomicUsize::new(0),
        };
        fs::write(node.configuration(), text).map_err(Error::system("server.properties"))?;
        Ok(node)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    /// What the broker says.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Where it keeps what it knows of the quorum.
    pub(crate) fn quorum_state(&self) -> PathBuf {
        self.folder.join("data/__cluster_metadata-0/quorum-state")
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().expect("nobody panics with it")
    }

    /// Makes its data folder, once; with a user that logs in by SCRAM, if there is one.
    pub(crate) fn format(
        &self,
        kafka: &Distribution,
        cluster: &str,
        user: Option<&str>,
    ) -> Result<(), Error> {
        let words = kafka.command("kafka.tools.StorageTool");
        let (out, err) = outputs(&self.log())?;
        let mut format = Command::new(&words[0])
            .args(&words[1..])
            .args(["format", "-t", cluster, "-c"])
            .arg(self.configuration())
            .args(user.into_iter().flat_map(|user| ["--add-scram", user]))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(Error::system("start java"))?;
        match ended(&mut format, FORMAT)? {
            Some(status) if status.success() => Ok(()),
            status => {
                let _ = format.kill();
                let _ = format.wait();
                Err(self.trouble(&format!("its folder was not formatted ({status:?})")))
            }
        }
    }

    /// Starts the process; that says nothing about being ready.
    pub(crate) fn spawn(&self, kafka: &Distribution, watchdog: &Watchdog) -> Result<(), Error> {
        let mut life = self.life();
        if life.child.is_some() {
            return Err(self.wrong("runs already"));
        }
        let (out, err) = outputs(&self.log())?;
        let said = out.metadata().map_err(Error::system("broker.log"))?.len();
        let said = usize::try_from(said).expect("a file that fits the memory");
        self.life_began_at.store(said, Ordering::Relaxed);
        let mut child = Command::new("sh")
            .args(["-c", GATE, "sh"])
            .args(kafka.command("kafka.Kafka"))
            .arg(self.configuration())
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            // Ctrl-C is for the process that started it.
            .process_group(0)
            .spawn()
            .map_err(Error::system("start sh"))?;
        let gate = child.stdin.take();
        let pid = child.id();
        // From here on it is ended with this node, whatever fails.
        life.child = Some(child);
        life.paused = false;
        watchdog.watch(pid)?;
        let mut gate = gate.expect("it was asked to be piped");
        gate.write_all(b"go\n").map_err(Error::system("start java"))
    }

    /// Whether it runs and is not paused.
    ///
    /// # Errors
    /// When it ended without being told to.
    pub(crate) fn awake(&self) -> Result<bool, Error> {
        let mut life = self.life();
        let Some(child) = life.child.as_mut() else {
            return Ok(false);
        };
        match child.try_wait().map_err(Error::system("wait for java"))? {
            None => Ok(!life.paused),
            Some(status) => Err(self.trouble(&format!("it ended by itself ({status})"))),
        }
    }

    /// The process, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.life().child.as_ref().map(Child::id)
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&self, watchdog: &Watchdog) -> Result<(), Error> {
        let mut life = self.life();
        let child = life.child.take();
        let mut child = child.ok_or_else(|| self.wrong("is down already"))?;
        child.kill().map_err(Error::system("kill java"))?;
        child.wait().map_err(Error::system("wait for java"))?;
        watchdog.forget(child.id())
    }

    /// SIGTERM, and waits until it is gone. Killed when it does not go in time; whether it went by itself.
    pub(crate) fn stop(&self, watchdog: &Watchdog) -> Result<bool, Error> {
        let mut life = self.life();
        let paused = life.paused;
        let child = life.child.take();
        let mut child = child.ok_or_else(|| self.wrong("is down already"))?;
        signal(&child, Signal::TERM)?;
        if paused {
            signal(&child, Signal::CONT)?;
        }
        let in_order = ended(&mut child, LEAVE)?.is_some();
        if !in_order {
            child.kill().map_err(Error::system("kill java"))?;
            child.wait().map_err(Error::system("wait for java"))?;
        }
        watchdog.forget(child.id())?;
        Ok(in_order)
    }

    /// SIGSTOP, or SIGCONT.
    pub(crate) fn pause(&self, paused: bool) -> Result<(), Error> {
        let mut life = self.life();
        let child = life.child.as_ref();
        let child = child.ok_or_else(|| self.wrong("is down"))?;
        signal(child, if paused { Signal::STOP } else { Signal::CONT })?;
        life.paused = paused;
        Ok(())
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(Code::WrongState, format!("node {} {what}", self.number))
    }

    /// The node did not do as it should: with what it said in this life, most of all what it complained about.
    pub(crate) fn trouble(&self, what: &str) -> Error {
        let said = fs::read(self.log()).unwrap_or_default();
        let from = self.life_began_at.load(Ordering::Relaxed);
        let said = String::from_utf8_lossy(said.get(from..).unwrap_or_default());
        // A broker that gives up says hundreds of lines more while it shuts down, so that the end alone would say nothing.
        let (idle, complaints): (Vec<&str>, Vec<&str>) =
            said.lines().partition(|line| line.contains(" INFO "));
        let taken = (complaints.iter())
            .any(|line| line.contains("Address already in use") || line.contains("BindException"));
        let code = if taken {
            Code::PortTaken
        } else {
            Code::NotReady
        };
        let complaints = complaints[..complaints.len().min(40)].join("\n");
        let last = idle[idle.len().saturating_sub(5)..].join("\n");
        let number = self.number;
        Error::new(
            code,
            format!("node {number}: {what}. It said:\n{complaints}\n{last}"),
        )
    }
}

fn signal(child: &Child, signal: Signal) -> Result<(), Error> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.expect("a child has a number");
    kill_process(pid, signal).map_err(Error::system("signal java"))
}
