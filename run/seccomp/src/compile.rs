//! From the OCI description to a policy: texts are checked and looked up here.

use std::borrow::Cow;

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};

use crate::policy::{Action, Condition, ENOSYS, EPERM, Operator, Policy, Rule, flag};
use crate::{Arch, Program, SeccompError, syscalls, tree};

/// Compiles a filter for a kernel of architecture `native`.
///
/// Pure. Errors name what in the filter cannot be understood.
///
/// * `native` is always covered, the listed architectures too if such a kernel runs their
///   programs; a call by any other interface ends the process.
/// * The first rule that fits decides. Conditions of a rule must all hold; but if two of them are
///   about the same argument, each is a rule of its own, as in runc and crun.
/// * Names that the architecture lacks are passed over.
/// * Calls with higher numbers than any that the rules name fail with `ENOSYS` unless the default
///   lets them pass: as with runc, so that libraries fall back to older calls.
///
/// runtime-spec 1.3.0, config-linux.md, "Seccomp".
pub fn compile(filter: &Seccomp, native: Arch) -> Result<Program, SeccompError> {
    tree::program(&policy(filter, native)?)
}

/// The actions that a filter may name. runtime-spec 1.3.0, features.md, "Seccomp".
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// The operators of conditions.
pub const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// The flags.
pub const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// Understands a filter.
pub(crate) fn policy(filter: &Seccomp, native: Arch) -> Result<Policy<'static>, SeccompError> {
    let default = action(&filter.default_action, filter.default_errno_ret)?;
    if default == Action::NOTIFY {
        return Err(SeccompError::Notify { place: "as the default action" });
    }
    let mut arches = vec![native];
    for name in &filter.architectures {
        let arch = Arch::by_oci_name(name)
            .map_err(|()| SeccompError::Architecture { text: name.clone() })?;
        if let Some(arch) = arch
            && arch.runs_on(native)
            && !arches.contains(&arch)
        {
            arches.push(arch);
        }
    }
    let mut rules = Vec::with_capacity(filter.syscalls.len());
    for rule in &filter.syscalls {
        add_rule(&mut rules, rule)?;
    }
    let notifies = rules.iter().any(|rule: &Rule<'_>| rule.action == Action::NOTIFY);
    let newer = (!default.lets_unknown_calls_pass()).then_some(Action::errno(ENOSYS));
    Ok(Policy { default, newer, arches, flags: flags(filter.flags.as_deref(), notifies)?, rules })
}

fn add_rule(rules: &mut Vec<Rule<'static>>, rule: &SeccompRule) -> Result<(), SeccompError> {
    let action = action(&rule.action, rule.errno_ret)?;
    if rule.names.is_empty() || rule.names.iter().any(String::is_empty) {
        return Err(SeccompError::Unnamed);
    }
    if action == Action::NOTIFY && rule.names.iter().any(|name| name == "write") {
        // The runtime itself must write to pass the listener on, after loading.
        return Err(SeccompError::Notify { place: "for the write syscall" });
    }
    let calls: Cow<'static, [u16]> =
        rule.names.iter().filter_map(|name| syscalls::find(name)).collect();
    let conditions = rule
        .args
        .iter()
        .map(|argument| condition(argument, rule))
        .collect::<Result<Vec<_>, _>>()?;
    let repeated = conditions
        .iter()
        .enumerate()
        .any(|(at, one)| conditions[..at].iter().any(|other| other.argument == one.argument));
    if repeated {
        rules.extend(conditions.into_iter().map(|condition| Rule {
            calls: calls.clone(),
            action,
            conditions: vec![condition].into(),
        }));
    } else {
        rules.push(Rule { calls, action, conditions: conditions.into() });
    }
    Ok(())
}

fn action(text: &str, errno: Option<u32>) -> Result<Action, SeccompError> {
    let number = |limit: u16| match errno {
        None => Ok(EPERM),
        Some(value) => match u16::try_from(value) {
            Ok(number) if number <= limit => Ok(number),
            _ => Err(SeccompError::Errno { value, limit: limit.into() }),
        },
    };
    let action = match text {
        "SCMP_ACT_ERRNO" => return number(4095).map(Action::errno),
        "SCMP_ACT_TRACE" => return number(u16::MAX).map(Action::trace),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => Action::KILL_PROCESS,
        "SCMP_ACT_TRAP" => Action::TRAP,
        "SCMP_ACT_ALLOW" => Action::ALLOW,
        "SCMP_ACT_LOG" => Action::LOG,
        "SCMP_ACT_NOTIFY" => Action::NOTIFY,
        _ => return Err(SeccompError::Action { text: text.to_owned() }),
    };
    match errno {
        None => Ok(action),
        // "When the action doesn't support an errno, the runtime MUST print and error and fail."
        Some(_) => Err(SeccompError::NoErrno { action: text.to_owned() }),
    }
}

fn condition(argument: &SeccompArg, rule: &SeccompRule) -> Result<Condition, SeccompError> {
    let syscall = || rule.names.first().cloned().unwrap_or_default();
    let operator = match argument.op.as_str() {
        "SCMP_CMP_NE" => Operator::Ne,
        "SCMP_CMP_LT" => Operator::Lt,
        "SCMP_CMP_LE" => Operator::Le,
        "SCMP_CMP_EQ" => Operator::Eq,
        "SCMP_CMP_GE" => Operator::Ge,
        "SCMP_CMP_GT" => Operator::Gt,
        "SCMP_CMP_MASKED_EQ" => Operator::MaskedEq,
        text => {
            return Err(SeccompError::Operator { text: text.to_owned(), syscall: syscall() });
        }
    };
    match argument.index {
        index @ 0..=5 => Ok(Condition {
            argument: index as u8,
            operator,
            value: argument.value,
            value_two: argument.value_two,
        }),
        index => Err(SeccompError::Argument { index, syscall: syscall() }),
    }
}

/// The kernel's flags; the one for speed alone if the filter has no list of them, as runc does.
fn flags(names: Option<&[String]>, notifies: bool) -> Result<u32, SeccompError> {
    let mut flags = if names.is_none() { flag::SPEC_ALLOW } else { 0 };
    for name in names.unwrap_or_default() {
        flags |= match name.as_str() {
            "SECCOMP_FILTER_FLAG_TSYNC" => flag::TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => flag::LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => flag::SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => flag::WAIT_KILLABLE_RECV,
            _ => return Err(SeccompError::Flag { text: name.clone() }),
        };
    }
    // A runtime that loads a filter has one thread, and nothing to synchronise. The kernel refuses
    // that together with a listener: both would answer with a number, a thread's or a descriptor's.
    let flags = flags & !flag::TSYNC;
    Ok(match notifies {
        true => flags | flag::NEW_LISTENER,
        false => flags & !flag::WAIT_KILLABLE_RECV,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_understood() {
        for name in ACTIONS {
            action(name, None).unwrap();
        }
        for op in OPERATORS {
            let argument = SeccompArg { op: op.to_owned(), ..SeccompArg::default() };
            condition(&argument, &SeccompRule::default()).unwrap();
        }
        flags(Some(&FLAGS.map(str::to_owned)), false).unwrap();
    }
}
