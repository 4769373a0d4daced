//! Why flags are refused: one sentence for each subject, whichever flag asks for it.

pub(crate) const LINKS: &str = "a link is a part of the container that has it, and goes with that";
pub(crate) const HEALTH: &str = "health checks come with a later piece of work";
pub(crate) const RESTART: &str = "restart policies other than `no` come with a later piece of work";
pub(crate) const GPUS: &str = "devices by driver come with a later piece of work; `--device` takes a device node, or a CDI name";
pub(crate) const VOLUME_DRIVERS: &str = "there are no volume drivers other than `local`";
pub(crate) const STORAGE: &str = "the size of a container's root file system cannot be limited";
pub(crate) const API_SOCKET: &str = "there is no API socket";
pub(crate) const WINDOWS: &str = "it has a meaning on Windows only";
pub(crate) const SWARM: &str = "it has a meaning in a swarm only";
pub(crate) const ISOLATION: &str = "there is no isolation other than `process`";
pub(crate) const CHECKPOINTS: &str = "checkpoints come with a later piece of work";
pub(crate) const CONTENT_TRUST: &str =
    "Docker Content Trust was given up by Docker; a digest in the name pins what is fetched";
pub(crate) const TREE: &str = "each variant of an image has a line of its own";
