//! The whole house: what is there that should not be, and how to mend it.
//!
//! Nothing here is needed for the house to be in order as long as nobody is killed: each finding
//! is what SIGKILL or a loss of power leaves between two steps, and each is mended the way the
//! next command that meets it would.

use std::path::Path;
use std::time::Duration;

use content::StoreLock;
use metadata::{Debris, Phase};

use crate::container::{Held, Record, is_up};
use crate::{Engine, EngineError};

/// What is still there after so long is not just passing. The removal of a cgroup may take a part
/// of it.
const IN_PASSING: Duration = Duration::from_millis(200);

/// One thing that is not as it should be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What kind of thing: `container`, `layer`, `cgroup`, `process`...
    pub subject: &'static str,
    /// Which one.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
    /// Whether it was mended.
    pub repaired: bool,
}

/// What an audit found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// How many things were looked at.
    pub checked: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    pub(crate) fn add(
        &mut self,
        subject: &'static str,
        name: impl Into<String>,
        problem: impl Into<String>,
        mend: Option<Result<(), EngineError>>,
    ) {
        let mut problem = problem.into();
        let repaired = match mend {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                problem.push_str(&format!("; repairing it failed: {error}"));
                false
            }
            None => false,
        };
        self.findings.push(Finding { subject, name: name.into(), problem, repaired });
    }

    /// Whether this report has the same finding; one more that is the same does not count.
    fn take(&mut self, other: &Finding) -> bool {
        let same = |one: &Finding| one.subject == other.subject && one.name == other.name;
        self.findings.iter().position(same).map(|at| self.findings.swap_remove(at)).is_some()
    }

    /// Whether everything is as it should be, or is again.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.repaired)
    }
}

impl Engine {
    /// Audits records, processes, cgroups, names, blobs, layers and volumes; mends if asked.
    ///
    /// What another process is just doing is no finding: whatever looks like one is looked at
    /// again a little later, and mended only then.
    pub fn check(&self, repair: bool) -> Result<CheckReport, EngineError> {
        let mut first = self.look_around(false)?;
        let mut report = match first.findings.is_empty() && !repair {
            true => first,
            false => {
                if !first.findings.is_empty() {
                    std::thread::sleep(IN_PASSING);
                }
                let mut second = self.look_around(repair)?;
                second.findings.retain(|finding| first.take(finding));
                second
            }
        };
        self.check_images(&mut report)?;
        self.check_working(&mut report)?;
        Ok(report)
    }

    fn look_around(&self, repair: bool) -> Result<CheckReport, EngineError> {
        let mut report = CheckReport::default();
        self.check_containers(repair, &mut report)?;
        self.check_debris(repair, &mut report)?;
        self.check_cgroups(repair, &mut report)?;
        self.check_ids(repair, &mut report)?;
        self.check_networks(repair, &mut report)?;
        self.check_store(repair, &mut report)?;
        Ok(report)
    }

