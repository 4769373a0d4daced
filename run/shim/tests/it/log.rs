//! Logs of real processes.

use shim::Streams;
use shim::log::{Driver, LogFacts, LogPlan, ReadOptions, Reader, Stream};
use testkit::needs;

use crate::support::{Container, collect, read_until};

fn json_file() -> LogPlan {
    LogPlan::parse("json-file", [], &LogFacts::default()).unwrap()
}

#[test]
fn output_is_in_the_log_whoever_listens() {
    needs!(Root, Busybox);
    for attach in [Streams::ALL, Streams::NONE] {
        let mut container = Container::shell("echo out; echo err >&2; printf unfinished");
        container.launch.plan.log = json_file();
        container.launch.plan.attach = attach;
        assert_eq!(container.run().code, Some(0));
        container.events();
        let mut reader =
            Reader::open(&container.dir(), Driver::JsonFile, ReadOptions::default(), || false)
                .unwrap();
        let mut entries: Vec<(Stream, Vec<u8>)> =
            std::iter::from_fn(|| reader.next_entry().unwrap())
                .map(|entry| (entry.stream, entry.line))
                .collect();
        entries.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let line = |stream, text: &str| (stream, text.as_bytes().to_vec());
        let wanted = [
            line(Stream::Stdout, "out\n"),
            line(Stream::Stdout, "unfinished"),
            line(Stream::Stderr, "err\n"),
        ];
        assert_eq!(entries, wanted);
    }
}

#[test]
fn a_log_is_complete_and_bounded() {
    needs!(Root, Busybox);
    let mut container = Container::shell("seq 1 300000");
    container.launch.plan.attach = Streams::NONE;
    let options = [("max-size", "2m"), ("max-file", "3")];
    container.launch.plan.log = LogPlan::parse("local", [], &LogFacts::default()).unwrap();
    container.launch.plan.log.max_size_bytes = Some(2_000_000);
    container.launch.plan.log.max_files = 3;
    assert!(LogPlan::parse("local", options, &LogFacts::default()).is_ok());
    assert_eq!(container.run().code, Some(0));
    container.events();
    let options = ReadOptions { tail: Some(100_000), ..ReadOptions::default() };
    let mut reader = Reader::open(&container.dir(), Driver::Local, options, || false).unwrap();
    let text: Vec<u8> =
        std::iter::from_fn(|| reader.next_entry().unwrap()).flat_map(|entry| entry.line).collect();
    let wanted: String = (200_001..=300_000).map(|number| format!("{number}\n")).collect();
    assert!(text == wanted.as_bytes());
}

#[test]
fn a_log_can_be_followed_to_the_end() {
    needs!(Root, Busybox);
    let mut container = Container::shell("echo one; read line; echo two").with_stdin();
    container.launch.plan.log = json_file();
    let (mut session, _) = container.started();
    read_until(&mut session, "one");
    let options = ReadOptions { follow: true, ..ReadOptions::default() };
    let lock = std::fs::File::open(container.dir().join("lock")).unwrap();
    let is_alive = || lock.try_lock().is_err();
    let mut reader = Reader::open(&container.dir(), Driver::JsonFile, options, is_alive).unwrap();
    let mut next = || reader.next_entry().unwrap().map(|entry| entry.line);
    assert_eq!(next().as_deref(), Some(&b"one\n"[..]));
    session.send_stdin(b"go\n").unwrap();
    assert_eq!(next().as_deref(), Some(&b"two\n"[..]));
    assert_eq!(next(), None);
    collect(&mut session);
}

#[test]
fn without_a_log_there_is_no_file() {
    needs!(Root, Busybox);
    let container = Container::shell("echo out");
    container.run();
    container.events();
    assert!(!container.dir().join("container.log").exists());
}
