//! Checkpoints in a bucket of an object store that speaks S3: AWS, MinIO, Ceph and others.
//!
//! One goes up in parts, of which few are in memory at a time, and can be seen when the last one is there: the store puts it in the place of the one before.
//! An upload that breaks off is taken back; what a process that was killed left of one is for a rule of the bucket to remove. Nothing here makes a
//! bucket, lists one, or deletes from it.

use std::error::Error as _;
use std::io::{self, Read, Write};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{ClientOptions, Error, MultipartUpload, ObjectStoreExt as _, RetryConfig};
use qipp_projection::{Share, Snapshot, Snapshots, checkpoint_name};
use tokio::sync::mpsc;

use super::{PATIENCE, pieces};
use crate::config;

/// Every store takes parts of 5 MiB and more, and at most 10,000 of them: 78 GiB.
const PART_BYTES: usize = 8 << 20;

/// Beside the first try; also of requests that were answered with "busy".
const RETRIES: usize = 3;

/// A place for the checkpoints of those who fold one share of the log.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    settings: config::Snapshot,
    share: Share,
}

impl Bucket {
    pub(crate) fn new(settings: &config::Snapshot, share: Share) -> Self {
        Self {
            settings: settings.clone(),
            share,
        }
    }

    /// The client, and where in the bucket the checkpoint is. Asks nobody. A new one for every use, so that what changes in between (the token of a web
    /// identity, the certificates that are trusted) is read again.
    ///
    /// # Errors
    /// What of the configuration is wrong, and what to do.
    pub(crate) fn open(&self) -> Result<(AmazonS3, Path), String> {
        let (bucket, prefix) =
            place(&self.settings.from).map_err(|what| format!("serve.snapshot.from {what}"))?;
        let client = ClientOptions::new()
            // Whatever is large may take long, as long as it moves.
            .with_timeout_disabled()
            .with_read_timeout(PATIENCE);
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        };
        // For the whole process, which may have been told before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = AmazonS3Builder::new()
            .with_client_options(client)
            .with_retry(retry);
        let builder = with_environment(builder, &self.settings.properties);
        let builder = with_properties(builder, &self.settings.properties)?;
        let builder = with_endpoint(builder)?.with_bucket_name(bucket);
        let store = builder.build().map_err(|error| {
            format!(
                "serve.snapshot.properties, or AWS_… in the environment: {}",
                chain(&error)
            )
        })?;
        Ok((store, prefix.join(checkpoint_name(self.share))))
    }

    /// Saves a checkpoint in place of the one before, whole or not at all.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(crate) async fn save(&self, snapshot: Snapshot) -> Result<(), String> {
        let (store, key) = self.open()?;
        let begun = store.put_multipart(&key).await;
        let mut upload = begun.map_err(|error| self.told(&error))?;
        let (sender, parts) = mpsc::channel(1);
        let writing = tokio::task::spawn_blocking(move || {
            let mut out = Parts::new(sender);
            snapshot.write(&mut out)?;
            out.send()
        });
        let sent = self.send(&mut *upload, parts).await;
        let written = writing.await.unwrap_or_else(|error| Err(error.into()));
        // When sending failed, writing did because of it.
        let saved = match sent.and_then(|()| written.map_err(|error| error.to_string())) {
            Ok(()) => upload.complete().await.map_err(|error| self.told(&error)),
            Err(why) => Err(why),
        };
        if saved.is_err() {
            // Only to make room; the store shows nothing of it either way.
            let _ = upload.abort().await;
        }
        saved.map(drop)
    }

    /// One part after the other, until there are no more.
    async fn send(
        &self,
        upload: &mut dyn MultipartUpload,
        mut parts: mpsc::Receiver<Bytes>,
    ) -> Result<(), String> {
        while let Some(part) = parts.recv().await {
            let sent = upload.put_part(part.into()).await;
            sent.map_err(|error| self.told(&error))?;
        }
        Ok(())
    }

    /// An error with the address and the remedy.
    fn told(&self, error: &Error) -> String {
        let text = chain(error);
        let code = between(&text, "<Code>", "</Code>");
        let said = match (code, between(&text, "<Message>", "</Message>")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => text.clone(),
        };
        let remedy = match code {
            Some("NoSuchBucket") => "make the bucket, or name another one in serve.snapshot.from",
            Some(
                "ExpiredToken"
                | "InvalidAccessKeyId"
                | "InvalidToken"
                | "NotSignedUp"
                | "SignatureDoesNotMatch",
            ) => {
                "look at the credentials: access_key_id and secret_access_key in serve.snapshot.properties, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            Some("AuthorizationHeaderMalformed" | "PermanentRedirect") => {
                "name the region of the bucket: region in serve.snapshot.properties, or AWS_REGION"
            }
            // What a machine of AWS is asked for its role, when nobody has given credentials.
            None if text.contains("/latest/api/token") => {
                "give credentials: access_key_id and secret_access_key in serve.snapshot.properties, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; this machine has none"
            }
            Some("RequestTimeTooSkewed") => "set the clock of this machine",
            _ if matches!(error, Error::PermissionDenied { .. }) => {
                "let these credentials do s3:GetObject, s3:PutObject and s3:AbortMultipartUpload below the prefix and s3:ListBucket on the bucket, without which one that is missing looks like one that is forbidden"
            }
            _ => {
                "look at endpoint and region in serve.snapshot.properties, and whether the store can be reached from here"
            }
        };
        format!("{}: {said}; {remedy}", self.settings.from)
    }
}

