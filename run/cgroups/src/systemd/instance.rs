//! Which systemd, and where it listens.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::bus::{Bus, CallError};
use super::message::Method;
use super::value::Value;
use crate::CgroupError;

/// One of the systemds of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instance {
    /// Pid 1.
    System,
    /// The one of the user who asks, which has a part of the tree delegated.
    User,
}

impl Instance {
    /// Whether systemd is pid 1 of this machine. sd_booted(3).
    pub fn is_running() -> bool {
        Path::new("/run/systemd/system").is_dir()
    }

    /// Where units are that name no slice.
    pub(super) fn slice(self) -> &'static str {
        match self {
            Self::System => "system.slice",
            Self::User => "user.slice",
        }
    }

    /// Connects to its own socket, or else through its bus.
    pub(super) fn connect(self) -> Result<Bus, CgroupError> {
        let mut first = None;
        for place in self.places() {
            match place.connect() {
                Ok(bus) => return Ok(bus),
                Err(source) => {
                    first.get_or_insert((place.path, source));
                }
            }
        }
        let (at, source) = match first {
            Some((path, source)) => (format!("{self} at {}", path.display()), source),
            None => {
                let why = "neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS says where it is";
                (self.to_string(), io::Error::new(io::ErrorKind::NotFound, why))
            }
        };
        Err(CgroupError::NoSystemd { at, source })
    }

    fn places(self) -> Vec<Place> {
        let own = |path: PathBuf| Place { path, bus: false };
        let bus = |path: PathBuf| Place { path, bus: true };
        match self {
            Self::System => {
                vec![own("/run/systemd/private".into()), bus("/run/dbus/system_bus_socket".into())]
            }
            Self::User => {
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                let session = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
                let session = session.as_deref().and_then(unix_path);
                let mut places = Vec::new();
                places.extend(runtime.as_ref().map(|dir| own(dir.join("systemd/private"))));
                places.extend(session.map(bus));
                places.extend(runtime.map(|dir| bus(dir.join("bus"))));
                places
            }
        }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "systemd",
            Self::User => "the user's systemd",
        })
    }
}

struct Place {
    path: PathBuf,
    /// A message bus, which wants to be greeted and asked for signals.
    bus: bool,
}

impl Place {
    fn connect(&self) -> io::Result<Bus> {
        let mut bus = Bus::connect(&self.path)?;
        if self.bus {
            let rule = "type='signal',interface='org.freedesktop.systemd1.Manager',\
                        member='JobRemoved'";
            for (method, arguments) in [
                (of_the_bus("Hello"), Vec::new()),
                (of_the_bus("AddMatch"), vec![Value::text(rule)]),
                (super::manager("Subscribe"), Vec::new()),
            ] {
                bus.call(&method, &arguments).map_err(|error| match error {
                    CallError::Io(error) => error,
                    CallError::Refused { name, text } => {
                        io::Error::other(format!("{text} ({name})"))
                    }
                })?;
            }
        }
        Ok(bus)
    }
}

const fn of_the_bus(name: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        name,
    }
}

/// The path in `unix:path=/run/user/0/bus,guid=...`, of the first address that has one.
/// D-Bus specification 0.43, "Server Addresses".
fn unix_path(addresses: &str) -> Option<PathBuf> {
    addresses.split(';').find_map(|address| {
        let keys = address.strip_prefix("unix:")?;
        let path = keys.split(',').find_map(|key| key.strip_prefix("path="))?;
        let mut bytes = Vec::new();
        let mut rest = path.as_bytes();
        while let [first, tail @ ..] = rest {
            let escaped = match (first, tail) {
                (b'%', [high, low, ..]) => {
                    let digits = [*high, *low];
                    u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()
                }
                _ => None,
            };
            bytes.push(escaped.unwrap_or(*first));
            rest = if escaped.is_some() { &tail[2..] } else { tail };
        }
        Some(PathBuf::from(String::from_utf8(bytes).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_buses_have_paths() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(unix_path(text), want.map(PathBuf::from), "{text}");
        };
        check("unix:path=/run/user/1000/bus", Some("/run/user/1000/bus"));
        check("tcp:host=x;unix:guid=1,path=/a%20b%", Some("/a b%"));
        check("unix:abstract=/tmp/x", None);
    }
}
