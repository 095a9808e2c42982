//! Kafka itself: the jars of one release, fetched by Maven once and kept under the target folder, and the Java that runs them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Code, Error};

/// The release of Apache Kafka.
pub const VERSION: &str = "4.1.1";
/// The oldest Java that it runs on.
const OLDEST_JAVA: u32 = 17;
/// Maven has a minute's work at most, and then some for a slow line.
const FETCH: Duration = Duration::from_secs(600);
/// Between two looks at a process, or at a broker.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The jars, and the Java to run them with.
#[derive(Clone, Debug)]
pub struct Distribution {
    java: PathBuf,
    libs: PathBuf,
}

impl Distribution {
    /// What was fetched before, or what is fetched now. Processes that come at the same time wait for the first.
    ///
    /// # Errors
    /// `KAFKA_TOOL_MISSING` names the package to install; `KAFKA_FETCH_FAILED` says what Maven said.
    pub fn find() -> Result<Self, Error> {
        let java = java()?;
        let cache = target().join("kafka").join(VERSION);
        let libs = cache.join("libs");
        fs::create_dir_all(&cache).map_err(Error::system(cache.display()))?;
        // The folder appears by a rename, so that what is there is whole, and nobody needs the lock to see it.
        if !libs.is_dir() {
            let lock = File::create(cache.join("lock")).map_err(Error::system("lock"))?;
            lock.lock().map_err(Error::system("lock"))?;
            if !libs.is_dir() {
                fetch(&cache, &libs)?;
            }
        }
        Ok(Self { java, libs })
    }

    /// Where the jars are.
    #[must_use]
    pub fn libs(&self) -> &Path {
        &self.libs
    }

    /// What makes keys and certificates; every Java comes with one.
    pub(crate) fn keytool(&self) -> PathBuf {
        self.java.with_file_name("keytool")
    }

    /// The words of a command that runs a class of Kafka: small and quick to start rather than quick for days.
    pub(crate) fn command(&self, class: &str) -> Vec<std::ffi::OsString> {
        let mut words: Vec<std::ffi::OsString> = vec![self.java.clone().into()];
        words.extend(
            [
                "-Xmx384m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-XX:+ExitOnOutOfMemoryError",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                "-cp",
            ]
            .map(Into::into),
        );
        words.push(self.libs.join("*").into());
        words.push(class.into());
        words
    }
}

/// The target folder of cargo that this program was built into: cargo marks it. It is on a disk that is meant for much data.
pub(crate) fn target() -> PathBuf {
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    std::env::current_exe()
        .ok()
        .and_then(|own| own.ancestors().find(marked).map(Path::to_owned))
        .or_else(|| std::env::var_os("CARGO_TARGET_DIR").map(Into::into))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}

fn java() -> Result<PathBuf, Error> {
    let java = std::env::var_os("JAVA_HOME")
        .filter(|home| !home.is_empty())
        .map(|home| Path::new(&home).join("bin/java"))
        .filter(|java| java.is_file())
        .unwrap_or_else(|| "java".into());
    let missing = |what: String| {
        let remedy =
            "install Java 17 or later (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)";
        Error::new(Code::ToolMissing, format!("{what}: {remedy}"))
    };
    let said = Command::new(&java)
        .arg("-version")
        .stdin(Stdio::null())
        .output();
    let said =
        said.map_err(|error| missing(format!("{} does not run: {error}", java.display())))?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    match release(&said) {
        Some(found) if found >= OLDEST_JAVA => Ok(java),
        Some(found) => Err(missing(format!("{} is Java {found}", java.display()))),
        None => Err(missing(format!("{} said `{said}`", java.display()))),
    }
}

/// The release in what `java -version` says, as in `openjdk version "17.0.15" 2025-04-15`.
fn release(said: &str) -> Option<u32> {
    let version = said.split('"').nth(1)?;
    version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn fetch(cache: &Path, libs: &Path) -> Result<(), Error> {
    let work = cache.join("fetching");
    // What a fetch that was killed has left; the lock says that nobody else is at it.
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).map_err(Error::system(work.display()))?;
    let pom = work.join("pom.xml");
    fs::write(&pom, self::pom()).map_err(Error::system(pom.display()))?;
    let said = work.join("said");
    let (out, err) = outputs(&said)?;
    let mut maven = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
        .arg(option("-DoutputDirectory=", &work.join("libs")))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|error| {
            let remedy = "install Maven (Debian, Ubuntu: apt-get install maven)";
            Error::new(
                Code::ToolMissing,
                format!("mvn does not run: {error}: {remedy}"),
            )
        })?;
    let status = ended(&mut maven, FETCH)?;
    if status.is_none_or(|status| !status.success()) {
        let _ = maven.kill();
        let _ = maven.wait();
        let remedy = "Maven needs a way to its repository (a mirror goes into ~/.m2/settings.xml); or point the tests at a cluster";
        let said = tail(&said, 30);
        return Err(Error::new(
            Code::FetchFailed,
            format!(
                "Kafka {VERSION} was not fetched: {remedy} by QIPP_TEST_KAFKA_BROKERS. Maven said:\n{said}"
            ),
        ));
    }
    fs::rename(work.join("libs"), libs).map_err(Error::system(libs.display()))?;
    let _ = fs::remove_dir_all(&work);
    Ok(())
}

/// `kafka-tools` has the commands for people; slf4j 1.7 is what Kafka 4 logs by.
fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>qipp</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{}{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        dependency("org.apache.kafka", "kafka-tools", VERSION),
        dependency("org.slf4j", "slf4j-simple", "1.7.36"),
    )
}

fn option(name: &str, value: &Path) -> std::ffi::OsString {
    let mut option = OsStr::new(name).to_owned();
    option.push(value);
    option
}

/// Both outputs of a process into one file.
pub(crate) fn outputs(file: &Path) -> Result<(File, File), Error> {
    let doing = || file.display();
    let out = File::options().create(true).append(true).open(file);
    let out = out.map_err(Error::system(doing()))?;
    let err = out.try_clone().map_err(Error::system(doing()))?;
    Ok((out, err))
}

/// Waits for the end of a process, so long at most.
pub(crate) fn ended(child: &mut Child, most: Duration) -> Result<Option<ExitStatus>, Error> {
    let until = Instant::now() + most;
    loop {
        let status = child
            .try_wait()
            .map_err(Error::system("wait for a child"))?;
        if status.is_some() || Instant::now() > until {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
}

/// The last lines of a file, for an error.
fn tail(file: &Path, lines: usize) -> String {
    let said = fs::read(file).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let all: Vec<&str> = said.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn the_release_of_java_is_read_from_what_it_says() {
        assert_eq!(
            release("openjdk version \"17.0.15\" 2025-04-15\n"),
            Some(17)
        );
        assert_eq!(release("openjdk version \"21-ea\" 2023-09-19\n"), Some(21));
        assert_eq!(release("java version \"1.8.0_392\"\n"), Some(1));
        assert_eq!(release("no java here"), None);
    }
}
