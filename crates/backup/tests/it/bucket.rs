//! The same into a bucket, of a server that checks signatures.

use std::time::Duration;

use streamhaul_backup::{DestinationConfig, Keep, S3Config};
use testkit::bucket::{self, Bucket};

use crate::world::World;

/// More than one part of an upload.
const LARGE: u64 = 10 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_takes_large_backups_gives_them_back_and_lets_them_go() {
    let bucket = Bucket::serve().await.unwrap();
    let mut world = World::new().await;
    world
        .sql("INSERT INTO public.notes SELECT gen_random_uuid()::text FROM generate_series(1, 700000)")
        .await;
    world.config.destinations = vec![offsite(&bucket)];
    let old = world.take().await;
    assert!(
        old.manifest.base.bytes > LARGE,
        "{}",
        old.manifest.base.bytes
    );
    world.sql("TRUNCATE public.notes").await;
    // Backups are named by the second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = world.take().await;
    let backups = world.backups();
    let offsite = &backups.destinations()[0];
    let whole = backups
        .verify(offsite, Some(&old.manifest.id), &world.identities)
        .await
        .unwrap();
    assert_eq!(
        (whole.manifest, whole.deleted),
        (old.manifest.clone(), vec![])
    );
    let verified = backups
        .verify(offsite, None, &world.identities)
        .await
        .unwrap();
    assert_eq!(verified.manifest, new.manifest);
    assert_eq!(verified.deleted, [old.manifest.id]);
    assert_eq!(offsite.list().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_said_and_not_shown() {
    let bucket = Bucket::serve().await.unwrap();
    let mut world = World::new().await;
    let wrong = world.dir.path().join("wrong");
    std::fs::write(&wrong, "another").unwrap();
    let mut offsite = offsite(&bucket);
    offsite.s3.as_mut().unwrap().secret_access_key_file = wrong;
    world.config.destinations = vec![offsite];
    let refused = world.backups().take(&world.url()).await.unwrap_err();
    assert_eq!(refused.reason(), "destination", "{refused}");
    assert!(!refused.to_string().contains("another"), "{refused}");
    let objects = std::fs::read_dir(bucket.objects()).unwrap();
    assert_eq!(objects.count(), 0);
}

fn offsite(bucket: &Bucket) -> DestinationConfig {
    DestinationConfig {
        name: "offsite".to_owned(),
        s3: Some(S3Config {
            endpoint: Some(bucket.endpoint().to_owned()),
            bucket: bucket::NAME.to_owned(),
            prefix: "live/one".to_owned(),
            access_key_id: bucket::ACCESS_KEY_ID.to_owned(),
            secret_access_key_file: bucket.secret_file(),
            allow_http: true,
            ..S3Config::default()
        }),
        keep: Keep {
            daily: 1,
            weekly: 0,
            monthly: 0,
            log_days: 0,
        },
        ..DestinationConfig::default()
    }
}
