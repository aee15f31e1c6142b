//! Carrying out what was planned. For every layer, `plan` has a file of the same name that decides.

pub(crate) mod apparmor;
pub mod cgroup;
pub(crate) mod confine;
pub(crate) mod copy_up;
pub(crate) mod devices;
pub(crate) mod home;
pub mod hooks;
pub(crate) mod ids;
pub(crate) mod inroot;
pub(crate) mod landlock;
pub(crate) mod links;
pub(crate) mod mounts;
pub(crate) mod namespaces;
mod overlay;
pub(crate) mod paths;
pub(crate) mod process;
pub(crate) mod rootfs;
pub(crate) mod rtnetlink;
pub(crate) mod shared;
