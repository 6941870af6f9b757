//! A place for backups, and what is in it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, GetResult, ObjectStore, ObjectStoreExt as _, RetryConfig};
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc::Sender;

use crate::config::{DestinationConfig, Keep, S3Config};
use crate::error::Error;
use crate::manifest::{Manifest, Proof};

/// A manifest of many thousand tables is smaller.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// A bucket that does not answer for this long fails the backup there.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);

/// A place for backups.
#[derive(Debug, Clone)]
pub struct Destination {
    name: Arc<str>,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    pub(crate) keep: Keep,
}

/// A backup in a destination.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// What it is; none: it was never finished.
    pub manifest: Option<Manifest>,
    /// When it was last restored and found whole.
    pub proof: Option<Proof>,
}

impl Destination {
    /// The one that is configured; nothing is asked of a bucket yet, a directory is made.
    ///
    /// # Errors
    /// When the directory or the secret cannot be used.
    pub fn open(config: &DestinationConfig) -> Result<Self, Error> {
        let name = config.name.as_str();
        let (store, prefix) = match (&config.path, &config.s3) {
            (Some(path), _) => (directory(name, path)?, ""),
            (_, Some(s3)) => (bucket(name, s3)?, s3.prefix.as_str()),
            (None, None) => return Err(Error::Config(format!("{name}: neither path nor s3"))),
        };
        let prefix = Path::parse(prefix.trim_matches('/'))
            .map_err(|error| Error::Config(format!("{name}: prefix: {error}")))?;
        Ok(Self {
            name: name.into(),
            store,
            prefix,
            keep: config.keep,
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        self.store.as_ref()
    }

    /// Where `name` is in the store.
    pub(crate) fn path(&self, name: &str) -> Path {
        self.prefix
            .parts()
            .chain(Path::from(name).parts())
            .collect()
    }

    pub(crate) fn failed(&self, error: &object_store::Error) -> Error {
        Error::destination(&self.name, error)
    }

    /// Its backups, the newest first.
    ///
    /// # Errors
    /// When it does not answer, or a manifest is damaged.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let prefix = self.path("base");
        let found = self.store.list_with_delimiter(Some(&prefix)).await;
        let found = found.map_err(|error| self.failed(&error))?;
        let mut listed = Vec::new();
        for id in found.common_prefixes.iter().filter_map(Path::filename) {
            let manifest = self.document(&Manifest::path(id)).await?;
            // A directory may be left where nothing is.
            if manifest.is_none() && self.objects(id).await?.is_empty() {
                continue;
            }
            listed.push(Listed {
                id: id.to_owned(),
                manifest,
                proof: self.document(&Proof::path(id)).await?,
            });
        }
        listed.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(listed)
    }

    /// Names of all objects under `directory`, as [`path`](Self::path) wants them.
    pub(crate) async fn names(&self, directory: &str) -> Result<Vec<String>, Error> {
        let prefix = self.path(directory);
        let found = self.store.list(Some(&prefix)).map_ok(|it| it.location);
        let found: Vec<Path> = found
            .try_collect()
            .await
            .map_err(|error| self.failed(&error))?;
        let within = |path: &Path| {
            let parts = path.prefix_match(&self.prefix)?;
            let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
            Some(parts.join("/"))
        };
        Ok(found.iter().filter_map(within).collect())
    }

    /// Names of the stored segments of a server's log, with their endings, in their order.
    pub(crate) async fn log(&self, system_identifier: &str) -> Result<Vec<String>, Error> {
        let prefix = self.path(&format!("log/{system_identifier}"));
        let objects: Vec<_> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| self.failed(&error))?;
        let names = objects.iter().filter_map(|it| it.location.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Writes a small object.
    pub(crate) async fn put(&self, name: &str, contents: Vec<u8>) -> Result<(), Error> {
        let path = self.path(name);
        let put = self.store.put(&path, Bytes::from(contents).into()).await;
        put.map(drop).map_err(|error| self.failed(&error))
    }

    /// Reads a small object, if it is there.
    pub(crate) async fn document<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Error> {
        let damaged = |reason: String| Error::Damaged {
            object: format!("{name} in {}", self.name),
            reason,
        };
        let object = match self.store.get(&self.path(name)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            object => object.map_err(|error| self.failed(&error))?,
        };
        if object.meta.size > DOCUMENT_BYTES_MAX {
            return Err(damaged(format!("it has {} bytes", object.meta.size)));
        }
        let bytes = object.bytes().await.map_err(|error| self.failed(&error))?;
        let read = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(read))
    }

    /// Deletes a backup; its manifest first, so that half of it is none.
    pub(crate) async fn delete_backup(&self, id: &str) -> Result<(), Error> {
        self.delete(&Manifest::path(id)).await?;
        for location in self.objects(id).await? {
            let deleted = self.store.delete(&location).await;
            deleted.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// What there is of a backup.
    async fn objects(&self, id: &str) -> Result<Vec<Path>, Error> {
        let prefix = self.path(&format!("base/{id}"));
        let found = self.store.list(Some(&prefix)).map_ok(|it| it.location);
        let found = found.try_collect().await;
        found.map_err(|error| self.failed(&error))
    }

    /// Deletes an object, if it is there.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

/// Why an object that should be there cannot be had.
pub(crate) fn missing(destination: &Destination, name: &str, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::Damaged {
            object: format!("{name} in {}", destination.name()),
            reason: "it is missing".to_owned(),
        },
        error => destination.failed(error),
    }
}

/// Gives an object to whoever reads, until they have enough.
pub(crate) async fn pour(
    destination: &Destination,
    object: GetResult,
    reader: &Sender<io::Result<Bytes>>,
) -> Result<(), Error> {
    let mut stream = object.into_stream();
    while let Some(chunk) = stream.next().await {
        let (chunk, broken) = match chunk {
            Ok(chunk) => (Ok(chunk), None),
            Err(error) => {
                let told = io::Error::other(error.to_string());
                (Err(told), Some(destination.failed(&error)))
            }
        };
        let is_gone = reader.send(chunk).await.is_err();
        if let Some(error) = broken {
            return Err(error);
        }
        if is_gone {
            break;
        }
    }
    Ok(())
}

fn directory(name: &str, path: &std::path::Path) -> Result<Arc<dyn ObjectStore>, Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|source| Error::local(path, source))?;
    let store =
        LocalFileSystem::new_with_prefix(path).map_err(|error| Error::destination(name, &error))?;
    Ok(Arc::new(
        store.with_fsync(true).with_automatic_cleanup(true),
    ))
}

fn bucket(name: &str, s3: &S3Config) -> Result<Arc<dyn ObjectStore>, Error> {
    // For the HTTP client's TLS; one that is there already stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = &s3.secret_access_key_file;
    let secret = std::fs::read_to_string(file).map_err(|source| Error::local(file, source))?;
    let secret = secrecy::SecretString::from(secret);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_access_key_id(&s3.access_key_id)
        .with_secret_access_key(secret.expose_secret().trim())
        .with_allow_http(s3.allow_http)
        .with_client_options(ClientOptions::new().with_allow_http(s3.allow_http))
        .with_retry(RetryConfig {
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        });
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder.build();
    Ok(Arc::new(
        store.map_err(|error| Error::destination(name, &error))?,
    ))
}
