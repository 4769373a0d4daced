//! `system df`: what takes how much space, and what of it nobody needs.

use std::collections::{BTreeMap, HashMap, HashSet};

use dockerapi::Volume;
use oci::Digest;

use crate::{
    ContainerState, ContainerSummary, Engine, EngineError, Filters, ImageSummary, ListContainers,
    ListImages,
};

/// What takes how much space.
#[derive(Debug, Clone, Default)]
pub struct DiskUsage {
    /// Images, newest first.
    pub images: Vec<ImageUsage>,
    /// The layers of all images, each once.
    pub layers_bytes: u64,
    /// Containers, newest first, with the bytes that each wrote.
    pub containers: Vec<ContainerUsage>,
    /// Volumes, by name.
    pub volumes: Vec<VolumeUsage>,
}

/// An image's space.
#[derive(Debug, Clone)]
pub struct ImageUsage {
    /// The image.
    pub image: ImageSummary,
    /// Bytes of layers that another image has too.
    pub shared_bytes: u64,
    /// Bytes of the others.
    pub unique_bytes: u64,
}

/// A container's space.
#[derive(Debug, Clone)]
pub struct ContainerUsage {
    /// The container.
    pub container: ContainerSummary,
    /// What it wrote over its image.
    pub written_bytes: u64,
}

/// A volume's space.
#[derive(Debug, Clone)]
pub struct VolumeUsage {
    /// The volume.
    pub volume: Volume,
    /// How many containers have it.
    pub links: usize,
    /// What is in it.
    pub size_bytes: u64,
}

impl Engine {
    /// Looks at everything. Walks what containers and volumes hold.
    pub fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        let (images, layers_bytes) = self.image_usage()?;
        let request = ListContainers { all: true, ..ListContainers::default() };
        let containers = self
            .list_containers(&request)?
            .into_iter()
            .map(|container| {
                // One that is removed while we look holds nothing.
                let found = self.containers().get(&container.id).ok();
                let written_bytes = found
                    .and_then(|found| sys::usage::of(&found.path().join("upper")).ok())
                    .unwrap_or(0);
                ContainerUsage { container, written_bytes }
            })
            .collect();
        let users: BTreeMap<String, Vec<String>> = self.volumes_in_use()?;
        let volumes = self
            .list_volumes(&Filters::default())?
            .into_iter()
            .map(|volume| VolumeUsage {
                links: users.get(&volume.name).map_or(0, Vec::len),
                size_bytes: sys::usage::of(volume.mountpoint.as_ref()).unwrap_or(0),
                volume,
            })
            .collect();
        Ok(DiskUsage { images, layers_bytes, containers, volumes })
    }

    fn image_usage(&self) -> Result<(Vec<ImageUsage>, u64), EngineError> {
        let mut layers: HashMap<Digest, HashSet<Digest>> = HashMap::new();
        let mut users: HashMap<Digest, usize> = HashMap::new();
        for (record, _) in self.images()?.list()? {
            let own: HashSet<Digest> = record.diff_ids.into_iter().collect();
            for diff_id in &own {
                *users.entry(diff_id.clone()).or_insert(0) += 1;
            }
            layers.insert(record.id, own);
        }
        let mut sizes: HashMap<Digest, u64> = HashMap::new();
        for diff_id in users.keys() {
            // A layer that is lost takes no space.
            let bytes = self.snapshots()?.usage(diff_id).map_or(0, |usage| usage.bytes);
            sizes.insert(diff_id.clone(), bytes);
        }
        let of = |diff_id: &Digest| sizes.get(diff_id).copied().unwrap_or(0);
        let summaries = self.list_images(&ListImages { all: true, ..ListImages::default() })?;
        let usages = summaries.into_iter().map(|image| {
            let own = layers.get(&image.id);
            let sum = |shared: bool| {
                let fits =
                    |diff_id: &&Digest| (users.get(*diff_id).copied().unwrap_or(0) > 1) == shared;
                own.into_iter().flatten().filter(fits).map(of).sum()
            };
            ImageUsage { shared_bytes: sum(true), unique_bytes: sum(false), image }
        });
        Ok((usages.collect(), sizes.values().sum()))
    }
}

impl DiskUsage {
    /// Bytes of layers that only images without a container have.
    pub fn reclaimable_image_bytes(&self) -> u64 {
        let used: u64 = self
            .images
            .iter()
            .filter(|usage| usage.image.containers > 0)
            .map(|usage| usage.unique_bytes)
            .sum();
        let has_active = self.images.iter().any(|usage| usage.image.containers > 0);
        let shared: u64 = match has_active {
            // What is shared may be an active image's.
            true => self.images.iter().map(|usage| usage.shared_bytes).max().unwrap_or(0),
            false => 0,
        };
        self.layers_bytes.saturating_sub(used + shared)
    }

    /// Whether a container is up.
    pub fn is_active(usage: &ContainerUsage) -> bool {
        matches!(usage.container.state, ContainerState::Running | ContainerState::Paused)
    }
}
