//! An object store that speaks S3, in this process: s3s-fs, which is not ours, on a folder. It takes nothing that is not signed with the right secret, and no
//! upload of parts that are too small. In front of it a note of what was asked, and a fault when a scenario wants one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use qipp::config::Snapshot;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// The one bucket that there is.
pub const BUCKET: &str = "checkpoints";
/// Where in it replicas leave theirs.
pub const PREFIX: &str = "qipp/nation";
/// Who may do everything.
pub const ACCESS_KEY: &str = "qipp-test";
/// What requests are signed with.
pub const SECRET: &str = "a secret/with+signs";

/// The store.
#[derive(Debug)]
pub struct ObjectStore {
    folder: TempDir,
    front: Front,
    endpoint: String,
}

#[derive(Clone, Debug)]
struct Front {
    store: S3Service,
    asked: watch::Sender<Vec<String>>,
    breaks_off: Arc<AtomicBool>,
}

impl ObjectStore {
    /// An empty one, on any free port.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut store = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        store.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET));
        let front = Front {
            store: store.build(),
            asked: watch::Sender::new(Vec::new()),
            breaks_off: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(front.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            folder,
            front,
            endpoint,
        }
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What a process is told that takes checkpoints from here.
    #[must_use]
    pub fn settings(&self) -> Snapshot {
        let mut settings = Snapshot {
            from: format!("s3://{BUCKET}/{PREFIX}"),
            ..Snapshot::default()
        };
        for (name, value) in [
            ("endpoint", self.endpoint.as_str()),
            ("access_key_id", ACCESS_KEY),
            ("secret_access_key", SECRET),
        ] {
            let properties = &mut settings.properties.0;
            properties.insert(name.to_owned(), value.to_owned());
        }
        settings
    }

    /// What it holds below the prefix.
    #[must_use]
    pub fn objects(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join(BUCKET).join(PREFIX))
    }

    /// What it keeps of uploads that are not complete.
    #[must_use]
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let is_part = |path: &PathBuf| path.display().to_string().contains(".part-");
        let files = files(self.folder.path()).into_iter();
        files.filter(is_part).collect()
    }

    /// From now on it fails at the second part of every upload, or does not any more.
    pub fn breaks_off(&self, breaks_off: bool) {
        self.front.breaks_off.store(breaks_off, SeqCst);
    }

    /// How often that was asked, as in `PUT partNumber=2`.
    #[must_use]
    pub fn asked(&self, what: &str) -> usize {
        count(&self.front.asked.borrow(), what)
    }

    /// Waits until that was asked so often.
    pub async fn was_asked(&self, what: &str, times: usize) {
        let mut asked = self.front.asked.subscribe();
        let often = asked.wait_for(|asked| count(asked, what) >= times);
        often.await.unwrap();
    }
}

fn count(asked: &[String], what: &str) -> usize {
    asked.iter().filter(|asked| asked.starts_with(what)).count()
}

/// Files that are ready: the store writes each under another name first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && !path.display().to_string().contains("/.tmp."))
        .collect();
    files.sort();
    files
}

/// What AWS, MinIO and Ceph say; s3s-fs says of a bucket that is not there that the object is not.
const NO_BUCKET: &str = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";

async fn answer(State(front): State<Front>, request: Request) -> Response {
    if !request.uri().path().starts_with(&format!("/{BUCKET}/")) {
        return (StatusCode::NOT_FOUND, NO_BUCKET).into_response();
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let second_part = request.method() == Method::PUT && query.contains("partNumber=2&");
    let note = format!("{} {query}", request.method());
    let answer = match second_part && front.breaks_off.load(SeqCst) {
        true => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        false => match front.store.clone().oneshot(request).await {
            Ok(answer) => answer.map(Body::new),
            Err(error) => panic!("{error:?}"),
        },
    };
    // Noted when it is done.
    front.asked.send_modify(|asked| asked.push(note));
    answer
}
