//! What is told while a build goes on.

use std::time::Duration;

/// A step, by its place in the plan.
pub type StepId = usize;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// An earlier build had done it.
    Cached,
    /// It failed, for this reason.
    Failed(String),
    /// It was given up because another one failed.
    Canceled,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step begins.
    Started {
        /// Which.
        step: StepId,
        /// What it is called: `[2/3] RUN make`.
        name: String,
    },
    /// A step's command printed something.
    Output {
        /// Which.
        step: StepId,
        /// Whether to its standard error.
        error: bool,
        /// What.
        bytes: Vec<u8>,
    },
    /// A step came to its end.
    Ended {
        /// Which.
        step: StepId,
        /// What it is called.
        name: String,
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
}

/// Is told what happens, from several threads.
pub trait EventSink: Sync {
    /// Something happened.
    fn event(&self, event: Event);
}
