//! An S3 server on this machine over a directory. It checks signatures as the real ones do.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Whom the server knows.
pub const ACCESS_KEY_ID: &str = "streamhaul";
const SECRET_ACCESS_KEY: &str = "a secret of forty characters, more or le";
/// The name of its only bucket.
pub const NAME: &str = "bucket";

/// A server with an empty bucket; gone when it is dropped.
#[derive(Debug)]
pub struct Bucket {
    endpoint: String,
    files: TempDir,
    server: JoinHandle<()>,
}

impl Bucket {
    /// A server on a free port, on the runtime of the caller.
    ///
    /// # Errors
    /// When the system has no port or no directory for it.
    pub async fn serve() -> std::io::Result<Self> {
        let files = tempfile::tempdir()?;
        std::fs::create_dir(files.path().join(NAME))?;
        std::fs::write(secret_file(files.path()), SECRET_ACCESS_KEY)?;
        let store = FileSystem::new(files.path())
            .map_err(|error| std::io::Error::other(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(store);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(accept(listener, service.build()));
        Ok(Self {
            endpoint,
            files,
            server,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A file with the secret of [`ACCESS_KEY_ID`].
    #[must_use]
    pub fn secret_file(&self) -> PathBuf {
        secret_file(self.files.path())
    }

    /// Where its objects are, a file each by its key.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.files.path().join(NAME)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn secret_file(files: &Path) -> PathBuf {
    files.join("secret_access_key")
}

async fn accept(listener: TcpListener, service: S3Service) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        // A client that goes away is no fault of the server.
        tokio::spawn(async move { drop(connection.await) });
    }
}
