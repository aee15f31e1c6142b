use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("zviz").chain(line.split_ascii_whitespace()))
}

fn run(line: &str) -> Later<Run> {
    match parse(line).unwrap().command {
        Command::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tree_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn command_lines_of_callers_are_understood() {
    // containerd's go-runc, conmon, CRI-O, BuildKit.
    for line in [
        "--root /run/x --log /b/log.json --log-format json --systemd-cgroup create --bundle /b --pid-file /b/init.pid \
         --console-socket /s --no-pivot --no-new-keyring --preserve-fds 2 id",
        "--root /run/x --log /b/log.json --log-format json start id",
        "--root /run/x state id",
        "--root /run/x kill --all id 9",
        "--root /run/x kill id 15",
        "--root /run/x delete --force id",
        "--root /run/x exec --process /p.json --console-socket /s --detach --pid-file /p id",
        "exec --tty --cwd / --user 1:2 -e A=b id sh -c true",
        "--root /run/x ps --format json id",
        "ps id -o pid,comm",
        "--root /run/x events --stats id",
        "--root /run/x update --resources=- id",
        "update --resources - id",
        "update --memory -1 --memory-swap -1 --cpu-quota -1 --pids-limit -1 id",
        "--root=/run/x --rootless=true --systemd-cgroup=true list -f json",
        "--rootless true pause id",
        "list -q",
        "spec --rootless --bundle /b",
        "spec -b /b",
        "features",
        "run --bundle /b --pid-file /p --no-new-keyring --detach --keep --no-subreaper id",
        "checkpoint --image-path /i --leave-running id",
        "restore id",
    ] {
        let line = line.replace("--systemd-cgroup=true", "--systemd-cgroup");
        parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn wrong_lines_are_refused() {
    for line in [
        "",
        "nope",
        "--nope state id",
        "state",
        "state a b",
        "state --nope a",
        "create",
        "create a b",
        "create --preserve-fds -1 a",
        "create --preserve-fds x a",
        "create --bundle",
        "kill",
        "kill a TERM extra",
        "delete",
        "list extra",
        "list --format yaml",
        "--log-format xml list",
        "--rootless maybe list",
        "exec",
        "exec -g -1 a sh",
        "exec --no-new-privs=maybe a sh",
        "ps",
        "update --pids-limit x a",
        "update --blkio-weight 70000 a",
        "run --net lan -- true",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn what_follows_the_id_of_exec_and_ps_is_not_ours() {
    let Command::Exec(exec) = parse("exec -t id sh -t --cwd / -c x").unwrap().command else { panic!() };
    assert!(exec.tty && exec.cwd.is_none());
    assert_eq!((exec.id(), exec.command().join(" ")), ("id", "sh -t --cwd / -c x".into()));
    let Command::Exec(exec) = parse("exec id -- ls -- -l").unwrap().command else { panic!() };
    assert_eq!(exec.command().join(" "), "ls -- -l");
    let Command::Exec(exec) = parse("exec --no-new-privs id ls").unwrap().command else { panic!() };
    assert_eq!((exec.no_new_privs, exec.id()), (Some(true), "id"));
    let Command::Ps(ps) = parse("ps id -f json -aux").unwrap().command else { panic!() };
    assert_eq!((ps.format, ps.id_and_arguments.len()), (Format::Table, 4));
}

#[test]
fn run_tells_its_two_forms_apart() {
    assert_eq!(run("run -b /b id").target(), Ok(Target::Container("id")));
    assert_eq!(run("run -- ls -l").target(), Ok(Target::Command(&["ls".into(), "-l".into()])));
    assert_eq!(
        run("run --rw /a --net host -- ls -- --rw").target().unwrap(),
        Target::Command(&["ls".into(), "--".into(), "--rw".into()])
    );
    for (line, word) in [
        ("run", "id"),
        ("run --", "id"),
        ("run --rw /a id", "--rw"),
        ("run --json id", "--json"),
        ("run -b /b -- ls", "--bundle"),
        ("run --detach -- ls", "--detach"),
        ("run --preserve-fds 1 -- ls", "--preserve-fds"),
        ("run id -- ls", "id"),
    ] {
        let error = run(line).target().unwrap_err();
        assert!(error.contains(word), "{line}: {error}");
    }
}

#[test]
fn values_of_a_sandbox_may_repeat_and_begin_with_anything() {
    let run = run("run --rw /a --rw /b:/c --env A=-1 -e B --tmpfs /t -- true");
    assert_eq!((run.sandbox.rw.len(), run.sandbox.env.len(), run.sandbox.tmpfs.len()), (2, 2, 1));
}
