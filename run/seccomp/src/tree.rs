//! From a policy to a program: a search tree over system call numbers.
//!
//! ```text
//! arch == X86_64 ? -> number -> JGE ... JGE -> return | chain of rules for one number
//! arch == X86    ? -> number -> JGE ... JGE -> ...
//! other: kill
//! ```
//!
//! Numbers with the same outcome stand together, so that Docker's three hundred allowed calls are
//! about a hundred runs. The tree is balanced by the width of the runs: the kernel walks every
//! number of the table through the filter when it is loaded, to remember those always allowed.

use crate::arch::X32_BIT;
use crate::bpf::{Assembler, Compare, MAX_INSTRUCTIONS, Target, word};
use crate::policy::{Action, Policy};
use crate::rules::{MULTIPLEXED, Mux, write_rule};
use crate::syscalls::SYSCALLS;
use crate::{Arch, Program, SeccompError};

/// Outcomes of one number: the rules that fit it, in order.
#[derive(Debug, Clone, Default)]
struct Chain {
    /// With conditions.
    rules: Vec<(u32, Mux)>,
    /// When none of them holds; the default if absent.
    end: Option<Action>,
}

/// What a run of numbers leads to: 0 is the default, then [`Outcomes::actions`], then chains.
type Slot = u16;

/// The first slot that is a chain.
const CHAINS: Slot = 64;

/// What each number of one architecture leads to.
struct Numbers {
    /// From 0 on.
    low: Vec<Slot>,
    /// Arm's own, from `ARM_BASE` on.
    high: Vec<Slot>,
    actions: Vec<Action>,
    chains: Vec<Chain>,
}

/// Where Arm's own calls begin: `__ARM_NR_BASE`.
const ARM_BASE: u32 = 0x0f_0000;

/// A run of numbers, from `start` to the next run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: u32,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Action(Action),
    /// A chain of [`Numbers::chains`] of an architecture.
    Chain(Arch, usize),
}

/// Compiles a policy.
pub(crate) fn program(policy: &Policy<'_>) -> Result<Program, SeccompError> {
    let mut assembler = Assembler::new();
    let mut next = Target::Return(Action::KILL_PROCESS);
    // The native architecture comes first in the policy, and is written last to be tested first.
    for &arch in policy.arches.iter().rev().filter(|arch| **arch != Arch::X32) {
        let main = Numbers::of(policy, arch);
        let x32 = (arch == Arch::X86_64 && policy.arches.contains(&Arch::X32))
            .then(|| Numbers::of(policy, Arch::X32));
        let mut runs = main.runs(policy, arch, 0);
        if arch == Arch::X86_64 {
            match &x32 {
                Some(x32) => runs.extend(x32.runs(policy, Arch::X32, X32_BIT)),
                None => {
                    runs.push(Run {
                        start: X32_BIT,
                        outcome: Outcome::Action(Action::KILL_PROCESS),
                    });
                    // The number -1 stands for no call at all, and is nobody's attempt at x32.
                    let none = policy.newer.unwrap_or(policy.default);
                    runs.push(Run { start: u32::MAX, outcome: Outcome::Action(none) });
                }
            }
        }
        merge(&mut runs);
        let weights = weights(&runs);
        let tree = Tree { policy, main: &main, x32: x32.as_ref(), weights, runs };
        let root = tree.write(&mut assembler, 0, tree.runs.len());
        // The tree's root need not be what was written last; a policy without rules has none.
        assembler.jump(root);
        let number = assembler.load(word::NUMBER);
        next = assembler.branch(Compare::Eq, arch.audit(), number, next);
    }
    assembler.load(word::ARCH);
    let instructions = assembler.finish();
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLong { instructions: instructions.len() });
    }
    let notifies = policy.rules.iter().any(|rule| rule.action == Action::NOTIFY);
    Ok(Program::new(instructions, policy.flags, notifies))
}