    fn check_containers(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        for id in self.containers().ids()? {
            report.checked += 1;
            match self.check_container(&id, repair, report) {
                // Removed while we looked.
                Err(EngineError::NoContainer { .. }) => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    fn check_container(
        &self,
        id: &str,
        repair: bool,
        report: &mut CheckReport,
    ) -> Result<(), EngineError> {
        let container = self.containers().get(id)?;
        if self.containers().is_hollow(id) {
            let mend = repair.then(|| Ok(self.containers().remove_hollow(id)?));
            report.add("container", id, "its record is not there", mend);
            return Ok(());
        }
        // In this order: what a dead one's status says is its last word.
        let alive = container.is_alive();
        let status = match container.status() {
            Ok(status) => status,
            Err(error @ metadata::MetadataError::NotFound { .. }) => return Err(error.into()),
            Err(error) => {
                report.add("container", id, format!("its status cannot be read: {error}"), None);
                return Ok(());
            }
        };
        match container.record::<bundle::PlannedMount>() {
            Ok(_) => {}
            Err(error @ metadata::MetadataError::NotFound { .. }) => return Err(error.into()),
            Err(error) => {
                let problem = format!("its record cannot be read: {error}");
                report.add("container", id, problem, None);
                return Ok(());
            }
        }
        let alive = match alive {
            Err(error @ metadata::MetadataError::Io { .. }) => {
                report.add("container", id, format!("its lock cannot be read: {error}"), None);
                return Ok(());
            }
            alive => alive?,
        };
        if is_up(&status) && !alive {
            let mend = repair.then(|| self.bury(&container).map(drop));
            report.add(
                "container",
                id,
                "it is written down as running, and its supervisor is gone",
                mend,
            );
        } else if !alive && status.auto_remove && self.is_left_over(&container, &status)? {
            let mend = repair.then(|| self.remove_left_over(&container));
            report.add("container", id, "it was to be removed when it ended", mend);
        } else if self.containers().name_owner(&status.name)?.as_deref() != Some(id)
            && container.try_lock_operation()?.is_some()
        {
            let mend =
                repair.then(|| self.containers().claim_name(&status.name, id).map_err(Into::into));
            report.add(
                "container",
                id,
                format!("its name {:?} does not lead to it", status.name),
                mend,
            );
        }
        Ok(())
    }

    /// Whether a container with `--rm` has ended, or was never started, with nobody at it.
    fn is_left_over(
        &self,
        container: &metadata::Container,
        status: &metadata::Status,
    ) -> Result<bool, EngineError> {
        let ended = matches!(status.phase, Phase::Exited | Phase::Created);
        Ok(ended && container.try_lock_operation()?.is_some() && !self.was_only_created(status))
    }

    /// `create --rm` makes a container that waits for its start.
    fn was_only_created(&self, status: &metadata::Status) -> bool {
        status.phase == Phase::Created && !status.launching
    }

    fn remove_left_over(&self, container: &metadata::Container) -> Result<(), EngineError> {
        match self.hold(container) {
            Ok(Held { operation, life: Some(_life), status })
                if status.phase == Phase::Exited || status.launching =>
            {
                self.remove_cgroup(&status.cgroup)?;
                self.remove_locked(container, &status, &operation, true)
            }
            Ok(_) | Err(EngineError::NoContainer { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check_debris(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        // Whoever makes a container holds the store's lock, shared.
        let alone = StoreLock::try_exclusive(self.root())?;
        let grace = if alone.is_some() { Duration::ZERO } else { metadata::UNBORN_GRACE };
        for piece in self.containers().debris(grace)? {
            report.checked += 1;
            let mend = repair.then(|| self.clear(&piece, grace));
            match &piece {
                Debris::Unborn { directory } => {
                    report.add("container", directory, "its creation was cut off", mend)
                }
                Debris::Name { name, id } => report.add(
                    "name",
                    name,
                    format!("it leads to container {id}, which is not there or goes by another"),
                    mend,
                ),
            }
        }
        let trash = sys::trash::Trash::open(self.root())
            .map_err(EngineError::io("open", self.root().join("trash")))?;
        if repair {
            trash.empty().map_err(EngineError::io("empty", self.root().join("trash")))?;
        }
        Ok(())
    }

    /// Removes what a killed creation left, with the anonymous volumes that it had made.
    fn clear(&self, piece: &Debris, grace: Duration) -> Result<(), EngineError> {
        let volumes = match piece {
            Debris::Unborn { directory } => {
                self.containers().unborn_record(directory).map(|record: Record| record.mounts)
            }
            Debris::Name { .. } => None,
        };
        // Before the record that names them.
        if let Some(mounts) = volumes {
            self.unmake_volumes(&mounts);
        }
        Ok(self.containers().clear(piece, grace)?)
    }

    /// Groups below ours whose container is gone or does not run.
    fn check_cgroups(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        let hierarchy = self.hierarchy()?;
        let Some(parent) = self.cgroup_parent()? else { return Ok(()) };
        let parent = cgroups::CgroupPath::new(&parent)?;
        for name in hierarchy.children(&parent)? {
            report.checked += 1;
            let path = parent.join(&name)?;
            let Ok(group) = hierarchy.open(&path) else { continue };
            let processes = group.processes()?;
            let known = self.containers().get(&name).ok();
            let in_use = match &known {
                // One that is removed just now clears up after itself.
                Some(container) => {
                    container.is_alive().unwrap_or(true)
                        || !matches!(container.try_lock_operation(), Ok(Some(_)))
                }
                None => !processes.is_empty(),
            };
            if in_use {
                continue;
            }
            let mend = repair.then(|| self.remove_cgroup(path.as_str()));
            report.add(
                "cgroup",
                path.as_str(),
                format!("its container does not run ({} processes in it)", processes.len()),
                mend,
            );
        }
        Ok(())
    }

    /// Ranges of ids whose containers never came to be, or are gone: of this data directory, or of
    /// one that is not there any more.
    fn check_ids(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        let Some(claims) = self.known_id_claims()? else { return Ok(()) };
        let alone = StoreLock::try_exclusive(self.root())?;
        let grace = if alone.is_some() { Duration::ZERO } else { metadata::UNBORN_GRACE };
        for stray in claims.strays(grace)? {
            let root = stray.owner.parent().and_then(Path::parent);
            if root.is_some_and(|root| root != self.root() && root.exists()) {
                continue;
            }
            report.checked += 1;
            let mend = repair.then(|| Ok(claims.clear(&stray, grace)?));
            let owner = stray.owner.display();
            let name = format!("{}+{}", stray.range.uid, stray.range.size);
            report.add("ids", name, format!("they belong to {owner}, which is not there"), mend);
        }
        Ok(())
    }

    /// Blobs and layers that an image needs and that are not there or damaged.
    fn check_images(&self, report: &mut CheckReport) -> Result<(), EngineError> {
        // So that none is removed while it is looked at.
        let _store = self.store_lock()?;
        for (record, names) in self.images()?.list()? {
            report.checked += 1;
            let name =
                names.first().map_or_else(|| record.id.to_string(), oci::Reference::familiar);
            for blob in record.blobs() {
                if let Err(error) = self.content()?.verify(blob) {
                    report.add(
                        "image",
                        name.clone(),
                        format!("{error}; load or import the image again"),
                        None,
                    );
                }
            }
            for diff_id in &record.diff_ids {
                if !self.snapshots()?.contains(diff_id)? {
                    report.add(
                        "image",
                        name.clone(),
                        format!("layer {diff_id} is not unpacked; load or import the image again"),
                        None,
                    );
                }
            }
        }
        Ok(())
    }

    /// Layers that working containers have grown by and that are not there.
    fn check_working(&self, report: &mut CheckReport) -> Result<(), EngineError> {
        let _store = self.store_lock()?;
        for id in self.containers().ids()? {
            let Ok(container) = self.containers().get(&id) else { continue };
            let layers = match crate::working::layers(&container) {
                // Removed while we looked.
                Err(_) if !container.is_there() => continue,
                layers => layers?,
            };
            for layer in self.snapshots()?.missing(&layers)? {
                let name = container.status().map_or_else(|_| id.clone(), |status| status.name);
                report.add(
                    "container",
                    name,
                    format!("layer {layer} of what it has become is lost; remove it"),
                    None,
                );
            }
        }
        Ok(())
    }

    /// What dead writers left, and what nothing names.
    fn check_store(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        let Some(lock) = StoreLock::try_exclusive(self.root())? else { return Ok(()) };
        let live = self.live(&lock)?;
        let blobs: Vec<_> = self
            .content()?
            .list()?
            .into_iter()
            .filter(|(digest, _)| !live.blobs.contains(digest))
            .collect();
        let layers: Vec<_> = self
            .snapshots()?
            .list()?
            .into_iter()
            .filter(|diff_id| !live.layers.contains(diff_id))
            .collect();
        for (digest, _) in &blobs {
            report.checked += 1;
            let mend = repair.then(|| {
                self.content().and_then(|content| Ok(content.remove(digest).map(drop)?))
            });
            report.add("blob", digest.to_string(), "no image needs it", mend);
        }
        for diff_id in &layers {
            report.checked += 1;
            let mend = repair.then(|| {
                self.snapshots().and_then(|snapshots| Ok(snapshots.remove(diff_id).map(drop)?))
            });
            report.add("layer", diff_id.to_string(), "no image and no container needs it", mend);
        }
        drop(lock);
        if repair {
            self.content()?.sweep()?;
            self.snapshots()?.sweep()?;
            self.volumes()?.sweep()?;
        }
        Ok(())
    }
}
