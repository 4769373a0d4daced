//! Does the steps of a plan: those that are ready at the same time, those that are known not at
//! all.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use attestation::provenance::Material;
use oci::{Digest, Timestamp};

use crate::cache::BuildCache;
use crate::events::{Event, EventSink, Outcome};
use crate::mounts::StepMounts;
use crate::plan::{Action, Plan};
use crate::request::{Request, Stores};
use crate::run::Runner;
use crate::{BuildError, FailedStep, Located, StepId};

mod files;
mod layer;
mod remotes;
mod runs;
mod stubs;

pub(crate) use layer::{Filling, seal_layer};
pub use remotes::{git_material, http_material};
pub(crate) use stubs::Stubs;

/// How many steps go on at once where there are few processors: most of them wait.
const LEAST_WORKERS: usize = 4;

/// What the steps of a plan gave.
#[derive(Debug)]
pub struct Solved {
    pub(crate) results: Vec<Option<StepResult>>,
    /// Files and repositories that were added.
    pub(crate) added: Vec<Material>,
}

impl Solved {
    /// The layers of a step's result, lowest first.
    pub(crate) fn layers(&self, step: Option<StepId>) -> &[Digest] {
        match step.and_then(|step| self.results.get(step)?.as_ref()) {
            Some(result) => &result.layers,
            None => &[],
        }
    }
}

/// What one step gave.
#[derive(Debug, Clone)]
pub(crate) struct StepResult {
    /// All layers, lowest first.
    pub(crate) layers: Vec<Digest>,
    /// The step's own, if it changed anything.
    pub(crate) own: Option<Digest>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) cached: bool,
    /// What it is remembered by; none for an image.
    pub(crate) keys: Vec<Digest>,
}

/// What steps are done with.
pub(crate) struct Tools<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) request: &'a Request,
    pub(crate) stores: &'a Stores,
    pub(crate) cache: &'a BuildCache,
    pub(crate) runner: &'a dyn Runner,
    pub(crate) events: &'a dyn EventSink,
    /// One step has failed: the others end.
    pub(crate) stop: &'a AtomicBool,
    /// What is known of the files of each context.
    pub(crate) digests: &'a files::ContextDigests,
    shared: &'a Shared,
}