impl Numbers {
    fn of(policy: &Policy<'_>, arch: Arch) -> Self {
        let mut numbers = Self {
            low: vec![0; 600],
            high: Vec::new(),
            actions: vec![policy.default],
            chains: Vec::new(),
        };
        for (place, rule) in policy.rules.iter().enumerate() {
            let place = place as u32;
            let simple = rule.conditions.is_empty();
            let slot = if simple { numbers.action_slot(rule.action) } else { 0 };
            for &call in rule.calls.iter() {
                if let Some(number) = SYSCALLS[usize::from(call)].number(arch) {
                    match simple {
                        true => numbers.end(number, slot),
                        false => numbers.add(number, place, None),
                    }
                }
                let multiplexed = MULTIPLEXED[usize::from(call)];
                // Conditions are on the call's own arguments, which the multiplexer has in
                // memory where no filter can see them: such a rule says nothing about it.
                if arch == Arch::X86 && multiplexed != 0 && simple {
                    let selector = u32::from(multiplexed & 0xff);
                    numbers.add(u32::from(multiplexed >> 8), place, Some(selector));
                }
            }
        }
        numbers
    }

    fn action_slot(&mut self, action: Action) -> Slot {
        // Slot 0 is the default: a rule with the same action needs a slot of its own, as it ends
        // a chain while an untouched number does not.
        match self.actions.iter().skip(1).position(|known| *known == action) {
            Some(at) => at as Slot + 1,
            None if self.actions.len() < usize::from(CHAINS) => {
                self.actions.push(action);
                self.actions.len() as Slot - 1
            }
            // More kinds of actions than slots for them: a chain without rules does as well.
            None => {
                self.chains.push(Chain { rules: Vec::new(), end: Some(action) });
                CHAINS + self.chains.len() as Slot - 1
            }
        }
    }

    fn slot(&mut self, number: u32) -> &mut Slot {
        let (table, at) = match number.checked_sub(ARM_BASE) {
            Some(at) => (&mut self.high, at as usize),
            None => (&mut self.low, number as usize),
        };
        if at >= table.len() {
            table.resize(at + 1, 0);
        }
        &mut table[at]
    }

    /// A rule without conditions: whatever comes later has no say.
    fn end(&mut self, number: u32, action: Slot) {
        let slot = self.slot(number);
        match *slot {
            0 => *slot = action,
            chain if chain >= CHAINS => {
                let chain = usize::from(chain - CHAINS);
                let end = match action.checked_sub(CHAINS) {
                    Some(other) => self.chains[usize::from(other)].end,
                    None => Some(self.actions[usize::from(action)]),
                };
                let chain = &mut self.chains[chain];
                chain.end = chain.end.or(end);
            }
            _ => {}
        }
    }

    /// A rule with conditions.
    fn add(&mut self, number: u32, rule: u32, mux: Mux) {
        let next = CHAINS + self.chains.len() as Slot;
        let slot = self.slot(number);
        match *slot {
            0 => {
                *slot = next;
                self.chains.push(Chain { rules: vec![(rule, mux)], end: None });
            }
            chain if chain >= CHAINS => {
                let chain = &mut self.chains[usize::from(chain - CHAINS)];
                if chain.end.is_none() {
                    chain.rules.push((rule, mux));
                }
            }
            _ => {}
        }
    }

    /// The runs of this architecture, up to and including those beyond all that it has.
    fn runs(&self, policy: &Policy<'_>, arch: Arch, base: u32) -> Vec<Run> {
        let mut runs = Vec::with_capacity(160);
        let known = |table: &[Slot]| table.iter().rposition(|slot| *slot != 0).map(|at| at + 1);
        let newer = Outcome::Action(policy.newer.unwrap_or(policy.default));
        let low = known(&self.low).unwrap_or(0);
        let mut last = None;
        for (number, &slot) in (base..).zip(&self.low[..low]) {
            if last != Some(slot) {
                runs.push(Run { start: number, outcome: self.outcome(slot, arch) });
                last = Some(slot);
            }
        }
        // Where no rule names a call, none can be newer.
        let beyond = if low == 0 { Outcome::Action(policy.default) } else { newer };
        runs.push(Run { start: base + low as u32, outcome: beyond });
        if let Some(high) = known(&self.high) {
            for (number, &slot) in (ARM_BASE..).zip(&self.high[..high]) {
                runs.push(Run { start: number, outcome: self.outcome(slot, arch) });
            }
            runs.push(Run { start: ARM_BASE + high as u32, outcome: newer });
        }
        runs
    }

