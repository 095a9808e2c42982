//! Who cleans up when the process that started the brokers is gone, however it went: a shell that reads from a pipe whose other end is held
//! here. The end of the pipe is the end of the brokers and of their folder.
//!
//! A signal to children on the death of their parent (`PR_SET_PDEATHSIG`) would not do: it is bound to the thread that started them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use crate::error::Error;

/// Each line is all processes that live. A JVM that was killed may write for a moment more, hence the repeats.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r line; do pids=$line; done
for pid in $pids; do kill -KILL "$pid"; done 2>/dev/null
tries=0
until rm -rf -- "$1" 2>/dev/null || [ "$tries" -gt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    pipe: Option<ChildStdin>,
    living: BTreeSet<u32>,
}

impl Watchdog {
    /// From now on the folder does not outlive this process.
    pub(crate) fn start(folder: &Path) -> Result<Self, Error> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Of its own group, so that Ctrl-C leaves it to its work.
            .process_group(0)
            .spawn()
            .map_err(Error::system("start sh"))?;
        let pipe = child.stdin.take();
        let living = BTreeSet::new();
        let told = Mutex::new(Told { pipe, living });
        Ok(Self { child, told })
    }

    /// This process does not outlive us.
    pub(crate) fn watch(&self, pid: u32) -> Result<(), Error> {
        self.tell(|living| living.insert(pid))
    }

    /// This process is gone; its number may become somebody else's.
    pub(crate) fn forget(&self, pid: u32) -> Result<(), Error> {
        self.tell(|living| living.remove(&pid))
    }

    fn tell(&self, change: impl FnOnce(&mut BTreeSet<u32>) -> bool) -> Result<(), Error> {
        let mut told = self.told.lock().expect("nobody panics with it");
        change(&mut told.living);
        let line: Vec<String> = told.living.iter().map(u32::to_string).collect();
        let line = line.join(" ") + "\n";
        let pipe = told.pipe.as_mut().expect("it is taken by the end only");
        (pipe.write_all(line.as_bytes())).map_err(Error::system("tell the watchdog"))
    }
}

impl Drop for Watchdog {
    /// Does its work now, and waits until it is done.
    fn drop(&mut self) {
        if let Ok(mut told) = self.told.lock() {
            told.pipe = None;
        }
        let _ = self.child.wait();
    }
}