impl Tools<'_> {
    /// The layers of a step that is done.
    pub(crate) fn layers_of(&self, step: Option<StepId>) -> Vec<Digest> {
        let Some(step) = step else { return Vec::new() };
        let state = self.shared.lock();
        state.results[step].as_ref().map(|result| result.layers.clone()).unwrap_or_default()
    }

    /// Notes what a step adds from elsewhere.
    pub(crate) fn adds(&self, material: Material) {
        self.shared.lock().added.push(material);
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    ready: VecDeque<StepId>,
    /// How many others each step still waits for.
    waits: Vec<usize>,
    results: Vec<Option<StepResult>>,
    /// How many are not done yet.
    left: usize,
    failed: Option<(StepId, Located)>,
    /// Where steps failed, if the request asks for it.
    kept: HashMap<StepId, FailedStep>,
    added: Vec<Material>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the steps that the target needs. The caller holds the store's shared lock.
///
/// `stop` ends it early; it is also set when a step fails, so that the others do.
pub fn solve(
    plan: &Plan,
    request: &Request,
    stores: &Stores,
    runner: &dyn Runner,
    events: &dyn EventSink,
    stop: &AtomicBool,
) -> Result<Solved, Located> {
    let needs: Vec<Vec<StepId>> = plan.steps.iter().map(|step| step.needs()).collect();
    let mut needed = vec![false; plan.steps.len()];
    let mut pending: Vec<StepId> = plan.target.into_iter().chain(plan.scan).collect();
    while let Some(step) = pending.pop() {
        if !std::mem::replace(&mut needed[step], true) {
            pending.extend(&needs[step]);
        }
    }
    let waits: Vec<usize> = needs.iter().map(Vec::len).collect();
    let shared = Shared {
        state: Mutex::new(State {
            ready: (0..plan.steps.len()).filter(|at| needed[*at] && waits[*at] == 0).collect(),
            waits,
            results: vec![None; plan.steps.len()],
            left: needed.iter().filter(|needed| **needed).count(),
            failed: None,
            kept: HashMap::new(),
            added: Vec::new(),
        }),
        changed: Condvar::new(),
    };
    // What builders that were killed have left half done.
    stores.snapshots.sweep().map_err(BuildError::from)?;
    let cache = BuildCache::new(&stores.root);
    let digests = files::ContextDigests::default();
    let tools = Tools {
        plan,
        request,
        stores,
        cache: &cache,
        runner,
        events,
        stop,
        digests: &digests,
        shared: &shared,
    };
    let work = || {
        while let Some(step) = next(&shared) {
            // One that ended with a panic would be waited for by all others.
            let done = catch_unwind(AssertUnwindSafe(|| tools.step(step)))
                .unwrap_or_else(|panic| Err(fault(&*panic)));
            let mut state = shared.lock();
            state.left -= 1;
            match done {
                Ok(result) => {
                    state.results[step] = Some(result);
                    for (user, needs) in needs.iter().enumerate() {
                        if needed[user] && needs.contains(&step) {
                            state.waits[user] -= 1;
                            if state.waits[user] == 0 {
                                state.ready.push_back(user);
                            }
                        }
                    }
                }
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    let lines = Some(plan.steps[step].lines);
                    if !matches!(error, BuildError::Canceled) || state.failed.is_none() {
                        let first = state
                            .failed
                            .take()
                            .filter(|(_, first)| !matches!(*first.error, BuildError::Canceled));
                        let error = Located { error: Box::new(error), lines, step: None };
                        state.failed = first.or(Some((step, error)));
                    }
                }
            }
            shared.changed.notify_all();
        }
    };
    let count = shared.lock().left;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A chain needs one worker; more begin only when there is more than one thing to do.
    let workers = cores.max(LEAST_WORKERS).min(widest(&needs, &needed)).min(count);
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    digests.save();
    let mut state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some((step, error)) => {
            Err(Located { step: state.kept.remove(&step).map(Box::new), ..error })
        }
        None => {
            let mut added = state.added;
            added.sort();
            added.dedup();
            Ok(Solved { results: state.results, added })
        }
    }
}

fn fault(panic: &(dyn Any + Send)) -> BuildError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    BuildError::Fault { message: text.unwrap_or("it says nothing").to_owned() }
}

