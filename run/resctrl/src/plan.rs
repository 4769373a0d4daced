//! From what is asked for to a group that is there.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::runtime::IntelRdt;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};

use crate::group::{Group, Place, write};
use crate::schemata;
use crate::{Resctrl, ResctrlError};

/// What a container asks for, checked as far as it can be without changing anything.
#[derive(Debug)]
pub struct Plan<'a> {
    resctrl: Resctrl,
    id: &'a str,
    wanted: &'a IntelRdt,
}

/// What is to be made, while nobody else changes the tree.
#[derive(Debug)]
pub struct Settled<'a> {
    plan: &'a Plan<'a>,
    place: Place,
    exists: bool,
    _lock: OwnedFd,
}

/// mkdir(2).
type Mkdir = dyn Fn(&Path) -> io::Result<()>;

/// What else is in the directory of a class, and no class.
const RESERVED: [&str; 3] = ["info", "mon_groups", "mon_data"];

impl<'a> Plan<'a> {
    /// Checks what the container `id` asks for.
    ///
    /// [`ResctrlError::Value`] names the member; [`ResctrlError::NoClass`] is a class that somebody
    /// should have made.
    pub fn new(resctrl: Resctrl, id: &'a str, wanted: &'a IntelRdt) -> Result<Self, ResctrlError> {
        let error =
            |field, problem: &str| Err(ResctrlError::Value { field, problem: problem.to_owned() });
        let name = wanted.clos_id.as_deref().unwrap_or(id);
        let is_name = !name.is_empty() && !name.contains(['/', '\n', '\0']);
        if name != "/" && (!is_name || [".", ".."].contains(&name) || RESERVED.contains(&name)) {
            return error("closID", &format!("{name:?} is no name of a class of service"));
        }
        let texts = wanted.l3_cache_schema.iter().chain(&wanted.mem_bw_schema);
        if texts.chain(&wanted.schemata).any(|text| text.contains('\0')) {
            return error("schemata", "has a zero byte in it");
        }
        if let Some(text) = wanted.mem_bw_schema.as_deref().filter(|text| !text.is_empty())
            && (!text.starts_with("MB:") || text.contains('\n'))
        {
            return error("memBwSchema", "is not one line that begins with MB:");
        }
        if wanted.schemata.iter().any(|line| line.contains('\n')) {
            return error("schemata", "has a line end inside of a line");
        }
        let plan = Self { resctrl, id, wanted };
        if plan.needs_class() && !plan.class().is_dir() {
            return Err(ResctrlError::NoClass { group: plan.class() });
        }
        Ok(plan)
    }

    /// Waits until nobody else changes the tree, and looks at what is there.
    pub fn settle(&'a self) -> Result<Settled<'a>, ResctrlError> {
        let root = self.resctrl.root();
        let lock = lock(root)?;
        let class = self.class();
        let exists = class.is_dir();
        if exists && self.wanted.clos_id.is_some() {
            self.compare(&class)?;
        }
        let monitors = self.wanted.enable_monitoring == Some(true);
        let monitor = monitors.then(|| class.join("mon_groups").join(self.id));
        if let Some(group) = monitor.as_ref().filter(|group| group.exists()) {
            return Err(ResctrlError::Exists { group: group.clone() });
        }
        let named = self.wanted.clos_id.is_some();
        let place = Place { class, monitor, made: !exists, named };
        Ok(Settled { plan: self, place, exists, _lock: lock })
    }

    fn class(&self) -> PathBuf {
        match self.wanted.clos_id.as_deref().unwrap_or(self.id) {
            "/" => self.resctrl.root().to_owned(),
            name => self.resctrl.root().join(name),
        }
    }

    /// Whether the class must be there already.
    fn needs_class(&self) -> bool {
        self.wanted.clos_id.is_some() && schemata::lines(self.wanted).is_empty()
    }

    fn compare(&self, class: &Path) -> Result<(), ResctrlError> {
        let lines = schemata::lines(self.wanted);
        if lines.is_empty() {
            return Ok(());
        }
        let path = class.join("schemata");
        let text =
            fs::read_to_string(&path).map_err(|source| ResctrlError::io("read", &path, source))?;
        match schemata::difference(&lines, &text, self.resctrl.root()) {
            None => Ok(()),
            Some((asked, found)) => {
                Err(ResctrlError::Differs { group: class.to_owned(), asked, found })
            }
        }
    }
}

impl Settled<'_> {
    /// What will be there: to be written down before it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Makes it. What was made is removed again if something fails.
    pub fn make(self) -> Result<Group, ResctrlError> {
        self.make_by(&|path| fs::create_dir(path))
    }

