//! What is hidden or made read-only inside, beside what is simply not there.

/// Hidden: what tells about the whole machine, or reaches past the sandbox. The newest default lists of Docker and
/// Podman, and side channels of their advisories (PLATYPUS; interrupt counts tell keystrokes apart).
pub const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/pagetypeinfo",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
];

/// Read-only: kernel parameters and what else root could write.
pub const READONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What is hidden of proc. A sandbox inside may mount a proc of its own only if it can see all of one (`mount_too_revealing`
/// of fs/namespace.c): the masks protect against root of the host's user namespace, which nobody inside is.
pub(super) fn masked(nested: bool) -> impl Iterator<Item = &'static str> {
    MASKED.iter().copied().filter(move |_| !nested)
}

/// What of proc is read-only, as `masked`.
pub(super) fn readonly(nested: bool) -> impl Iterator<Item = &'static str> {
    READONLY.iter().copied().filter(move |_| !nested)
}

/// Secrets below the system folders. They are hidden where the caller could read them and ids are not translated;
/// otherwise the kernel refuses them already. A name that ends in `*` stands for all that begin so.
pub const SYSTEM_SECRETS: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/krb5.keytab",
    "/etc/docker/key.json",
    "/etc/kubernetes",
    "/etc/rancher",
    "/etc/wireguard",
    "/etc/openvpn",
    "/etc/ppp/chap-secrets",
    "/etc/ppp/pap-secrets",
    "/etc/NetworkManager/system-connections",
    "/etc/cloud",
    "/etc/ssh/ssh_host_*",
];

/// Secrets of a home folder, relative to it. They are hidden where the home folder itself is shared because it is, or
/// is below, the folder that the sandbox was started in.
pub const HOME_SECRETS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".config/containers/auth.json",
    ".config/rclone",
    ".docker",
    ".kube",
    ".netrc",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".terraform.d",
    ".terraformrc",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".password-store",
    ".local/share/keyrings",
    ".mozilla",
    ".config/google-chrome",
    ".config/chromium",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".psql_history",
];
