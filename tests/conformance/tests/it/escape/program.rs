//! The runtime's own program.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::oci::{Bundle, Runtime, Status};

/// CVE-2019-5736: a program of the container makes the runtime execute itself inside, opens
/// /proc/PID/exe, waits for its end and writes.
///
/// What the container would do is done from the host, where nothing keeps us from looking; the
/// test below is seen to bite.
#[test]
fn the_program_of_who_joins_cannot_be_written() {
    needs!(Root);
    let (runtime, _folder) = copy();
    let before = fs::read(runtime.program()).unwrap();
    let bundle = Bundle::idle();
    for name in ["evil", "libevil"] {
        let path = bundle.file(&format!("bin/{name}"), "#!/proc/self/exe\n");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let container = runtime.create(&bundle);
    container.start();
    let end = AtomicBool::new(false);
    let held = std::thread::scope(|scope| {
        let spy = scope.spawn(|| programs_inside(container.pid(), &end));
        for _ in 0..10 {
            container.exec(&["/bin/evil"]);
            container.exec(&["/proc/self/exe"]);
            container.exec(&["true"]);
        }
        end.store(true, Ordering::Relaxed);
        spy.join().unwrap()
    });
    container.kill("KILL");
    container.wait_until(Status::Stopped);
    for program in held {
        assert!(write(&program).is_err(), "{program:?} can be written to");
    }
    assert!(fs::read(runtime.program()).unwrap() == before, "the program was overwritten");
}

/// Holds every program that is executed in the pid namespace of a process, but for busybox.
fn programs_inside(pid: i32, end: &AtomicBool) -> Vec<fs::File> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&pid.to_string());
    let mut held: BTreeMap<String, fs::File> = BTreeMap::new();
    while !end.load(Ordering::Relaxed) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.parse::<u32>().is_err() || namespace(&name) != wanted {
                continue;
            }
            let exe = entry.path().join("exe");
            let Ok(link) = fs::read_link(&exe) else { continue };
            let link = link.display().to_string();
            if !link.ends_with("/busybox") && !held.contains_key(&link) {
                held.extend(fs::File::open(exe).ok().map(|file| (link, file)));
            }
        }
    }
    held.into_values().collect()
}

/// The same of the first process, which is the runtime's program until `start`.
///
/// Seen to bite on runc 1.0.0-rc6.
#[test]
fn the_program_of_a_created_container_cannot_be_written() {
    needs!(Root);
    let (runtime, _folder) = copy();
    let before = fs::read(runtime.program()).unwrap();
    let container = runtime.create(&Bundle::running(&["/proc/self/exe"]));
    let exe = format!("/proc/{}/exe", container.pid());
    // As the container would: held open, and opened again for writing once nobody executes it.
    let held = fs::File::open(exe).unwrap();
    container.kill("KILL");
    container.wait_until(Status::Stopped);
    assert!(write(&held).is_err(), "it can be written to");
    assert!(fs::read(runtime.program()).unwrap() == before);
}

/// A copy of the runtime, under the same name: the one that is under test stays whole.
fn copy() -> (Runtime, tempfile::TempDir) {
    let original = Runtime::under_test();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(original.program().file_name().unwrap());
    fs::copy(original.program(), &program).unwrap();
    (Runtime::at(program), folder)
}

/// Opens again, for writing, what is held, and writes.
fn write(held: &fs::File) -> std::io::Result<()> {
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    fs::OpenOptions::new().append(true).open(path)?.write_all(b"overwritten")
}
