//! Who the node is: its id, its credential and the keys it believes, kept in one
//! file that only its user can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lease::{KeySet, Kid};
use model::NodeId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "node.json";

/// Why the identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is damaged ({reason}); remove it and enrol the node anew", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// What enrolment gave the node.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its id.
    pub(crate) node_id: NodeId,
    /// What it proves it with.
    pub(crate) credential: SecretString,
    /// Whose leases it believes.
    pub(crate) keys: KeySet,
}

/// Where the identity is kept.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    directory: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    node_id: NodeId,
    credential: String,
    keys: Vec<KeyFile>,
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    kid: String,
    public_key: String,
}

impl Store {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    /// The identity, if the node has one.
    pub(crate) fn load(&self) -> Result<Option<Identity>, Error> {
        let path = self.path();
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        parse(&json)
            .map(Some)
            .map_err(|reason| Error::Damaged { path, reason })
    }

    /// Replaces the file as a whole, so that a crash leaves the old or the new one.
    pub(crate) fn save(&self, identity: &Identity) -> Result<(), Error> {
        let json = to_json(identity);
        let path = self.path();
        self.replace(&path, &json)
            .map_err(|source| Error::Write { path, source })
    }

    fn replace(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let new = self.directory.join(format!("{FILE_NAME}.new"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(&self.directory)?.sync_all()
    }
}

fn to_json(identity: &Identity) -> Vec<u8> {
    let key = |(kid, public): (&Kid, [u8; 32])| KeyFile {
        kid: kid.as_str().into(),
        public_key: hex::encode(public),
    };
    let file = IdentityFile {
        node_id: identity.node_id.clone(),
        credential: identity.credential.expose_secret().into(),
        keys: identity.keys.iter().map(key).collect(),
    };
    let mut json = serde_json::to_vec_pretty(&file).expect("plain fields always serialise");
    json.push(b'\n');
    json
}

fn parse(json: &[u8]) -> Result<Identity, String> {
    // serde_json's message would quote what it found: say only where.
    let file: IdentityFile = serde_json::from_slice(json)
        .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
    let keys = file
        .keys
        .iter()
        .map(parse_key)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Identity {
        node_id: file.node_id,
        credential: file.credential.into(),
        keys: KeySet::new(keys).map_err(|error| error.to_string())?,
    })
}

fn parse_key(key: &KeyFile) -> Result<(Kid, [u8; 32]), String> {
    let kid = Kid::parse(&key.kid).map_err(|error| error.to_string())?;
    let mut public = [0; 32];
    hex::decode_to_slice(&key.public_key, &mut public).map_err(|error| error.to_string())?;
    Ok((kid, public))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use lease::SigningKey;

    use super::*;

    fn identity() -> Identity {
        Identity {
            node_id: NodeId::from_u128(1),
            credential: "sh_node_secret".into(),
            keys: KeySet::of([&SigningKey::from_seed(&[1; 32])]).unwrap(),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_its_user_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(&home.path().join("state"));
        assert!(store.load().unwrap().is_none());
        store.save(&identity()).unwrap();
        store.save(&identity()).unwrap();
        let loaded = store.load().unwrap().unwrap();
        assert_eq!(
            (loaded.node_id, loaded.keys),
            (identity().node_id, identity().keys)
        );
        assert_eq!(loaded.credential.expose_secret(), "sh_node_secret");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path()), 0o600);
        assert_eq!(mode(&store.directory), 0o700);
    }

    #[test]
    fn a_damaged_file_is_named_and_its_secret_is_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        for contents in [
            "",
            "{",
            r#"{"node_id":"nod_1","credential":"sh_node_secret","keys":7}"#,
        ] {
            fs::write(store.path(), contents).unwrap();
            let error = store.load().unwrap_err().to_string();
            assert!(error.contains("node.json is damaged"), "{error}");
            assert!(!error.contains("sh_node_secret"), "{error}");
        }
    }

    #[test]
    fn debug_does_not_show_the_credential() {
        assert!(!format!("{:?}", identity()).contains("sh_node_secret"));
    }
}
