//! What comes back is what was, at the instant that is asked for.

use std::time::Duration;

use jiff::Timestamp;
use storage::backup::Database;
use streamhaul_backup::{Error, Target};

use crate::world::{World, notes};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_comes_back_as_it_was_and_any_instant_after_it() {
    let world = World::new().await;
    world.note("before").await;
    let taken = world.take().await;
    assert_eq!(taken.stored, ["disk"]);
    assert!(taken.manifest.tables.len() > 40, "{taken:?}");
    world.note("first").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = Timestamp::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.note("second").await;
    world.backups().archive_log(&world.url()).await.unwrap();

    let restored = world.restore("mark", Target::Mark).await.unwrap();
    assert_eq!(restored.tables, taken.manifest.tables);
    assert_eq!(notes(&restored), 1);
    let restored = world
        .restore("between", Target::Time(between))
        .await
        .unwrap();
    assert_eq!(notes(&restored), 2);
    let restored = world.restore("end", Target::End).await.unwrap();
    assert_eq!(notes(&restored), 3);

    let late = Timestamp::now() + Duration::from_secs(3600);
    let refused = world.restore("late", Target::Time(late)).await.unwrap_err();
    assert!(matches!(refused, Error::Nothing(_)), "{refused}");
    assert!(refused.to_string().contains("--to latest"), "{refused}");
    let early = taken.manifest.started_at - Duration::from_secs(3600);
    let refused = world
        .restore("early", Target::Time(early))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("earliest"), "{refused}");
    assert!(!world.path("late").exists() && !world.path("early").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_set_beside_a_transaction_that_never_ends() {
    let world = World::new().await;
    let busy = testkit::database::hold(&world.url(), "SELECT pg_current_xact_id()").await;
    let database = Database::new(&world.url()).unwrap();
    let mark = database.mark(Duration::from_millis(300)).await.unwrap();
    let counted = mark.unwrap().count().await.unwrap();
    assert!(counted.iter().any(|it| it.table == "public.notes"));
    drop(busy);

    let writing = "INSERT INTO public.notes VALUES ('open')";
    let _writer = testkit::database::hold(&world.url(), writing).await;
    let mark = database.mark(Duration::from_millis(300)).await.unwrap();
    assert!(mark.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_kept_and_lets_old_backups_go() {
    let mut world = World::new().await;
    world.config.destinations[0].keep = streamhaul_backup::Keep {
        daily: 1,
        weekly: 0,
        monthly: 0,
        log_days: 0,
    };
    let old = world.take().await;
    // Names tell seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = world.take().await;
    let backups = world.backups();
    let disk = &backups.destinations()[0];
    assert_eq!(disk.list().await.unwrap().len(), 2);

    let verified = backups.verify(disk, None, &world.identities).await.unwrap();
    assert_eq!(verified.manifest, new.manifest);
    assert_eq!(verified.deleted, [old.manifest.id]);
    let left = disk.list().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].proof.as_ref(), Some(&verified.proof));
    let log = std::fs::read_dir(
        world
            .path("backups/log")
            .join(&new.manifest.system_identifier),
    );
    let mut log: Vec<_> = log.unwrap().map(|it| it.unwrap().file_name()).collect();
    log.sort();
    assert!(
        log[0].to_str().unwrap().starts_with(&new.manifest.log_from),
        "{log:?}"
    );

    backups.record(&world.url(), disk, &verified).await.unwrap();
    let pool = storage::connect("test", &world.url(), 1).unwrap();
    let records = storage::backup::records(&pool).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].made.id, new.manifest.id);
    assert_eq!(records[0].proof.unwrap().rows, new.manifest.rows());
}
