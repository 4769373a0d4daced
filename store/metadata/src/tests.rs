//! Containers come, are found, and go; killed processes leave what can be told and cleared.

use std::os::fd::AsFd;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use oci::{Digest, Platform, Timestamp};

use crate::{Containers, Debris, MetadataError, Phase, Record, Status, UNBORN_GRACE};

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn record(id: &str) -> Record<u32> {
    Record {
        id: id.into(),
        created: Timestamp::now(),
        image_id: Digest::from_sha256(&[1; 32]),
        platform: Platform::host(),
        diff_ids: vec![],
        command: vec!["true".into()],
        config: Default::default(),
        host: Default::default(),
        networking: Default::default(),
        mounts: vec![1, 2],
        volatile: false,
        ids: None,
    }
}

fn make(all: &Containers, id: &str, name: &str) -> Result<(), MetadataError> {
    let status = Status { name: name.into(), ..Status::default() };
    let mut new = all.create(&record(id), &status, &["upper"])?;
    new.claim_name(name)?;
    new.publish().map(drop)
}

#[test]
fn a_container_is_found_by_id_name_and_prefix() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    make(&all, &format!("ab{}", &id('c')[2..]), "beef").unwrap();

    for text in ["web", "/web", "aa", &id('a')] {
        assert_eq!(all.find(text).unwrap().id(), id('a'), "{text}");
    }
    assert!(matches!(all.find("a"), Err(MetadataError::Ambiguous { .. })));
    for text in ["", "nothing", "ff", "../web", ".", "we"] {
        assert!(matches!(all.find(text), Err(MetadataError::NotFound { .. })), "{text}");
    }
    assert_eq!(all.find("web").unwrap().record::<u32>().unwrap().mounts, [1, 2]);
}

#[test]
fn a_name_belongs_to_one_container_and_is_free_when_that_is_gone() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    match make(&all, &id('b'), "web") {
        Err(MetadataError::NameTaken { name, id: owner }) => {
            assert_eq!((name, owner), ("web".into(), id('a')))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(all.ids().unwrap(), [id('a')], "the loser leaves nothing");

    let container = all.find("web").unwrap();
    let operation = container.lock_operation().unwrap();
    all.rename(&container, "web", "app", &operation).unwrap();
    assert_eq!(container.status().unwrap().name, "app");
    make(&all, &id('b'), "web").unwrap();

    all.remove(&container, "app", &operation).unwrap().delete().unwrap();
    make(&all, &id('c'), "app").unwrap();
    assert_eq!(all.debris(UNBORN_GRACE).unwrap(), []);
}

#[test]
fn a_rename_that_was_cut_off_is_found_cleared_and_can_be_done_again() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    let container = all.find("web").unwrap();
    // As after SIGKILL between the first step and the second.
    all.claim_name("app", &id('a')).unwrap();
    {
        let operation = container.lock_operation().unwrap();
        assert_eq!(all.debris(UNBORN_GRACE).unwrap(), [], "somebody may be renaming it");
        all.rename(&container, "web", "app", &operation).unwrap();
    }
    assert_eq!(all.debris(UNBORN_GRACE).unwrap(), []);

    all.claim_name("former", &id('a')).unwrap();
    let debris = all.debris(UNBORN_GRACE).unwrap();
    assert_eq!(debris, [Debris::Name { name: "former".into(), id: id('a') }]);
    all.clear(&debris[0], UNBORN_GRACE).unwrap();
    make(&all, &id('b'), "former").unwrap();
    assert_eq!(all.find("app").unwrap().id(), id('a'));
}

#[test]
fn a_container_that_was_removed_meanwhile_is_not_found() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    let container = all.find("web").unwrap();
    let gone =
        |result: Result<(), MetadataError>| matches!(result, Err(MetadataError::NotFound { .. }));
    let trash = {
        let operation = container.lock_operation().unwrap();
        all.remove(&container, "web", &operation).unwrap()
    };
    assert!(!container.is_there());
    assert!(gone(container.lock_operation().map(drop)), "in the trash");
    assert!(gone(container.try_lock_operation().map(drop)));

    trash.delete().unwrap();
    assert!(gone(container.lock_operation().map(drop)), "deleted");
    assert!(gone(container.status().map(drop)));
    assert!(gone(container.is_alive().map(drop)));
    container.wait_for_death().unwrap();
}

#[test]
fn who_waits_for_a_container_is_not_taken_for_its_shim() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    let container = all.find("web").unwrap();
    let lock = std::fs::File::open(container.path().join("lock")).unwrap();
    assert!(sys::fs::lock_range(lock.as_fd(), 0, sys::fs::Lock::Shared, false).unwrap());
    assert!(!container.is_alive().unwrap());
}

