//! The table of the host's policy.

use crate::schema::sections::{VERSIONS, holds, key, refused, tells};
use crate::schema::{Key, Kind};

/// The keys of `/etc/zviz/config.yaml`.
#[rustfmt::skip]
pub const ROOT: &[Key] = &[
    tells("schema_version", VERSIONS, "which version of this schema it is written for"),
    tells("version", Kind::Text, "its author's version"),
    holds("annotations", Kind::Map(ANNOTATIONS), "what a container's annotations may ask for"),
    key("default_profile", Kind::Name, "profile", "the profile of a container whose annotations name none; without it, its config.json alone decides"),
    holds("audit", Kind::Map(AUDIT), "where decisions of brokers are recorded"),
    holds("broker", Kind::Map(BROKER), "bounds for every container's broker, whatever its profile says"),
    holds("security", Kind::Map(SECURITY), "what every container has, whatever its config.json says"),
    holds("runtime", Kind::Map(RUNTIME), "of an older schema"),
    holds("logging", Kind::Map(LOGGING), "of an older schema"),
];

#[rustfmt::skip]
const ANNOTATIONS: &[Key] = &[
    key("profiles", Kind::List(&Kind::Name), "profile", "profiles that they may name; without it, all there are, or none where there is a default_profile"),
    key("folder", Kind::Path, "profile", "where profiles are looked for before the built-in ones; /etc/zviz/profiles without it"),
];

#[rustfmt::skip]
const AUDIT: &[Key] = &[
    key("file", Kind::Path, "broker", "the file, which older ones are kept beside"),
    key("always", Kind::Flag, "broker", "whether every broker records, and not only those of containers that ask for it"),
];

#[rustfmt::skip]
const BROKER: &[Key] = &[
    key("max_inflight", Kind::Count(1, 100_000), "broker", "calls that may come at once before the rate counts, at most"),
    key("timeout_ms", Kind::Milliseconds, "broker", "after which a call that is being served fails, at most"),
];

#[rustfmt::skip]
const SECURITY: &[Key] = &[
    key("require_seccomp", Kind::Flag, "plan", "a container without a seccomp filter is refused"),
    key("no_new_privs", Kind::Flag, "no_new_privs", "set for every container"),
];

#[rustfmt::skip]
const RUNTIME: &[Key] = &[
    refused("state_dir", Kind::Path, "who calls says where containers are remembered, with --root", "where containers are remembered"),
    refused("rootless", Kind::Flag, "who calls is who the container belongs to; --rootless is about cgroups", "whether to do without root"),
];

#[rustfmt::skip]
const LOGGING: &[Key] = &[
    refused("level", Kind::Text, "who calls says it, with --debug", "what is logged"),
    refused("format", Kind::Text, "who calls says it, with --log-format", "how it is logged"),
];
