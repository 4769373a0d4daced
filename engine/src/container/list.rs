//! `ps`: one small file per container.

use std::collections::BTreeMap;

use metadata::Status;
use oci::Timestamp;

use super::state::{is_up, state_of};
use super::{ContainerState, ContainerSummary, ListContainers};
use crate::network::is_networked;
use crate::{Engine, EngineError, Filters};

/// The keys that Docker's `ps --filter` knows and that mean something here.
const FILTERS: &[&str] = &[
    "ancestor", "before", "exited", "health", "id", "is-task", "label", "label!", "name",
    "network", "since", "status", "volume",
];

impl Engine {
    /// Lists, newest first.
    pub fn list_containers(
        &self,
        request: &ListContainers,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = Criteria::new(self, &request.filters)?;
        let only_up = !request.all && request.last.is_none() && !filters.names_states();
        let mut found = Vec::new();
        // One that is removed while we look is not there.
        for (id, mut status) in self.containers().statuses()? {
            if is_up(&status) {
                let Ok(container) = self.containers().get(&id) else { continue };
                match self.settled(&container) {
                    Ok(settled) => status = settled,
                    Err(EngineError::NoContainer { .. }) => continue,
                    Err(error) => return Err(error),
                }
            }
            if (only_up && !is_up(&status)) || !filters.allow(&id, &status) {
                continue;
            }
            if !filters.networks.is_empty() {
                let (_, networks) = self.shown_network(&id, &status)?;
                if !networks.iter().any(|name| filters.networks.contains(name)) {
                    continue;
                }
            }
            found.push((id, status));
        }
        if found.iter().any(|(_, status)| is_up(status) && is_networked(&status.network)) {
            self.restore_table();
        }
        found.sort_by(|(left_id, left), (right_id, right)| {
            right.created.cmp(&left.created).then_with(|| left_id.cmp(right_id))
        });
        found.truncate(request.last.unwrap_or(usize::MAX));
        found.into_iter().map(|(id, status)| self.summary(id, status, request.size)).collect()
    }

    fn summary(
        &self,
        id: String,
        status: Status,
        size: bool,
    ) -> Result<ContainerSummary, EngineError> {
        let size_bytes = match size {
            true => Some(self.container_size(&self.containers().get(&id)?)?),
            false => None,
        };
        let (ports, networks) = self.shown_network(&id, &status)?;
        Ok(ContainerSummary {
            ports,
            state: state_of(&status),
            id,
            name: status.name,
            image: status.image,
            image_id: status.image_id,
            command: status.command,
            created: status.created,
            pid: status.pid,
            exit_code: status.exit_code,
            started: status.started,
            finished: status.finished,
            labels: status.labels,
            mounts: status.mounts,
            networks,
            size_bytes,
        })
    }
}

/// `ps --filter`, checked and looked up once.
struct Criteria<'a> {
    filters: &'a Filters,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    /// Ids of the images that `ancestor` names.
    ancestors: BTreeMap<&'a str, Option<String>>,
    /// The names of the networks that `network` names, by name or by id.
    networks: Vec<String>,
}

impl<'a> Criteria<'a> {
    fn new(engine: &Engine, filters: &'a Filters) -> Result<Self, EngineError> {
        filters.only(FILTERS)?;
        let bad = |key: &str, value: &str| EngineError::Invalid {
            message: format!("invalid filter '{key}={value}'"),
        };
        for value in filters.values("status") {
            let known =
                ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
            if !known.contains(&value.as_str()) {
                return Err(bad("status", value));
            }
        }
        for value in filters.values("exited") {
            value.parse::<i32>().map_err(|_| bad("exited", value))?;
        }
        for value in filters.values("health") {
            if !["none", "starting", "healthy", "unhealthy"].contains(&value.as_str()) {
                return Err(bad("health", value));
            }
        }
        filters.flag("is-task")?;
        let created = |key: &str| match filters.values(key) {
            [] => Ok(None),
            [one] => engine.look_up(one).map(|(_, status)| Some(status.created)),
            _ => {
                Err(EngineError::Invalid { message: format!("only one '{key}' filter is allowed") })
            }
        };
        let ancestor = |text: &'a String| {
            (text.as_str(), engine.resolve_image(text).ok().map(|image| image.id.to_string()))
        };
        Ok(Self {
            before: created("before")?,
            since: created("since")?,
            ancestors: filters.values("ancestor").iter().map(ancestor).collect(),
            networks: filters
                .values("network")
                .iter()
                .map(|text| engine.network_named(text))
                .collect(),
            filters,
        })
    }

    /// Whether states are asked for by name, so that containers which do not run count too.
    fn names_states(&self) -> bool {
        !self.filters.values("status").is_empty() || !self.filters.values("exited").is_empty()
    }

    fn allow(&self, id: &str, status: &Status) -> bool {
        let state = state_of(status);
        let exited = |code: &str| {
            state == ContainerState::Exited
                && code.parse::<i32>().is_ok_and(|code| code == status.exit_code)
        };
        let volume = |wanted: &str| status.mounts.iter().any(|mount| mount == wanted);
        let ancestor = |wanted: &str| {
            status.image == wanted
                || self
                    .ancestors
                    .get(wanted)
                    .is_some_and(|id| id.as_deref() == Some(status.image_id.as_str()))
        };
        self.filters.any("id", |wanted| id.starts_with(wanted))
            && self.filters.allow_name(&status.name)
            && self.filters.any("status", |wanted| wanted == state.as_str())
            && self.filters.any("exited", exited)
            && self.filters.any("volume", volume)
            && self.filters.any("ancestor", ancestor)
            // There are no health checks and no tasks.
            && self.filters.any("health", |wanted| wanted == "none")
            && self.filters.any("is-task", |wanted| matches!(wanted, "0" | "false" | "f"))
            && self.filters.labels_match(&status.labels)
            && self.before.is_none_or(|before| status.created < before)
            && self.since.is_none_or(|since| status.created > since)
    }
}
