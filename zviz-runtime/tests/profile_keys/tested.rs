//! Which test shows that a key does what it says: of the kernel, or of what refuses it. The table is kept true: every key that
//! is enforced or refused has tests, each is a function of its file, and each file has the key in it.

use std::fs;
use std::path::Path;
use zviz_profile::schema::{Does, leaves};

/// Programs that fail under the key, and do what they do without it.
const TAKES: &str = "zviz/tests/profiles.rs::each_key_takes_away_what_it_says";
/// Limits with room enough and without.
const LEDGER: &str = "zviz/tests/ledger.rs::each_limit_ends_or_hinders_what_goes_beyond_it";
const LEDGER_OF_CGROUPS: &str = "zviz/tests/ledger.rs::cgroups_tell_of_theirs";
/// What the kernel has in its files.
const IN_FORCE: &str = "zviz/tests/limits.rs::limits_of_a_profile_are_in_force";
/// That whoever writes it is told why it cannot be had.
const REFUSED: &str = "zviz-runtime/tests/profile_keys.rs::no_key_is_ignored";
/// Plans for hosts that lack it, and for one that has it.
const REQUIRED: &str = "zviz-runtime/tests/profile_keys/required.rs::what_is_required_and_missing_is_refused";
const WRONG: &str = "zviz/tests/profiles.rs::what_is_wrong_with_a_profile_is_told_and_leaves_nothing";
const LEAVES: &str = "zviz/tests/profiles.rs::what_a_profile_leaves_goes_on_working";
const KEPT: &str = "zviz/tests/profiles.rs::capabilities_are_those_that_are_kept";
const DROPPED: &str = "zviz/tests/annotations.rs::capabilities_are_dropped_as_a_profile_says";
const ALLOWED: &str = "zviz/tests/broker/keys.rs::what_a_pattern_allows_is_opened_whatever_the_next_one_says";
const PACE: &str = "zviz/tests/broker/keys.rs::calls_come_at_their_rate_after_those_that_may_come_at_once";
const MOUNTED: &str = "zviz/tests/broker/keys.rs::mounts_are_of_the_listed_types_and_no_larger_than_said";
const CALLED: &str = "zviz/tests/broker/keys.rs::the_kernel_is_called_what_the_profile_says";
const OUTPUT: &str = "zviz/tests/ledger.rs::output_ends_where_it_is_to";
const GENERATED: &str = "zviz/tests/apparmor.rs::ways_out_are_denied_and_the_kernel_says_so";
const NAMED: &str = "zviz-runtime/src/profile/lower/packets/tests.rs::names_open_their_addresses_at_their_ports";
const INGRESS: &str = "zviz-runtime/src/profile/lower/packets/tests.rs::who_comes_in";
const RESOLVER: &str = "zviz-runtime/src/profile/lower/packets/tests.rs::who_may_be_asked_for_names";
const RATES: &str = "zviz-runtime/src/profile/lower/packets/tests.rs::so_many_at_a_time_and_in_a_second";
const LABELLED: &str = "zviz/tests/selinux.rs::a_label_of_a_profile_is_in_force";