#[test]
fn a_launcher_is_waited_for_and_other_operations_are_not() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    let container = all.get(&id('a')).unwrap();
    let stopping = container.lock_operation().unwrap();
    container.wait_for_launcher().unwrap();
    assert!(container.try_lock_operation().unwrap().is_none());
    drop(stopping);

    let launching = container.lock_operation().unwrap();
    launching.mark_as_launch().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            container.wait_for_launcher().unwrap();
            container.try_lock_operation().unwrap().is_some()
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        drop(launching);
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn all_statuses_are_there_however_many() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    assert_eq!(all.statuses().unwrap(), []);
    let mut made = Vec::new();
    for count in [1, 450] {
        while made.len() < count {
            let id = format!("{:064x}", made.len());
            make(&all, &id, &format!("name{}", made.len())).unwrap();
            made.push(id);
        }
        let mut found = all.statuses().unwrap();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let names: Vec<&str> = found.iter().map(|(_, status)| status.name.as_str()).collect();
        let wanted: Vec<String> = (0..count).map(|number| format!("name{number}")).collect();
        assert_eq!(names, wanted);
        assert!(found.iter().map(|(id, _)| id).eq(&made));
    }
    let damaged = temp.path().join("containers").join(&made[400]).join("status.json");
    std::fs::write(&damaged, "{").unwrap();
    let error = all.statuses().unwrap_err();
    assert!(matches!(error, MetadataError::Damaged { path, .. } if path == damaged));
}

#[test]
fn names_outside_the_grammar_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    for name in ["", "a", "-a", ".lock", "../x", "a/b", "a b", &"a".repeat(256)] {
        assert!(matches!(make(&all, &id('a'), name), Err(MetadataError::BadName { .. })), "{name}");
    }
    assert_eq!(all.ids().unwrap(), [""; 0]);
}

#[test]
fn the_lock_says_whether_a_container_lives() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    let container = all.find("web").unwrap();
    assert!(!container.is_alive().unwrap());

    let life = container.try_claim_life().unwrap().unwrap();
    assert!(container.is_alive().unwrap());
    assert!(container.try_claim_life().unwrap().is_none());
    let status = container.update_status(|status| status.phase = Phase::Running).unwrap();
    assert_eq!(container.status().unwrap(), status);

    drop(life);
    assert!(!container.is_alive().unwrap());
    container.wait_for_death().unwrap();
}

#[test]
fn what_a_killed_process_left_is_found_and_cleared() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    let mut new = all.create(&record(&id('a')), &Status::default(), &["upper"]).unwrap();
    new.claim_name("half").unwrap();
    assert_eq!(all.debris(UNBORN_GRACE).unwrap(), [], "its maker is still at it");
    assert!(matches!(make(&all, &id('b'), "half"), Err(MetadataError::NameTaken { .. })));
    // As after SIGKILL: the locks are gone and nothing was cleaned up.
    new.forget();

    let debris = all.debris(UNBORN_GRACE).unwrap();
    assert_eq!(debris.len(), 2, "{debris:?}");
    for piece in &debris {
        all.clear(piece, UNBORN_GRACE).unwrap();
    }
    assert_eq!(all.debris(UNBORN_GRACE).unwrap(), []);
    assert_eq!(std::fs::read_dir(temp.path().join("containers")).unwrap().count(), 0);
}

#[test]
fn a_dead_name_is_taken_over_by_exactly_one_of_many() {
    let temp = tempfile::tempdir().unwrap();
    let all = Arc::new(Containers::open(temp.path()).unwrap());
    std::os::unix::fs::symlink(id('0'), temp.path().join("names/web")).unwrap();
    assert!(matches!(&all.debris(UNBORN_GRACE).unwrap()[..], [Debris::Name { .. }]));

    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = "12345678"
        .chars()
        .map(|letter| {
            let (all, barrier) = (Arc::clone(&all), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                make(&all, &id(letter), "web").is_ok()
            })
        })
        .collect();
    let winners =
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count();
    assert_eq!(winners, 1);
    assert_eq!(all.ids().unwrap().len(), 1);
}

#[test]
fn a_damaged_document_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    let path = temp.path().join("containers").join(id('a')).join("status.json");
    std::fs::write(&path, "{").unwrap();
    match all.find("web").unwrap().status() {
        Err(MetadataError::Damaged { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_container_without_a_record_is_told_and_removed() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    make(&all, &id('a'), "web").unwrap();
    assert!(!all.is_hollow(&id('a')));
    assert!(!all.is_hollow(&id('b')), "it is not there at all");
    all.remove_hollow(&id('a')).unwrap();
    assert_eq!(all.ids().unwrap(), [id('a')], "it has its record");

    std::fs::remove_file(temp.path().join("containers").join(id('a')).join("record.json")).unwrap();
    assert!(all.is_hollow(&id('a')));
    all.remove_hollow(&id('a')).unwrap();
    assert_eq!(all.ids().unwrap(), [""; 0]);
}

#[test]
fn a_maker_killed_before_its_lock_is_told_by_who_knows_that_nobody_makes_one() {
    let temp = tempfile::tempdir().unwrap();
    let all = Containers::open(temp.path()).unwrap();
    std::fs::create_dir(temp.path().join("containers").join(format!(".new-{}", id('a')))).unwrap();
    assert_eq!(all.debris(UNBORN_GRACE).unwrap(), [], "it may just be made");

    let debris = all.debris(Duration::ZERO).unwrap();
    assert_eq!(debris.len(), 1);
    all.clear(&debris[0], Duration::ZERO).unwrap();
    assert_eq!(all.debris(Duration::ZERO).unwrap(), []);
}
