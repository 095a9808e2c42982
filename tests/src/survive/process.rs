//! The process that is killed: the real binary on a data directory.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A start, or an orderly end, takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// How `qipp` is called: a program, and variables that it wants.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The program.
    pub program: PathBuf,
    /// Set for it.
    pub variables: Vec<(OsString, OsString)>,
}

impl Binary {
    /// A program that is `qipp`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            variables: Vec::new(),
        }
    }

    /// A verb of it on a data directory. It does not outlive its handle.
    #[must_use]
    pub fn command(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QIPP_")) {
            command.env_remove(name);
        }
        command
            .env("QIPP_DATA_DIR", data)
            .env("RUST_LOG", "warn")
            .envs(self.variables.iter().cloned())
            .kill_on_drop(true);
        command
    }
}

/// `qipp serve` as a child. It is killed when this is dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Served {
    /// Starts it. What it says to standard error is added to the file.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn spawn(
        binary: &Binary,
        data: &Path,
        said: &Path,
        arguments: &[&str],
    ) -> std::io::Result<Self> {
        Self::spawn_at("127.0.0.1:0", binary, data, said, arguments)
    }

    /// The same at a place of one's own: an address that others know.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn spawn_at(
        listen: &str,
        binary: &Binary,
        data: &Path,
        said: &Path,
        arguments: &[&str],
    ) -> std::io::Result<Self> {
        let said = File::options().create(true).append(true).open(said)?;
        let mut child = binary
            .command(data)
            .args(["serve", "--listen", listen])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()?;
        let output = child.stdout.take().expect("it was asked to be piped");
        Ok(Self {
            child,
            output: BufReader::new(output).lines(),
        })
    }

    /// Waits until it says where it listens. Cancel safe.
    ///
    /// # Errors
    /// When it ends before that, or says something else.
    pub async fn address(&mut self) -> Result<String, String> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        let line = line.map_err(|_| "it did not come up within a minute".to_owned())?;
        match line {
            Ok(Some(line)) => line
                .split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned)
                .ok_or_else(|| format!("it said `{line}`")),
            Ok(None) => Err(format!("it ended: {:?}", self.child.wait().await)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    /// A signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        let id = self.child.id().ok_or("the process is gone")?;
        let id = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or("no such process")?;
        kill_process(id, signal).map_err(|error| error.to_string())
    }

    /// How it ended, when it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn has_ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ended(&mut self) -> Result<ExitStatus, String> {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.map_err(|error| error.to_string()),
            Err(_) => Err("it did not end within a minute".to_owned()),
        }
    }

    /// SIGTERM; it has to end with exit code 0.
    ///
    /// # Errors
    /// When it ends otherwise, or not at all.
    pub async fn terminate(mut self) -> Result<(), String> {
        self.signal(Signal::TERM)?;
        let status = self.ended().await?;
        if status.code() == Some(0) {
            Ok(())
        } else {
            Err(format!("told to end, it ended with {status}"))
        }
    }
}