    /// As [`Settled::make`], with what makes a directory and all that the kernel puts into it.
    fn make_by(self, mkdir: &Mkdir) -> Result<Group, ResctrlError> {
        let root = self.plan.resctrl.root();
        let made = self.fill(mkdir);
        made.map_err(|error| {
            let error = error.explained(root);
            // The first cause is what counts; nobody is inside yet.
            let _ = self.place.remove(true);
            error
        })?;
        Ok(Group::new(self.place))
    }

    fn fill(&self, mkdir: &Mkdir) -> Result<(), ResctrlError> {
        let Place { class, monitor, named, .. } = &self.place;
        let make_directory =
            |path: &Path| mkdir(path).map_err(|source| ResctrlError::io("make", path, source));
        if !self.exists {
            if self.plan.needs_class() {
                return Err(ResctrlError::NoClass { group: class.clone() });
            }
            make_directory(class)?;
        }
        let lines = schemata::lines(self.plan.wanted);
        // A class that somebody else made and that was named has been compared.
        let compared = self.exists && *named;
        if !compared && !lines.is_empty() {
            write(&class.join("schemata"), &format!("{}\n", lines.join("\n")))?;
        }
        match monitor {
            None => Ok(()),
            Some(monitor) => make_directory(monitor),
        }
    }
}

