//! `port`: the published ports of a container.

use std::io::{self, Write};

use dockerapi::PortBinding;

use crate::command::{Arity, Call, Command};
use crate::flags::flags;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `port`: none.
    PortArgs {
    }
}

impl Command for PortArgs {
    const PATH: &'static str = "container port";
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        if args.len() > 2 {
            return ui.fail("kista: 'kista port' requires at most 2 arguments");
        }
        let ports = match call.engine().and_then(|engine| engine.container_ports(&args[0])) {
            Ok(ports) => ports,
            Err(error) => return ui.report(&error),
        };
        // A port without a number is reached at the container's own address alone.
        let published = |bindings: &Option<Vec<PortBinding>>| -> Vec<PortBinding> {
            let all = bindings.iter().flatten();
            all.filter(|binding| !binding.host_port.is_empty()).cloned().collect()
        };
        let Some(wanted) = args.get(1) else {
            let mut lines: Vec<(u16, String)> = Vec::new();
            for (key, bindings) in &ports {
                let number = key.split('/').next().and_then(|text| text.parse().ok()).unwrap_or(0);
                for binding in published(bindings) {
                    lines.push((number, format!("{key} -> {}", shown(&binding))));
                }
            }
            lines.sort_by_key(|(number, _)| *number);
            for (_, line) in lines {
                writeln!(ui.out(), "{line}")?;
            }
            return Ok(Exit::Success);
        };
        let (port, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
        if port.parse::<u16>().is_err() {
            return ui.fail(format_args!("Error: invalid port '{port}': invalid syntax"));
        }
        let key = format!("{port}/{protocol}");
        match ports.get(&key).map(published).filter(|bindings| !bindings.is_empty()) {
            Some(bindings) => {
                for binding in bindings {
                    writeln!(ui.out(), "{}", shown(&binding))?;
                }
                Ok(Exit::Success)
            }
            None => {
                ui.fail(format_args!("Error: No public port '{key}' published for {}", args[0]))
            }
        }
    }
}

fn shown(binding: &PortBinding) -> String {
    match binding.host_ip.contains(':') {
        true => format!("[{}]:{}", binding.host_ip, binding.host_port),
        false => format!("{}:{}", binding.host_ip, binding.host_port),
    }
}