#[async_trait]
impl Snapshots for Bucket {
    async fn newest(&self) -> Result<Option<Box<dyn Read + Send>>, String> {
        let (store, key) = self.open()?;
        let asked = tokio::time::timeout(PATIENCE, store.get(&key)).await;
        let found = asked.map_err(|_| {
            format!(
                "{} does not answer; look at endpoint in serve.snapshot.properties",
                self.settings.from
            )
        })?;
        match found {
            Ok(found) => {
                let bucket = self.clone();
                let told = move |error| io::Error::other(bucket.told(&error));
                Ok(Some(Box::new(pieces(
                    found.into_stream().map_err(told).boxed(),
                ))))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.told(&error)),
        }
    }
}

/// Is there a store and a bucket, and only nothing in it? Anything else on the way may answer 404 too.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && chain(error).contains("<Code>NoSuchKey</Code>")
}

/// Bucket and prefix of `s3://BUCKET/PREFIX`, or what is wrong. The address is not repeated: there may be a secret in it.
fn place(address: &str) -> Result<(&str, Path), String> {
    let rest = address.strip_prefix(config::BUCKETS).unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let what = if bucket.is_empty() {
        "names no bucket"
    } else if rest.contains('@') {
        "holds a user or password, which would be printed with it: put them into serve.snapshot.properties, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    } else if bucket.contains(':') {
        "has a port: put the address of the store into serve.snapshot.properties, as endpoint"
    } else if rest.contains(['?', '#']) {
        "has a query: put settings into serve.snapshot.properties"
    } else if !bucket.chars().all(is_of_name) {
        "names a bucket with characters that no bucket has"
    } else {
        let prefix = Path::parse(prefix.trim_end_matches('/'));
        let fault = "has a prefix that is no path: use names with single slashes between them";
        return prefix
            .map(|prefix| (bucket, prefix))
            .map_err(|_| fault.to_owned());
    };
    Err(format!("{what}; use s3://BUCKET/PREFIX"))
}

/// What others that speak to S3 take from there too. What is empty is not said, and of credentials nothing is taken when there are own ones: halves of two
/// make none.
fn with_environment(builder: AmazonS3Builder, own: &config::Properties) -> AmazonS3Builder {
    let is_credential = |key| {
        matches!(
            key,
            AmazonS3ConfigKey::AccessKeyId
                | AmazonS3ConfigKey::SecretAccessKey
                | AmazonS3ConfigKey::Token
        )
    };
    let mut keys = own.0.keys().filter_map(|name| name.parse().ok());
    let has_credentials = keys.any(is_credential);
    let settings = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        // Other names belong to others who speak to AWS.
        let key = name.starts_with("AWS_").then_some(name)?;
        let key = key.to_ascii_lowercase().parse().ok()?;
        let is_passed_over = value.is_empty() || (has_credentials && is_credential(key));
        (!is_passed_over).then_some((key, value))
    });
    settings.fold(builder, |builder, (key, value)| {
        builder.with_config(key, value)
    })
}

fn with_properties(
    builder: AmazonS3Builder,
    properties: &config::Properties,
) -> Result<AmazonS3Builder, String> {
    properties.0.iter().try_fold(builder, |builder, (name, value)| {
        let key = match name.parse() {
            // The variable for S3 alone would win against it.
            Ok(AmazonS3ConfigKey::Endpoint) => AmazonS3ConfigKey::S3Endpoint,
            Ok(key) => key,
            Err(_) => {
                return Err(format!(
                    "serve.snapshot.properties.{name} is no property of a client of S3: there are endpoint, region, access_key_id, secret_access_key, virtual_hosted_style_request and others (https://docs.rs/object_store, AmazonS3ConfigKey)"
                ));
            }
        };
        Ok(builder.with_config(key, value))
    })
}

/// Whoever names an address without TLS means it.
fn with_endpoint(builder: AmazonS3Builder) -> Result<AmazonS3Builder, String> {
    let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let named = keys.iter().find_map(|key| builder.get_config_value(key));
    let Some(endpoint) = named else {
        return Ok(builder);
    };
    let uri = endpoint.parse::<http::Uri>().ok();
    let uri = uri.filter(|uri| {
        uri.authority()
            .is_some_and(|host| !host.as_str().contains('@'))
    });
    match uri.as_ref().and_then(http::Uri::scheme_str) {
        Some("https") => Ok(builder),
        Some("http") => Ok(builder.with_allow_http(true)),
        _ => Err(
            "serve.snapshot.properties.endpoint, or AWS_ENDPOINT_URL, is no address of a store: use https://HOST or http://HOST:PORT, without a user"
                .to_owned(),
        ),
    }
}

/// The error, and what is at the bottom of it.
fn chain(error: &Error) -> String {
    let mut deepest = error.source();
    while let Some(cause) = deepest.and_then(std::error::Error::source) {
        deepest = Some(cause);
    }
    let (said, cause) = (error.to_string(), deepest.map(ToString::to_string));
    match cause.filter(|cause| !said.contains(cause)) {
        Some(cause) => format!("{said}: {cause}"),
        None => said,
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(held, _)| held)
}

/// Bytes that become parts, on a thread that may block: it waits while two parts wait.
struct Parts {
    held: Vec<u8>,
    sender: mpsc::Sender<Bytes>,
}

impl Parts {
    fn new(sender: mpsc::Sender<Bytes>) -> Self {
        let held = Vec::with_capacity(PART_BYTES);
        Self { held, sender }
    }

    /// Passes on what is held, if anything.
    fn send(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let part = std::mem::replace(&mut self.held, Vec::with_capacity(PART_BYTES));
        let sent = self.sender.blocking_send(part.into());
        sent.map_err(|_| io::Error::other("the upload has ended"))
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PART_BYTES - self.held.len());
        self.held.extend_from_slice(&bytes[..count]);
        if self.held.len() == PART_BYTES {
            self.send()?;
        }
        Ok(count)
    }

    /// A part that is not full is sent at the end only.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