/// Held until it is dropped.
pub(crate) fn lock(root: &Path) -> Result<OwnedFd, ResctrlError> {
    let error = |source: rustix::io::Errno| ResctrlError::io("lock", root, io::Error::from(source));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::openat(CWD, root, flags, Mode::empty()).map_err(error)?;
    rustix::fs::flock(&top, FlockOperation::LockExclusive).map_err(error)?;
    Ok(top)
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;
    use tempfile::TempDir;

    use super::*;
    use crate::{BandwidthInfo, Traffic};

    /// A directory that looks like a resctrl.
    fn resctrl() -> (TempDir, Resctrl) {
        let top = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("tasks", ""),
            ("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n"),
            ("info/last_cmd_status", "ok\n"),
            ("info/L3/cbm_mask", "fffff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
            ("info/MB/bandwidth_gran", "10\n"),
            ("info/MB/delay_linear", "1\n"),
            ("info/MB/min_bandwidth", "10\n"),
            ("info/MB/num_closids", "8\n"),
        ] {
            let path = top.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir(top.path().join("mon_groups")).unwrap();
        let resctrl = Resctrl::at(top.path());
        (top, resctrl)
    }

    /// As the kernel makes a directory of resctrl.
    fn mkdir(path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        fs::write(path.join("tasks"), "")?;
        for (domain, occupancy) in [("mon_L3_00", "4096\n"), ("mon_L3_01", "Unavailable\n")] {
            let data = path.join("mon_data").join(domain);
            fs::create_dir_all(&data)?;
            fs::write(data.join("llc_occupancy"), occupancy)?;
            fs::write(data.join("mbm_total_bytes"), "9\n")?;
            fs::write(data.join("mbm_local_bytes"), "7\n")?;
        }
        if path.parent().is_some_and(|above| !above.ends_with("mon_groups")) {
            fs::create_dir(path.join("mon_groups"))?;
            // Empty, since what is written to the stand-in covers only as much as it is long.
            fs::write(path.join("schemata"), "")?;
        }
        Ok(())
    }

    /// As the kernel removes one: whatever is in it.
    fn empty(path: &Path) {
        fs::remove_dir_all(path).unwrap();
        fs::create_dir(path).unwrap();
    }

    fn class(name: Option<&str>, schemata: &[&str]) -> IntelRdt {
        let schemata = schemata.iter().map(|&line| line.to_owned()).collect();
        IntelRdt { clos_id: name.map(str::to_owned), schemata, ..IntelRdt::default() }
    }

    fn make(resctrl: &Resctrl, id: &str, wanted: &IntelRdt) -> Result<Group, ResctrlError> {
        Plan::new(resctrl.clone(), id, wanted)?.settle()?.make_by(&mkdir)
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_container_without_a_class_has_one_of_its_own_that_goes_with_it() {
        let (top, resctrl) = resctrl();
        let mut wanted = class(None, &["L2:0=f"]);
        wanted.l3_cache_schema = Some("L3:0=f".into());
        wanted.mem_bw_schema = Some("MB:0=20".into());
        wanted.enable_monitoring = Some(true);
        let plan = Plan::new(resctrl.clone(), "one", &wanted).unwrap();
        let settled = plan.settle().unwrap();
        let place = settled.place().clone();
        let group = settled.make_by(&mkdir).unwrap();
        let directory = top.path().join("one");
        assert_eq!(read(directory.join("schemata")), "L3:0=f\nMB:0=20\nL2:0=f\n");
        group.add(Pid::from_raw(42).unwrap()).unwrap();
        assert_eq!(read(directory.join("tasks")), "42");
        assert_eq!(read(directory.join("mon_groups/one/tasks")), "42");
        let stats = group.stats().unwrap();
        assert_eq!(stats.schemata, ["L3:0=f", "MB:0=20", "L2:0=f"]);
        assert_eq!(stats.root_schemata, ["MB:0=100;1=100", "L3:0=fffff;1=fffff"]);
        assert_eq!(stats.occupancy, Some(vec![4096, 0]));
        assert_eq!(stats.traffic, Some(vec![Traffic { total_bytes: 9, local_bytes: 7 }; 2]));
        let bandwidth = BandwidthInfo { step: 10, linear: 1, least: 10, classes: 8 };
        assert_eq!(stats.bandwidth, Some(bandwidth));
        assert_eq!(stats.cache.unwrap().mask, "fffff");
        group.update(&class(None, &["MB:0=30"])).unwrap();
        assert!(read(directory.join("schemata")).starts_with("MB:0=30\n"));
        // The other container's monitoring group of the same name is in another class.
        assert!(matches!(
            make(&resctrl, "one", &wanted),
            Err(ResctrlError::Exists { group }) if group == directory.join("mon_groups/one")
        ));
        empty(&directory.join("mon_groups/one"));
        place.remove(false).unwrap_err();
        assert!(!directory.join("mon_groups/one").exists());
        empty(&directory);
        place.remove(false).unwrap();
        assert!(!directory.exists() && place.open().is_none());
        place.remove(false).unwrap();
    }

    #[test]
    fn a_named_class_is_shared_and_stays() {
        let (top, resctrl) = resctrl();
        let wanted = class(Some("gold"), &["L3:0=f0"]);
        let plan = Plan::new(resctrl.clone(), "one", &wanted).unwrap();
        let settled = plan.settle().unwrap();
        let place = settled.place().clone();
        settled.make_by(&mkdir).unwrap();
        let directory = top.path().join("gold");
        place.remove(false).unwrap();
        // The next one finds it as it wants it, and writes nothing.
        fs::write(directory.join("schemata"), "    L3:0=000f0;1=fffff\n").unwrap();
        make(&resctrl, "two", &wanted).unwrap();
        assert_eq!(read(directory.join("schemata")), "    L3:0=000f0;1=fffff\n");
        let other = class(Some("gold"), &["L3:0=f"]);
        assert!(matches!(
            make(&resctrl, "three", &other),
            Err(ResctrlError::Differs { asked, found, .. })
                if asked == "L3:0=f" && found == "L3:0=000f0;1=fffff"
        ));
        // Of a container that never came to be it goes, but not from under others.
        fs::write(directory.join("tasks"), "7\n").unwrap();
        place.remove(true).unwrap();
        empty(&directory);
        place.remove(true).unwrap();
        assert!(!directory.exists());
    }

    #[test]
    fn a_class_that_nobody_made_is_an_error_and_the_default_one_is_always_there() {
        let (top, resctrl) = resctrl();
        let wanted = class(Some("gold"), &[]);
        let error = make(&resctrl, "one", &wanted).unwrap_err();
        assert!(matches!(error, ResctrlError::NoClass { .. }), "{error}");
        let group = make(&resctrl, "one", &class(Some("/"), &[])).unwrap();
        group.add(Pid::from_raw(42).unwrap()).unwrap();
        assert_eq!(read(top.path().join("tasks")), "42");
        assert_eq!(group.root(), top.path());
    }

    #[test]
    fn what_fails_leaves_nothing_and_is_told_in_the_kernels_words() {
        let (top, resctrl) = resctrl();
        fs::write(top.path().join("info/last_cmd_status"), "Unknown or unsupported resource\n")
            .unwrap();
        let plan_of = class(None, &["L9:0=f"]);
        let plan = Plan::new(resctrl, "one", &plan_of).unwrap();
        // A directory as the kernel never makes it: the schema cannot be written.
        let error = plan.settle().unwrap().make_by(&|path| fs::create_dir(path)).unwrap_err();
        assert!(error.to_string().ends_with(": Unknown or unsupported resource"), "{error}");
        assert!(!top.path().join("one").exists());
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused_by_their_names() {
        let (_top, resctrl) = resctrl();
        let refused = |id: &str, wanted: &IntelRdt| match Plan::new(resctrl.clone(), id, wanted) {
            Err(ResctrlError::Value { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        for name in ["", ".", "..", "a/b", "info", "mon_groups", "../x", "a\nb"] {
            assert_eq!(refused("one", &class(Some(name), &["L3:0=f"])), "closID", "{name:?}");
        }
        assert_eq!(refused("mon_data", &class(None, &[])), "closID");
        assert_eq!(refused("one", &class(None, &["L3:0=f\nMB:0=1"])), "schemata");
        for text in ["L3:0=f", "MB:0=1\n"] {
            let mem_bw_schema = Some(text.to_owned());
            let wanted = IntelRdt { mem_bw_schema, ..IntelRdt::default() };
            assert_eq!(refused("one", &wanted), "memBwSchema");
        }
    }
}
