//! What this runtime can do, as `features` prints it. features.md of the runtime specification.
//!
//! Every list is the table that the runtime itself works by: nothing is typed here a second time.

use crate::apply::hooks;
use crate::plan::{capabilities, mounts, namespaces, scheduling};
use serde::Serialize;
use std::collections::BTreeMap;
use zviz_profile::schema::{Kind, leaves};
use zviz_seccomp::{Action, Arch, Flags, Op};
use zviz_sys::seccomp::{flag, knows_flag};

/// The oldest `ociVersion` that is understood.
pub const OCI_VERSION_MIN: &str = "1.0.0";
/// The newest one; later 1.x only add to it.
pub const OCI_VERSION_MAX: &str = "1.3.0";

/// The whole document; absent fields mean "unknown", so that all that is known is said.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: Vec<&'static str>,
    mount_options: &'static [&'static str],
    linux: Linux,
    annotations: BTreeMap<&'static str, String>,
    potentially_unsafe_config_annotations: &'static [&'static str],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Vec<&'static str>,
    capabilities: Vec<String>,
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: Enabled,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: Vec<&'static str>,
    operators: Vec<&'static str>,
    archs: Vec<String>,
    known_flags: Vec<&'static str>,
    supported_flags: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct MemoryPolicy {
    modes: Vec<String>,
    flags: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

impl Features {
    /// Of this build, on this kernel.
    pub fn new() -> Self {
        let (modes, flags) = scheduling::memory_policy_names();
        let annotations = [
            // Of runc, but read by containerd for any runtime.
            ("org.opencontainers.runc.checkpoint.enabled", "false".to_owned()),
            ("io.github.seccomp.libseccomp.version", zviz_seccomp::libseccomp_version()),
            ("zviz.network.modes", network_modes()),
            ("zviz.version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        Self {
            oci_version_min: OCI_VERSION_MIN,
            oci_version_max: OCI_VERSION_MAX,
            hooks: hooks::Kind::ALL.iter().map(|kind| kind.name()).collect(),
            mount_options: &mounts::KNOWN_OPTIONS,
            linux: Linux {
                namespaces: namespaces::names(),
                capabilities: capabilities::NAMES.iter().map(|name| format!("CAP_{name}")).collect(),
                cgroup: Cgroup {
                    v1: cfg!(feature = "cgroup-v1"),
                    v2: true,
                    systemd: cfg!(feature = "systemd"),
                    systemd_user: cfg!(feature = "systemd"),
                    rdma: true,
                },
                seccomp: Seccomp {
                    enabled: true,
                    actions: Action::oci_names().collect(),
                    operators: Op::oci_names().collect(),
                    archs: Arch::all().map(Arch::oci_name).collect(),
                    known_flags: Flags::oci_names().collect(),
                    supported_flags: supported_flags(),
                },
                apparmor: Enabled { enabled: true },
                selinux: Enabled { enabled: true },
                intel_rdt: Enabled { enabled: false },
                memory_policy: MemoryPolicy { modes, flags },
                mount_extensions: MountExtensions { idmap: Enabled { enabled: true } },
                net_devices: Enabled { enabled: true },
            },
            annotations: annotations.into(),
            // Annotations never change the plan.
            potentially_unsafe_config_annotations: &[],
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Self::new()
    }
}

/// What a profile's `network.mode` may be, as its schema says.
fn network_modes() -> String {
    let all = leaves().into_iter().find(|(path, _)| path == "network.mode");
    all.map(|(_, key)| if let Kind::Word(modes) = key.kind { modes.join(",") } else { String::new() })
        .unwrap_or_default()
}

/// Flags of filters that this kernel knows, by their OCI names.
pub(crate) fn supported_flags() -> Vec<&'static str> {
    Flags::oci_names().filter(|name| knows_flag(bit(name))).collect()
}

/// The kernel's bit for an OCI name, by way of what a policy makes of it.
fn bit(name: &str) -> u64 {
    let mut flags = Flags::default();
    flags.set(name);
    let Flags { tsync, log, spec_allow, wait_killable_recv } = flags;
    let bits = [
        (tsync, flag::TSYNC),
        (log, flag::LOG),
        (spec_allow, flag::SPEC_ALLOW),
        (wait_killable_recv, flag::WAIT_KILLABLE_RECV),
    ];
    bits.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn features() -> Value {
        serde_json::to_value(Features::new()).unwrap()
    }

    #[test]
    fn names_are_those_of_the_specification() {
        let features = features();
        assert_eq!(
            features["hooks"],
            json!(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
        );
        let has = |list: &Value, name: &str| list.as_array().unwrap().iter().any(|one| one == name);
        assert!(has(&features["mountOptions"], "rro") && has(&features["mountOptions"], "idmap"));
        let linux = &features["linux"];
        assert!(has(&linux["namespaces"], "network") && has(&linux["namespaces"], "time"));
        assert!(has(&linux["capabilities"], "CAP_CHECKPOINT_RESTORE"));
        let seccomp = &linux["seccomp"];
        assert!(has(&seccomp["actions"], "SCMP_ACT_NOTIFY") && has(&seccomp["operators"], "SCMP_CMP_MASKED_EQ"));
        assert!(has(&seccomp["archs"], "SCMP_ARCH_X86_64") && has(&linux["memoryPolicy"]["modes"], "MPOL_BIND"));
        assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!(features["annotations"]["zviz.network.modes"], "none,host,allow-cidr,bridge,pasta,private");
    }

    #[test]
    fn every_known_flag_has_a_bit_and_these_are_in_every_kernel_we_support() {
        assert!(Flags::oci_names().all(|name| bit(name).count_ones() == 1));
        assert_eq!(bit("SECCOMP_FILTER_FLAG_NOPE"), 0);
        let supported = &features()["linux"]["seccomp"]["supportedFlags"];
        assert!(supported.as_array().unwrap().iter().any(|flag| flag == "SECCOMP_FILTER_FLAG_LOG"), "{supported}");
        assert!(!knows_flag(1 << 30));
    }
}