#[rustfmt::skip]
const TESTED: &[(&str, &[&str])] = &[
    ("extends", &["zviz/tests/engines/docker/doors.rs::one_policy_four_doors"]),
    ("requirements.lsm", &[REQUIRED, WRONG]),
    ("requirements.seccomp_notify", &[REQUIRED]),
    ("requirements.network_policy", &[REQUIRED]),
    ("requirements.landlock", &[REQUIRED]),
    ("requirements.cgroup", &[REQUIRED]),
    ("requirements.user_namespaces", &[REQUIRED]),
    ("requirements.backend", &["zviz/tests/backend.rs::what_cannot_be_had_is_refused", "zviz/tests/backend.rs::a_host_that_gives_no_namespaces_is_told_of"]),
    ("syscalls.allow", &["zviz/tests/profiles.rs::calls_that_are_not_listed_are_not_there"]),
    ("syscalls.deny", &[TAKES]),
    ("syscalls.broker", &[CALLED]),
    ("ioctl.allowlists[].commands", &[TAKES]),
    ("filesystem.rootfs", &[TAKES]),
    ("filesystem.base", &[TAKES, LEAVES]),
    ("filesystem.readonly", &[TAKES, LEAVES]),
    ("filesystem.writable", &[TAKES, LEAVES]),
    ("filesystem.tmpfs", &[LEAVES]),
    ("filesystem.hidden", &[TAKES]),
    ("filesystem.executable", &[TAKES, LEAVES]),
    ("filesystem.set_id_bits", &[TAKES]),
    ("filesystem.patterns.allow_read", &[ALLOWED]),
    ("filesystem.patterns.allow_write", &[ALLOWED]),
    ("filesystem.patterns.deny_read", &[TAKES]),
    ("filesystem.patterns.deny_write", &[TAKES, "zviz/tests/profiles.rs::what_may_not_be_written_is_not_removed_cut_or_made"]),
    ("filesystem.patterns.ask", &[TAKES, "zviz/tests/broker/files.rs::a_client_at_a_socket_decides"]),
    ("filesystem.patterns.audit", &["zviz/tests/broker/keys.rs::what_is_opened_is_recorded_where_a_pattern_says_so"]),
    ("filesystem.workspace", &[TAKES]),
    ("lsm.type", &[GENERATED, LABELLED]),
    ("lsm.profile", &[LABELLED, WRONG]),
    ("network.mode", &[TAKES]),
    ("network.allow_cidrs", &[TAKES]),
    ("network.allow_domains", &[NAMED, WRONG]),
    ("network.egress.allow", &[TAKES]),
    ("network.egress.deny", &[TAKES]),
    ("network.ingress.deny_all", &["zviz/tests/profiles.rs::nobody_connects_where_there_is_no_network", INGRESS]),
    ("network.ingress.allow", &[INGRESS]),
    ("network.dns.allow", &[TAKES]),
    ("network.dns.proxy.enabled", &[RESOLVER]),
    ("network.dns.proxy.upstream", &[RESOLVER]),
    ("network.connections_max", &[RATES]),
    ("network.connections_rate", &[RATES]),
    ("network.log", &["zviz-runtime/src/profile/lower/packets/tests.rs::reports_are_of_what_log_says"]),
    ("network.sockets.allow", &[TAKES]),
    ("network.sockets.deny", &[TAKES]),
    ("network.ports.allow_bind", &[TAKES, LEAVES]),
    ("network.ports.allow_connect", &[TAKES, LEAVES]),
    ("network.ports.deny_connect", &[TAKES]),
    ("resources.memory_max", &[LEDGER_OF_CGROUPS, IN_FORCE]),
    ("resources.memory_swap_max", &[IN_FORCE]),
    ("resources.memory_high", &[IN_FORCE, "zviz-runtime/tests/profile_keys/required.rs::memory_is_slowed_down_where_the_kernel_can"]),
    ("resources.cpu_max", &[IN_FORCE]),
    ("resources.cpu_weight", &[IN_FORCE]),
    ("resources.pids_max", &[LEDGER_OF_CGROUPS, IN_FORCE]),
    ("resources.io_max[].device", &[IN_FORCE]),
    ("resources.io_max[].rbps", &[IN_FORCE]),
    ("resources.io_max[].wbps", &[IN_FORCE]),
    ("resources.io_max[].riops", &[IN_FORCE]),
    ("resources.io_max[].wiops", &[IN_FORCE]),
    ("resources.open_files", &[LEDGER, TAKES]),
    ("resources.file_size", &[LEDGER, TAKES]),
    ("resources.tmpfs_max", &[LEDGER]),
    ("resources.tmpfs_inodes_max", &[LEDGER]),
    ("resources.disk_max", &[REFUSED]),
    ("resources.disk_inodes_max", &[REFUSED]),
    ("resources.ptys_max", &[LEDGER]),
    ("resources.output_max", &[LEDGER, OUTPUT]),
    ("resources.output_action", &[OUTPUT]),
    ("resources.cpu_time", &[LEDGER, TAKES]),
    ("resources.cpu_time_total", &[LEDGER_OF_CGROUPS, "zviz/tests/ledger.rs::containers_have_them_too"]),
    ("resources.wall_time", &[LEDGER, "zviz/tests/annotations.rs::time_is_up_for_those_who_wait"]),
    ("resources.core_dumps", &["zviz/tests/ledger.rs::core_files_are_written_only_if_a_profile_says_so"]),
    ("capabilities.drop_all", &[DROPPED]),
    ("capabilities.keep", &[KEPT, DROPPED]),
    ("capabilities.ambient", &[KEPT]),
    ("capabilities.bounding.drop", &[DROPPED]),
    ("broker.max_inflight", &[PACE]),
    ("broker.rate", &[PACE]),
    ("broker.timeout_ms", &["zviz/tests/broker/alone.rs::what_takes_for_ever_fails"]),
    ("broker.death", &["zviz/tests/broker/keys.rs::the_death_of_a_broker_is_what_the_profile_says"]),
    ("broker.ask_timeout", &["zviz/tests/broker/keys.rs::an_answer_is_waited_for_as_long_as_is_said"]),
    ("broker.mount_types", &[MOUNTED]),
    ("broker.tmpfs_max", &[MOUNTED]),
    ("broker.uname.release", &[CALLED]),
    ("broker.uname.version", &[CALLED]),
    ("broker.unix_sockets", &["zviz/tests/broker/keys.rs::sockets_of_engines_are_reached_where_they_are_named"]),
    ("audit.level", &["zviz/tests/annotations.rs::what_is_recorded_is_what_the_profile_says", "zviz/tests/records.rs::why_reads_what_landlock_has_denied_where_the_profile_says_so"]),
    ("nested", &["zviz/tests/broker/nested.rs::bubblewrap_runs_inside", TAKES]),
];

/// Whether a file has this test.
fn is_there(text: &str, function: &str) -> bool {
    let Some(at) = text.find(&format!("\nfn {function}() {{")) else { return false };
    text[..at].ends_with("#[test]")
}

/// Whether a text has this word, and not only as a part of another.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// `cargo test -p zviz-runtime --test profile_keys -- --nocapture each_key_has_tests` prints the table.
#[test]
fn each_key_has_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut page = String::from("| key | enforced by | test |\n| --- | --- | --- |\n");
    let mut known = Vec::new();
    for (path, key) in leaves() {
        let by = match key.does {
            Does::Enforced(by) => by,
            Does::Refused(_) => "refused",
            Does::Holds | Does::Describes => continue,
        };
        let found = TESTED.iter().filter(|(key, _)| *key == path);
        let [(_, tests)] = found.collect::<Vec<_>>()[..] else { panic!("{path} is to be here once") };
        assert!(!tests.is_empty(), "{path}");
        for test in *tests {
            let (file, function) = test.split_once("::").unwrap();
            let text = fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(is_there(&text, function), "{path}: {file} has no test {function}");
            let word = path.rsplit('.').next().unwrap().trim_end_matches("[]");
            assert!(has_word(&text, word), "{path}: {file} says nothing about {word}");
        }
        page += &format!("| `{path}` | {by} | {} |\n", tests.join(", "));
        known.push(path);
    }
    for (key, _) in TESTED {
        assert!(known.iter().any(|path| path == key), "{key} is no key that does something");
    }
    println!("{page}");
}