    fn outcome(&self, slot: Slot, arch: Arch) -> Outcome {
        match slot.checked_sub(CHAINS) {
            Some(chain) => Outcome::Chain(arch, usize::from(chain)),
            None => Outcome::Action(self.actions[usize::from(slot)]),
        }
    }
}

/// Joins neighbours with the same outcome.
fn merge(runs: &mut Vec<Run>) {
    runs.dedup_by(|later, earlier| later.outcome == earlier.outcome);
}

/// Sums of the runs' weights up to each: how many calls of the table lie in them.
fn weights(runs: &[Run]) -> Vec<u32> {
    let mut sum = 0;
    let mut sums = Vec::with_capacity(runs.len() + 1);
    sums.push(0);
    for (at, run) in runs.iter().enumerate() {
        let end = runs.get(at + 1).map_or(run.start, |next| next.start);
        // A run that is wider than any table is a gap, which nobody walks through.
        sum += match end - run.start {
            width @ 1..512 => width,
            _ => 1,
        };
        sums.push(sum);
    }
    sums
}

struct Tree<'a> {
    policy: &'a Policy<'a>,
    main: &'a Numbers,
    x32: Option<&'a Numbers>,
    weights: Vec<u32>,
    runs: Vec<Run>,
}

impl Tree<'_> {
    /// Writes the search among `runs[from..to]`, with the number in the accumulator.
    fn write(&self, assembler: &mut Assembler, from: usize, to: usize) -> Target {
        let runs = &self.runs[from..to];
        match runs {
            [only] => self.outcome(assembler, only.outcome),
            // A single number among others: one comparison in place of two.
            [before, single, after]
                if before.outcome == after.outcome && after.start == single.start + 1 =>
            {
                let others = self.outcome(assembler, before.outcome);
                let this = self.outcome(assembler, single.outcome);
                assembler.branch(Compare::Eq, single.start, this, others)
            }
            _ => {
                let split = self.split(from, to);
                let above = self.write(assembler, split, to);
                let below = self.write(assembler, from, split);
                assembler.branch(Compare::Ge, self.runs[split].start, above, below)
            }
        }
    }

    /// Where the weight of both sides is most alike.
    fn split(&self, from: usize, to: usize) -> usize {
        let (low, high) = (self.weights[from], self.weights[to]);
        let middle = low + (high - low) / 2;
        let at = from + self.weights[from..to].partition_point(|sum| *sum < middle);
        // `at` is the first border at or beyond the middle; the one before may be nearer.
        let at = at.clamp(from + 1, to - 1);
        let nearer = at > from + 1
            && middle.abs_diff(self.weights[at - 1]) < middle.abs_diff(self.weights[at]);
        if nearer { at - 1 } else { at }
    }

    fn outcome(&self, assembler: &mut Assembler, outcome: Outcome) -> Target {
        let (numbers, arch, chain) = match outcome {
            Outcome::Action(action) => return Target::Return(action),
            Outcome::Chain(Arch::X32, chain) => match self.x32 {
                Some(x32) => (x32, Arch::X32, chain),
                None => return Target::Return(Action::KILL_PROCESS),
            },
            Outcome::Chain(arch, chain) => (self.main, arch, chain),
        };
        let chain = &numbers.chains[chain];
        let mut next = Target::Return(chain.end.unwrap_or(self.policy.default));
        for &(rule, mux) in chain.rules.iter().rev() {
            let rule = &self.policy.rules[rule as usize];
            next = write_rule(assembler, rule, mux, arch, next);
        }
        next
    }
}