/// The next step to do; `None` when all are done or one has failed.
fn next(shared: &Shared) -> Option<StepId> {
    let mut state = shared.lock();
    loop {
        if state.failed.is_some() || state.left == 0 {
            return None;
        }
        if let Some(step) = state.ready.pop_front() {
            return Some(step);
        }
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// At most how many steps can be under way at once: those that do not wait for each other level
/// by level.
fn widest(needs: &[Vec<StepId>], needed: &[bool]) -> usize {
    let mut levels = vec![0; needs.len()];
    let mut width = vec![0; needs.len() + 1];
    for (step, needs) in needs.iter().enumerate() {
        levels[step] = needs.iter().map(|below| levels[*below] + 1).max().unwrap_or(0);
        if needed[step] {
            width[levels[step]] += 1;
        }
    }
    width.into_iter().max().unwrap_or(1)
}

impl Tools<'_> {
    /// Does one step, or finds that it was done.
    fn step(&self, id: StepId) -> Result<StepResult, BuildError> {
        let step = &self.plan.steps[id];
        let began = Instant::now();
        self.events.event(Event::Started { step: id, name: step.name.clone() });
        let result = match self.stop.load(Ordering::Relaxed) {
            true => Err(BuildError::Canceled),
            false => self.act(id),
        };
        if matches!(&result, Err(error) if !matches!(error, BuildError::Canceled)) {
            self.keep_what_was_before(id);
        }
        let outcome = match &result {
            Ok(result) if result.cached => Outcome::Cached,
            Ok(_) => Outcome::Done,
            Err(BuildError::Canceled) => Outcome::Canceled,
            Err(error) => Outcome::Failed(crate::solve::with_causes(error)),
        };
        let (name, took) = (step.name.clone(), began.elapsed());
        self.events.event(Event::Ended { step: id, name, outcome, took });
        result
    }

    /// Keeps what a step that failed started from, unless it has kept more.
    fn keep_what_was_before(&self, id: StepId) {
        let step = &self.plan.steps[id];
        let Some(setting) = &step.setting else { return };
        if self.shared.lock().kept.contains_key(&id) {
            return;
        }
        // Whoever cannot make a layer now has another failure to look at.
        let Ok(filling) = self.begin() else { return };
        self.keep(
            id,
            FailedStep {
                name: step.name.clone(),
                setting: setting.clone(),
                variables: Vec::new(),
                below: self.layers_of(step.below),
                filling,
                mounts: StepMounts::default(),
                network: dockerfile::NetworkMode::Default,
                security: dockerfile::SecurityMode::Sandbox,
                devices: Vec::new(),
            },
        );
    }

    /// Keeps where a step failed.
    fn keep(&self, id: StepId, failed: FailedStep) {
        self.shared.lock().kept.insert(id, failed);
    }

    fn act(&self, id: StepId) -> Result<StepResult, BuildError> {
        let step = &self.plan.steps[id];
        let below = self.layers_of(step.below);
        match &step.action {
            Action::Base(layers) => {
                let (layers, keys) = (layers.clone(), Vec::new());
                Ok(StepResult { layers, own: None, created: None, cached: true, keys })
            }
            Action::Folder { path, user } => self.folder(id, below, path, user),
            Action::Copy(copy) => self.copy(id, below, copy),
            Action::Run(run) => self.run(id, below, run),
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Writes the target's whole tree as a tar, or as files below a directory; and `beside` it files
/// of these names, which take the place of those that the tree has.
pub fn export_tree(
    plan: &Plan,
    solved: &Solved,
    stores: &Stores,
    to: Export<'_>,
    beside: &[(String, Vec<u8>)],
) -> Result<(), BuildError> {
    let mounts = stores.snapshots.mounts(solved.layers(plan.target), None, true)?;
    let root = runtime::mount_detached(&mounts)?;
    match to {
        Export::Tar(out) => {
            let mut out = std::io::BufWriter::new(out);
            crate::seal::write_beside(root.as_fd(), plan.epoch, beside, &mut out)?;
            out.flush().map_err(BuildError::io("write", "the archive"))
        }
        Export::Directory(folder) => {
            let tree = crate::tree::Tree { root: root.as_fd(), ignore: None, owners: true };
            files::copy_all(&tree, folder)?;
            beside.iter().try_for_each(|(name, bytes)| {
                sys::fs::replace_file(folder, name, bytes, false)
                    .map_err(BuildError::io("write", name))
            })
        }
    }
}

/// Where a tree is exported to.
pub enum Export<'a> {
    /// An archive.
    Tar(&'a mut dyn Write),
    /// A directory.
    Directory(std::os::fd::BorrowedFd<'a>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BaseImage, BaseImages};
    use crate::run::{RunFailure, RunRequest, Stream};

    struct Nothing;

    impl BaseImages for Nothing {
        fn find(&self, name: &str, _: &oci::Platform) -> Result<BaseImage, BuildError> {
            Err(BuildError::NoImage { name: name.to_owned() })
        }
    }

    impl Runner for Nothing {
        fn run(
            &self,
            _: &RunRequest<'_>,
            _: &AtomicBool,
            _: &mut dyn FnMut(Stream, &[u8]),
        ) -> Result<(), RunFailure> {
            Ok(())
        }
    }

    impl EventSink for Nothing {
        fn event(&self, event: Event) {
            assert!(!matches!(event, Event::Started { .. }), "told of a step");
        }
    }

    #[test]
    fn a_panic_in_a_step_ends_the_build() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().to_owned();
        let stores = Stores {
            content: content::Content::open(&root).unwrap(),
            images: images::Images::open(&root).unwrap(),
            snapshots: snapshots::Snapshots::open(&root).unwrap(),
            root,
        };
        let text = "FROM scratch AS a\nRUN a\nFROM scratch AS b\nRUN b\n\
                    FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n";
        let request = Request { dockerfile: text.into(), ..Request::default() };
        let plan = crate::plan(&request, &Nothing).unwrap();
        let stop = AtomicBool::new(false);
        let failed = solve(&plan, &request, &stores, &Nothing, &Nothing, &stop).unwrap_err();
        assert!(failed.error.to_string().contains("told of a step"), "{}", failed.error);
    }
}
