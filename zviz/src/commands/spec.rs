//! `spec`: a config.json to start from, the same as runc's.

use crate::cli::Spec as Flags;
use anyhow::{Context as _, bail};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{getegid, geteuid};
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use zviz_runtime::features::OCI_VERSION_MAX;

pub fn run(flags: &Flags) -> anyhow::Result<()> {
    let bundle = flags.bundle.clone().unwrap_or_default();
    let path = bundle.join("config.json");
    let mut spec = example(statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC));
    if flags.rootless {
        make_rootless(&mut spec, geteuid().as_raw(), getegid().as_raw());
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists: remove it first", path.display())
        }
        Err(error) => return Err(error).context(format!("make {}", path.display())),
    };
    file.write_all(&render(&spec)?).context(format!("write {}", path.display()))
}

/// Indented with tabs, as runc does, so that texts that edit it by line still work.
fn render(spec: &Spec) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    spec.serialize(&mut serde_json::Serializer::with_formatter(&mut text, tabs))?;
    text.push(b'\n');
    Ok(text)
}

// Only what is written below; in the order of runc's file, since people read it.

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    oci_version: &'static str,
    process: Process,
    root: Root,
    hostname: &'static str,
    mounts: Vec<Mount>,
    linux: Linux,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    terminal: bool,
    user: User,
    args: [&'static str; 1],
    env: [&'static str; 2],
    cwd: &'static str,
    capabilities: Capabilities,
    rlimits: [Rlimit; 1],
    no_new_privileges: bool,
}

#[derive(Serialize)]
struct User {
    uid: u32,
    gid: u32,
}

#[derive(Serialize)]
struct Capabilities {
    bounding: [&'static str; 3],
    effective: [&'static str; 3],
    permitted: [&'static str; 3],
}

#[derive(Serialize)]
struct Rlimit {
    #[serde(rename = "type")]
    name: &'static str,
    hard: u64,
    soft: u64,
}

#[derive(Serialize)]
struct Root {
    path: &'static str,
    readonly: bool,
}

#[derive(Serialize)]
struct Mount {
    destination: &'static str,
    #[serde(rename = "type")]
    fstype: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uid_mappings: Vec<IdMapping>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gid_mappings: Vec<IdMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    namespaces: Vec<Namespace>,
    masked_paths: &'static [&'static str],
    readonly_paths: &'static [&'static str],
}

#[derive(Serialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container: u32,
    #[serde(rename = "hostID")]
    host: u32,
    size: u32,
}

#[derive(Serialize)]
struct Resources {
    devices: [DeviceRule; 1],
}

#[derive(Serialize)]
struct DeviceRule {
    allow: bool,
    access: &'static str,
}

#[derive(Serialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: &'static str,
}

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// (destination, type, source, options separated by commas)
const MOUNTS: &[(&str, &str, &str, &str)] = &[
    ("/proc", "proc", "proc", ""),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
];

/// A cgroup namespace hides little on v1, where runc leaves it out.
fn example(cgroup_v2: bool) -> Spec {
    let mount = |&(destination, fstype, source, options): &(&'static str, &'static str, &'static str, &'static str)| {
        let options = options.split(',').filter(|option| !option.is_empty()).collect();
        Mount { destination, fstype, source, options }
    };
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
    if cgroup_v2 {
        namespaces.push("cgroup");
    }
    Spec {
        oci_version: OCI_VERSION_MAX,
        process: Process {
            terminal: true,
            user: User { uid: 0, gid: 0 },
            args: ["sh"],
            env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            cwd: "/",
            capabilities: Capabilities { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
            rlimits: [Rlimit { name: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
            no_new_privileges: true,
        },
        root: Root { path: "rootfs", readonly: true },
        hostname: "zviz",
        mounts: MOUNTS.iter().map(mount).collect(),
        linux: Linux {
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
            resources: Some(Resources { devices: [DeviceRule { allow: false, access: "rwm" }] }),
            namespaces: namespaces.into_iter().map(|kind| Namespace { kind }).collect(),
            masked_paths: MASKED,
            readonly_paths: READONLY,
        },
    }
}

/// A user maps their own id and no other, may not mount sysfs without a network namespace of their own, and sets no
/// limits without a delegated cgroup.
fn make_rootless(spec: &mut Spec, uid: u32, gid: u32) {
    let linux = &mut spec.linux;
    linux.namespaces.retain(|namespace| namespace.kind != "network");
    linux.namespaces.push(Namespace { kind: "user" });
    linux.uid_mappings = vec![IdMapping { container: 0, host: uid, size: 1 }];
    linux.gid_mappings = vec![IdMapping { container: 0, host: gid, size: 1 }];
    linux.resources = None;
    for mount in &mut spec.mounts {
        if mount.destination == "/sys" {
            (mount.fstype, mount.source) = ("none", "/sys");
            mount.options.insert(0, "rbind");
        }
        // Only one id is mapped.
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(spec: &Spec) -> Value {
        serde_json::from_slice(&render(spec).unwrap()).unwrap()
    }

    #[test]
    fn it_begins_as_runcs_does() {
        let text = String::from_utf8(render(&example(false)).unwrap()).unwrap();
        assert!(text.starts_with("{\n\t\"ociVersion\": \"1."), "{text}");
        assert!(text.contains("\n\t\t\"args\": [\n\t\t\t\"sh\"\n\t\t],\n"), "{text}");
        assert!(text.contains("\t\"root\": {\n\t\t\"path\": \"rootfs\",\n\t\t\"readonly\": true\n\t},\n"), "{text}");
    }

    #[test]
    fn a_cgroup_namespace_where_v2_is() {
        let with = |v2| value(&example(v2))["linux"]["namespaces"].as_array().unwrap().len();
        assert_eq!((with(false), with(true)), (5, 6));
    }

    #[test]
    fn rootless_maps_one_id_and_uses_no_other() {
        let mut spec = example(true);
        make_rootless(&mut spec, 1000, 100);
        let value = value(&spec);
        assert_eq!(value["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 1000, "size": 1}]));
        assert_eq!(value["linux"]["gidMappings"], json!([{"containerID": 0, "hostID": 100, "size": 1}]));
        assert_eq!(value["linux"].get("resources"), None);
        let text = value.to_string();
        assert!(!text.contains("gid=") && !text.contains("\"network\""));
        assert_eq!(value["mounts"][5]["options"], json!(["rbind", "nosuid", "noexec", "nodev", "ro"]));
    }
}
