//! Whatever goes wrong is said, and leaves what was there before as it was.

use secrecy::ExposeSecret as _;
use storage::backup::Database;
use streamhaul_backup::{DestinationConfig, Error, Identities, Request, Target};

use crate::world::{World, files};

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_fails_is_left_behind() {
    let mut world = World::new().await;
    let broken = DestinationConfig {
        name: "broken".to_owned(),
        path: Some(world.path("broken")),
        ..DestinationConfig::default()
    };
    std::fs::create_dir(world.path("broken")).unwrap();
    std::fs::write(world.path("broken/base"), "in the way").unwrap();
    let disk = std::mem::replace(&mut world.config.destinations, vec![broken]);
    let refused = world.backups().take(&world.url()).await.unwrap_err();
    assert_eq!(refused.reason(), "destination", "{refused}");
    assert!(refused.to_string().contains("broken"), "{refused}");
    assert_eq!(files(&world.path("broken")).len(), 1);

    world.config.destinations.splice(..0, disk);
    let taken = world.take().await;
    assert_eq!(taken.stored, ["disk"]);
    assert!(
        taken.failures[0].to_string().contains("broken"),
        "{taken:?}"
    );
    let restored = world.restore("data", Target::Mark).await.unwrap();
    assert_eq!(restored.tables, taken.manifest.tables);
    // The log stays on the server for the one that does not have it.
    let database = Database::new(&world.url()).unwrap();
    let slot = database.slot("streamhaul_backup").await.unwrap();
    let kept_from = slot.unwrap().kept_from.unwrap();
    assert!(kept_from < taken.manifest.mark);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_key_and_damage_are_told_apart_and_delete_nothing() {
    let world = World::new().await;
    let taken = world.take().await;
    let backups = world.backups();
    let disk = &backups.destinations()[0];
    let other = world.path("other_key");
    std::fs::write(
        &other,
        streamhaul_backup::generate_identity().expose_secret(),
    )
    .unwrap();
    let other = Identities::read(&other).unwrap();
    let wrong = Request {
        destination: disk,
        id: None,
        target: Target::Mark,
        into: &world.path("data"),
        identities: &other,
    };
    let refused = backups.restore(wrong).await.unwrap_err();
    assert_eq!(refused.reason(), "key", "{refused}");
    assert!(!world.path("data").exists());

    let base = world.base(&taken.manifest.id);
    let whole = std::fs::read(&base).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for bytes in [&whole[..whole.len() / 2], &changed[..], b""] {
        std::fs::write(&base, bytes).unwrap();
        let stored = files(&world.path("backups"));
        let verified = backups.verify(disk, None, &world.identities).await;
        let refused = verified.unwrap_err();
        assert_eq!(refused.reason(), "damaged", "{refused}");
        assert_eq!(files(&world.path("backups")), stored);
    }
    std::fs::write(&base, &whole).unwrap();
    let log = world
        .path("backups/log")
        .join(&taken.manifest.system_identifier);
    let object = log.join(format!("{}.zst.age", taken.manifest.log_to));
    std::fs::remove_file(&object).unwrap();
    let refused = world.restore("data", Target::Mark).await.unwrap_err();
    assert_eq!(refused.reason(), "damaged", "{refused}");
    assert!(refused.to_string().contains("missing"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_otherwise_is_no_proof() {
    let world = World::new().await;
    let taken = world.take().await;
    let path = world
        .base(&taken.manifest.id)
        .with_file_name("manifest.json");
    let mut manifest = taken.manifest.clone();
    manifest.tables[0].rows += 1;
    std::fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    let backups = world.backups();
    let disk = &backups.destinations()[0];
    let refused = backups.verify(disk, None, &world.identities).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.reason(), "different", "{refused}");
    assert!(disk.list().await.unwrap()[0].proof.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_and_a_log_without_a_backup_are_said() {
    let world = World::new().await;
    let backups = world.backups();
    let refused = backups.archive_log(&world.url()).await.unwrap_err();
    assert!(
        refused.to_string().contains("streamhaul backup"),
        "{refused}"
    );
    let away = "postgres://nobody@127.0.0.1:1/nothing";
    let refused = backups.take(away).await.unwrap_err();
    assert_eq!(refused.reason(), "database", "{refused}");
    let refused = world.restore("data", Target::Mark).await.unwrap_err();
    assert!(matches!(refused, Error::Nothing(_)), "{refused}");
}
