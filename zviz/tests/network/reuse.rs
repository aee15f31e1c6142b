//! Numbers of processes that are remembered, and belong to somebody else by then.

use super::container::Container;
use super::internet::Internet;
use super::support::{ZVIZ, requires, run};
use serde_json::Value;

/// In a pid namespace of its own, where one can say which number comes next. `$Z` is the binary, `$ID` the container.
const SCRIPT: &str = r#"
$Z create --bundle $BUNDLE $ID </dev/null >/dev/null 2>&1
$Z start $ID
set -- $(sed -n 's/.*"init":{"pid":\([0-9]*\),.*"watcher":{"pid":\([0-9]*\),.*/\1 \2/p' $STATE)
[ $# = 2 ] || { echo "no watcher"; cat $STATE; exit 1; }
for process in /proc/[0-9]*; do
    read -r name <$process/comm || continue
    [ "$name" != zviz-net ] || set -- "$@" ${process#/proc/}
done
[ $# = 3 ] || { echo "no helper"; exit 1; }
kill -9 "$@"
for pid in "$@"; do
    while [ -e /proc/$pid ]; do sleep 0.05; done
    # By the shell itself: whoever it would start for that would have the number.
    echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
    sleep 1000 &
    [ $! = $pid ] || { echo "$pid became $!"; exit 1; }
done
for pid in "$@"; do
    # The shell's own copy at first.
    until read -r name </proc/$pid/comm && read -r _ _ state _ </proc/$pid/stat && [ "$name $state" = "sleep S" ]; do
        sleep 0.05
    done
done
$Z state $ID
echo
for words in "kill $ID KILL" "kill --all $ID KILL" "kill $ID TERM" "start $ID" "exec $ID /usr/bin/true" "pause $ID" "stats $ID" gc \
    "delete $ID" "delete --force $ID" gc
do
    $Z $words >/dev/null 2>&1 || true
    for pid in "$@"; do
        read -r name </proc/$pid/comm || { echo "$words: $pid is gone"; continue; }
        read -r _ _ state _ </proc/$pid/stat
        [ "$name $state" = "sleep S" ] || echo "$words: $pid $name $state"
    done
done
[ ! -e $STATE ] || echo "it is there still"
# The control: a signal would have ended them.
kill "$@"
for pid in "$@"; do wait $pid || echo "ended by $?"; done
"#;

#[test]
fn who_has_a_number_next_is_not_taken_for_who_had_it() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let profile = "network: {mode: private, egress: {deny: [203.0.113.20/32]}, log: all}\nresources: {wall_time: 1h}\n";
    let container = Container::new(&internet, "reused").profile(profile);
    container.edit(|spec| spec["process"]["args"] = serde_json::json!(["/usr/bin/sleep", "1000"]));
    let zviz = container.zviz(&[]);
    let words: Vec<&str> = zviz.get_args().filter_map(|word| word.to_str()).skip_while(|word| *word != ZVIZ).collect();
    let mut script = internet.host.command("unshare");
    script.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", SCRIPT]);
    script.env("Z", words.join(" ")).env("ID", &container.id).env("BUNDLE", internet.scratch.join("reused"));
    script.env("STATE", internet.scratch.join("root").join(&container.id).join("state.json"));
    let said = run(&mut script).ok();
    let (state, rest) = said.rsplit_once("}\n").unwrap_or_else(|| panic!("{said}"));
    let state: Value = serde_json::from_str(&format!("{state}}}")).unwrap();
    assert_eq!(state["status"], "stopped");
    assert_eq!(rest.trim(), "ended by 143\nended by 143\nended by 143", "{said}");
}
