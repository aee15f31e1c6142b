use super::*;
use crate::host::cgroup::{CgroupHost, Mode, Unified};
use crate::host::{Host, Kernel};
use crate::plan::mounts::IdmapSource;
use crate::plan::{LandlockRights, MountKind, Plan, User};
use crate::profile::Profile;
use crate::sandbox::facts::{Home, Kind, Limits, RootEntry, Source};
use crate::sandbox::{Share, Userns};
use std::path::PathBuf;

/// An ordinary user in a project folder, on a host with merged /usr.
fn facts() -> Facts {
    let folder = |name: &str| (name.to_owned(), RootEntry::Folder);
    let link = |name: &str, target: &str| (name.to_owned(), RootEntry::Link(target.to_owned()));
    let source = |path: &str, kind| (path.to_owned(), Ok(Source { path: path.to_owned(), kind }));
    Facts {
        uid: 1000,
        gid: 1001,
        cwd: Some("/home/u/project".into()),
        home: Some(Home { path: "/home/u".into(), exists: true }),
        environment: [("PATH".into(), "/home/u/project/bin:/home/u/bin:/bin".into())].into(),
        root: [folder("usr"), folder("etc"), folder("opt"), link("bin", "usr/bin"), folder("home")].into(),
        sources: [
            source("/data", Kind::Folder),
            source("/dev/kvm", Kind::Device),
            source("/proc/1", Kind::Folder),
            source("/", Kind::Folder),
            ("/nonexistent".to_owned(), Err("no such file or directory".to_owned())),
            ("../sibling".to_owned(), Ok(Source { path: "/home/u/sibling".into(), kind: Kind::Folder })),
        ]
        .into(),
        limits: Limits { nproc_of_namespace: true, ..Limits::default() },
        open_files: (1024, 4096),
        ..Facts::default()
    }
}

fn as_root() -> Facts {
    let home = Some(Home { path: "/root".into(), exists: true });
    Facts { uid: 0, gid: 0, subid_base: Some(0x7000_0000), home, cwd: Some("/srv/app".into()), ..facts() }
}

fn destinations(lowered: &Lowered) -> Vec<String> {
    let mounts = lowered.spec.mounts().iter().flatten();
    mounts.map(|mount| mount.destination().display().to_string()).collect()
}

fn options<'a>(lowered: &'a Lowered, inside: &str) -> &'a [String] {
    let mut mounts = lowered.spec.mounts().iter().flatten();
    mounts.find(|mount| mount.destination().to_str() == Some(inside)).unwrap().options().as_deref().unwrap()
}

fn entry<'a>(lowered: &'a Lowered, inside: &str) -> Option<&'a What> {
    lowered.entries.iter().find(|entry| entry.inside == inside).map(|entry| &entry.what)
}

fn problems(sandbox: &Sandbox, facts: &Facts) -> String {
    lower(sandbox, facts).unwrap_err().to_string()
}

#[test]
fn the_sandbox_of_an_ordinary_user() {
    let lowered = lower(&Sandbox::new(["true"]), &facts()).unwrap();
    let want = [
        "/dev",
        "/dev/mqueue",
        "/dev/pts",
        "/dev/shm",
        "/etc",
        "/home/u",
        "/home/u/project",
        "/opt",
        "/proc",
        "/run",
        "/tmp",
        "/usr",
        "/var/tmp",
    ];
    assert_eq!(destinations(&lowered), want);
    assert_eq!(entry(&lowered, "/bin"), Some(&What::Link { target: "usr/bin".into() }));
    assert_eq!(options(&lowered, "/usr"), ["rbind", "rnosuid", "rnodev", "rro"]);
    assert_eq!(options(&lowered, "/home/u/project"), ["rbind", "rnosuid", "rnodev"]);
    let home = options(&lowered, "/home/u");
    assert!(
        home.contains(&"mode=700".into()) && home.contains(&"uid=1000".into()) && home.contains(&"gid=1001".into())
    );
    assert!(!options(&lowered, "/dev/pts").iter().any(|option| option.starts_with("gid=")));
    assert_eq!(lowered.notes, []);
}

#[test]
fn its_process() {
    let lowered = lower(&Sandbox::new(["true", "-x"]), &facts()).unwrap();
    let process = lowered.spec.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (1000, 1001));
    assert_eq!(process.args().as_deref().unwrap(), ["true", "-x"]);
    assert_eq!(process.cwd().to_str(), Some("/home/u/project"));
    assert_eq!(process.no_new_privileges(), Some(true));
    let capabilities = process.capabilities().as_ref().unwrap();
    assert!(capabilities.bounding().as_ref().unwrap().is_empty());
    assert!(capabilities.ambient().as_ref().unwrap().is_empty());
    let env = process.env().as_deref().unwrap();
    assert!(env.contains(&"HOME=/home/u".into()));
    // Of the caller's own folders only the one that is seen inside stays.
    let path = env.iter().find(|line| line.starts_with("PATH=")).unwrap();
    assert!(path.starts_with("PATH=/home/u/project/bin:/bin:/usr/local/sbin:"), "{path}");
}

#[test]
fn one_id_for_a_user_and_a_range_for_root() {
    let map = |lowered: &Lowered| {
        let map = lowered.spec.linux().as_ref().unwrap().uid_mappings().as_ref().unwrap()[0];
        (map.container_id(), map.host_id(), map.size())
    };
    assert_eq!(map(&lower(&Sandbox::new(["true"]), &facts()).unwrap()), (1000, 1000, 1));
    let lowered = lower(&Sandbox::new(["true"]), &as_root()).unwrap();
    assert_eq!(map(&lowered), (0, 0x7000_0000, 65_536));
    assert!(lowered.translated);
    let lowered = lower(Sandbox::new(["true"]).userns(Userns::Identity), &as_root()).unwrap();
    assert_eq!(map(&lowered), (0, 0, 65_536));
    assert!(!lowered.translated && lowered.notes[0].to_string().contains("--userns identity"));
    let zero = Facts { user: Some(Ok((0, 0))), ..facts() };
    assert_eq!(map(&lower(Sandbox::new(["true"]).user("0"), &zero).unwrap()), (0, 1000, 1));
    let far = Facts { user: Some(Ok((70_000, 0))), ..as_root() };
    assert_eq!(
        problems(Sandbox::new(["true"]).user("70000:0"), &far),
        "--user 70000:0: ids inside a sandbox end at 65535"
    );
}

#[test]
fn secrets_of_the_system_are_hidden_where_they_could_be_read() {
    let shadow = Facts { readable_secrets: vec!["/etc/shadow".into()], ..facts() };
    let masked = |facts: &Facts, sandbox: &Sandbox| {
        let lowered = lower(sandbox, facts).unwrap();
        lowered.spec.linux().as_ref().unwrap().masked_paths().clone().unwrap()
    };
    assert!(masked(&shadow, &Sandbox::new(["true"])).contains(&"/etc/shadow".into()));
    let root = Facts { readable_secrets: vec!["/etc/shadow".into()], ..as_root() };
    assert!(!masked(&root, &Sandbox::new(["true"])).contains(&"/etc/shadow".into()), "the kernel refuses it already");
    assert!(masked(&root, Sandbox::new(["true"]).userns(Userns::Identity)).contains(&"/etc/shadow".into()));
}

#[test]
fn standing_in_the_home_folder_hides_its_secrets() {
    let home = Facts { cwd: Some("/home/u".into()), ..facts() };
    let lowered = lower(&Sandbox::new(["true"]), &home).unwrap();
    assert_eq!(options(&lowered, "/home/u"), ["rbind", "rnosuid", "rnodev"]);
    let masked = lowered.spec.linux().as_ref().unwrap().masked_paths().clone().unwrap();
    assert!(masked.contains(&"/home/u/.ssh".into()));
    assert_eq!(lowered.notes.len(), 1);
}

#[test]
fn folders_that_are_no_place_of_work_are_not_shared() {
    for (cwd, start) in [("/", "/"), ("/usr/bin", "/usr/bin"), ("/tmp", "/tmp"), ("/home", "/"), ("/run/user/1", "/")] {
        let there = Facts { cwd: Some(cwd.into()), ..facts() };
        let lowered = lower(&Sandbox::new(["true"]), &there).unwrap();
        assert_eq!(lowered.spec.process().as_ref().unwrap().cwd().to_str(), Some(start), "{cwd}");
        let writable = |entry: &&Entry| matches!(entry.what, What::Bind { writable: true, .. });
        assert_eq!(lowered.entries.iter().find(writable), None, "{cwd}");
        assert_eq!(lowered.notes.len(), 1, "{cwd}");
    }
    let opt = Facts { cwd: Some("/opt/app".into()), ..facts() };
    assert!(destinations(&lower(&Sandbox::new(["true"]), &opt).unwrap()).contains(&"/opt/app".into()));
    let deleted = Facts { cwd: None, ..facts() };
    assert!(problems(&Sandbox::new(["true"]), &deleted).starts_with("current folder: was deleted"));
}

#[test]
fn a_start_folder_shares_nothing() {
    let lowered = lower(Sandbox::new(["true"]).cwd("/usr"), &facts()).unwrap();
    assert!(!destinations(&lowered).contains(&"/home/u/project".into()));
    assert_eq!(lowered.spec.process().as_ref().unwrap().cwd().to_str(), Some("/usr"));
}

#[test]
fn homes_that_cannot_be_are_tmp() {
    for path in ["/", "/usr/games", "/proc/x", "/dev/shm"] {
        let odd = Facts { home: Some(Home { path: path.into(), exists: path.starts_with("/dev") }), ..facts() };
        let lowered = lower(&Sandbox::new(["true"]), &odd).unwrap();
        assert!(
            lowered.spec.process().as_ref().unwrap().env().as_ref().unwrap().contains(&"HOME=/tmp".into()),
            "{path}"
        );
    }
    let absent = Facts { home: Some(Home { path: "/nonexistent".into(), exists: false }), ..facts() };
    assert!(destinations(&lower(&Sandbox::new(["true"]), &absent).unwrap()).contains(&"/nonexistent".into()));
}

#[test]
fn what_is_asked_for_replaces_what_is_there() {
    let mut sandbox = Sandbox::new(["true"]);
    sandbox.rw("/data", "/home/u").tmpfs("/tmp", Some(1 << 20)).share(Share::parse("../sibling", false).unwrap());
    let lowered = lower(&sandbox, &facts()).unwrap();
    assert_eq!(options(&lowered, "/home/u"), ["rbind", "rnosuid", "rnodev"]);
    assert!(options(&lowered, "/tmp").contains(&"size=1048576".into()));
    assert!(options(&lowered, "/tmp").contains(&"mode=1777".into()));
    assert_eq!(options(&lowered, "/home/u/sibling"), ["rbind", "rnosuid", "rnodev", "rro"]);
}

#[test]
fn every_bad_share_is_named() {
    let mut sandbox = Sandbox::new(["true"]);
    for text in ["/nonexistent", "/dev/kvm:/kvm", "/proc/1:/p", "/:/host", "/data:/", "/data:/proc/sys", "/data:/dev/x"]
    {
        sandbox.share(Share::parse(text, true).unwrap());
    }
    sandbox.share(Share::parse("/data:/sys/x", true).unwrap()).share(Share::parse("/data:rel", false).unwrap());
    sandbox.share(Share::parse("/data:/a/../b", false).unwrap());
    sandbox.rw("/data", "/x").ro("/data", "/x").tmpfs("/x", None).tmpfs("/proc", None);
    let lines = problems(&sandbox, &facts());
    let want = "--rw /nonexistent: no such file or directory; \
        --rw /dev/kvm:/kvm: is a device; a sandbox has null, zero, full, random, urandom and tty; \
        --rw /proc/1:/p: is in the host's /proc, which shows the host's processes; the sandbox has its own; \
        --rw /:/host: is the whole host, its processes and sockets included; name the folders that are needed; \
        --rw /data:/: the root itself cannot be replaced (--rootfs gives another one); \
        --rw /data:/proc/sys: /proc of the sandbox is its own, nothing can be mounted there; \
        --rw /data:/dev/x: /dev of the sandbox is its own, nothing can be mounted there; \
        --rw /data:/sys/x: of /sys only parts can be shared, read-only; \
        --ro /data:rel: a path inside the sandbox begins with a slash; \
        --ro /data:/a/../b: a path inside the sandbox has no `..`; \
        --ro /data:/x: /x is shared twice; \
        --tmpfs /proc: /proc of the sandbox is its own, nothing can be mounted there; \
        --tmpfs /x: /x is taken by --rw /data:/x";
    assert_eq!(lines, want);
}

#[test]
fn a_command_is_needed() {
    assert_eq!(problems(&Sandbox::new([""; 0]), &facts()), "command: there is none");
    assert_eq!(problems(&Sandbox::new([""]), &facts()), "command: there is none");
    assert_eq!(problems(&Sandbox::new(["a", "b\0"]), &facts()), "command: an argument holds a NUL");
}

#[test]
fn the_hosts_network_is_said() {
    let resolver = "/run/systemd/resolve/stub-resolv.conf".to_owned();
    let online = Facts { resolver: Some(resolver.clone()), ..facts() };
    let lowered = lower(Sandbox::new(["true"]).network(Network::Host), &online).unwrap();
    let namespaces = lowered.spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
    assert!(!namespaces.iter().any(|namespace| namespace.typ() == oci::LinuxNamespaceType::Network));
    assert_eq!(lowered.notes.len(), 1);
    assert!(destinations(&lowered).contains(&resolver));
}

#[test]
fn another_root_brings_everything_but_what_is_the_sandboxs_own() {
    let folder = |name: &str| (name.to_owned(), RootEntry::Folder);
    let root = [folder("usr"), folder("var"), folder("app"), folder("proc"), folder("home"), folder("tmp")].into();
    let image = Facts { rootfs: Some(Ok("/images/a".into())), root, ..as_root() };
    let lowered = lower(Sandbox::new(["true"]).rootfs("/images/a"), &image).unwrap();
    let app = What::Bind { source: "/images/a/app".into(), writable: false, own: true };
    assert_eq!(entry(&lowered, "/app"), Some(&app));
    assert!(!destinations(&lowered).contains(&"/home".into()));
    assert_eq!(entry(&lowered, "/var/tmp"), None, "the image has no such folder, and is read-only");
    let bad = Facts { rootfs: Some(Err("is not a folder".into())), ..as_root() };
    assert_eq!(problems(Sandbox::new(["true"]).rootfs("x"), &bad), "--rootfs x: is not a folder");
}

#[test]
fn order_is_by_component() {
    let mut sandbox = Sandbox::new(["true"]);
    sandbox.tmpfs("/a/b", None).tmpfs("/a-b", None).tmpfs("/a", None);
    let all = destinations(&lower(&sandbox, &facts()).unwrap());
    let of_a: Vec<_> = all.iter().filter(|inside| inside.starts_with("/a")).collect();
    assert_eq!(of_a, ["/a", "/a/b", "/a-b"]);
}

fn unified() -> CgroupHost {
    let mount = PathBuf::from("/sys/fs/cgroup");
    let controllers = ["cpu", "memory", "pids"].map(str::to_owned).to_vec();
    let v2 = Unified { own: mount.join("user.slice"), mount, controllers, writable: true };
    CgroupHost { v2: Some(v2), mode: Mode::V2, ..CgroupHost::none() }
}

fn host(euid: u32) -> Host {
    Host {
        euid,
        egid: if euid == 0 { 0 } else { 1001 },
        rootless: euid != 0,
        user_namespace: false,
        kernel: Kernel { major: 6, minor: 18 },
        last_capability: 40,
        capabilities: if euid == 0 { u64::MAX } else { 0 },
        landlock_abi: 7,
        apparmor: false,
        selinux: false,
        time_namespaces: true,
        kcore: true,
        resctrl: false,
        cgroup: unified(),
        subuids: Vec::new(),
        subgids: Vec::new(),
        id_helpers: false,
    }
}

fn plan(sandbox: &Sandbox, facts: &Facts) -> Plan {
    let lowered = lower(sandbox, facts).unwrap();
    lowered.plan(&Profile::default(), &host(facts.uid), "a").unwrap()
}

#[test]
fn the_plan_of_an_ordinary_user() {
    let plan = plan(&Sandbox::new(["true"]), &facts());
    assert_eq!(plan.rootfs.as_ref().unwrap().path, "");
    assert!(plan.rootfs.as_ref().unwrap().readonly && plan.process.reaper && plan.process.no_new_privs);
    assert_eq!(plan.process.credentials.groups, None);
    assert!(matches!(plan.namespaces.user, User::New { by_helper: false, setgroups: false, .. }));
    assert_eq!(plan.process.capabilities, Default::default());
    assert!(matches!(&plan.mounts[0].kind, MountKind::Symlink { target } if target == "usr/bin"));
    let idmapped = |mount: &&crate::plan::Mount| matches!(&mount.kind, MountKind::Bind(bind) if bind.idmap.is_some());
    assert_eq!(plan.mounts.iter().find(idmapped), None);
    let rights = |path: &str| {
        let rules = &plan.landlock.as_ref().unwrap().rules;
        rules.iter().find(|rule| rule.path == path).map(|rule| rule.rights)
    };
    assert_eq!(rights("/"), Some(LandlockRights::ReadExecute));
    assert_eq!(rights("/usr"), Some(LandlockRights::ReadExecute));
    assert_eq!(rights("/home/u/project"), Some(LandlockRights::Full));
}

#[test]
fn truncation_is_left_to_the_mounts_of_roots_system_folders() {
    let left = |sandbox: &Sandbox, facts: &Facts, profile: &Profile| -> Vec<String> {
        let plan = lower(sandbox, facts).unwrap().plan(profile, &host(facts.uid), "a").unwrap();
        let rules = plan.landlock.unwrap().rules.into_iter();
        rules.filter(|rule| rule.truncate).map(|rule| rule.path).collect()
    };
    let mut sandbox = Sandbox::new(["true"]);
    sandbox.ro("/data", "/data");
    let default = Profile::default();
    let folders = ["/etc", "/opt", "/usr"].map(String::from);
    assert_eq!(left(&sandbox, &as_root(), &default), [&folders[..], &in_usr()].concat());
    // A descriptor from outside may lead to the user's own file there, past the read-only mount.
    assert!(left(&sandbox, &facts(), &default).is_empty());
    // Landlock alone keeps /data from being written.
    let mut listed = Profile::default();
    listed.files.writable = Some(vec!["/tmp".into()]);
    let mut written = Sandbox::new(["true"]);
    written.rw("/data", "/data");
    assert!(left(&written, &as_root(), &listed).is_empty());
    sandbox.userns(Userns::Identity);
    assert!(left(&sandbox, &as_root(), &default).is_empty());
}

/// Folders of /usr that have a rule of their own.
fn in_usr() -> Vec<String> {
    let names = ["bin", "lib", "lib/ARCH-linux-gnu", "include", "include/ARCH-linux-gnu", "share"];
    names.map(|name| format!("/usr/{}", name.replace("ARCH", std::env::consts::ARCH))).to_vec()
}

#[test]
fn rules_are_near_the_files_of_the_systems_own_usr() {
    let rules = |sandbox: &Sandbox, profile: &Profile| -> Vec<(String, LandlockRights)> {
        let plan = lower(sandbox, &facts()).unwrap().plan(profile, &host(1000), "a").unwrap();
        let rules = plan.landlock.unwrap().rules.into_iter().filter(|rule| rule.path.starts_with("/usr"));
        rules.map(|rule| (rule.path, rule.rights)).collect()
    };
    let all = |rights| move |path| (path, rights);
    let whole: Vec<String> = [&["/usr".to_owned()][..], &in_usr()].concat();
    let default = Profile::default();
    let expected: Vec<_> = whole.iter().cloned().map(all(LandlockRights::ReadExecute)).collect();
    assert_eq!(rules(&Sandbox::new(["true"]), &default), expected);
    // What else is mounted there has the rights of its mount.
    let mut written = Sandbox::new(["true"]);
    written.rw("/data", "/usr/share");
    let share = |rules: Vec<(String, LandlockRights)>| -> Vec<LandlockRights> {
        rules.into_iter().filter(|(path, _)| path == "/usr/share").map(|(_, rights)| rights).collect()
    };
    assert_eq!(share(rules(&written, &default)), [LandlockRights::Full]);
    // Nobody knows what is in another /usr.
    let mut other = Sandbox::new(["true"]);
    other.ro("/data", "/usr");
    assert_eq!(rules(&other, &default), [("/usr".to_owned(), LandlockRights::ReadExecute)]);
    // They have what the profile gives, and no more.
    let mut listed = Profile::default();
    listed.files.executable = Some(vec!["/usr/bin".into()]);
    let executable = rules(&Sandbox::new(["true"]), &listed).into_iter();
    let executable: Vec<_> = executable.filter(|(_, rights)| *rights != LandlockRights::Read).collect();
    assert_eq!(executable, [("/usr/bin".to_owned(), LandlockRights::ReadExecute)]);
}

#[test]
fn the_plan_of_root_translates_shared_folders_only() {
    let mut sandbox = Sandbox::new(["true"]);
    sandbox.ro("/data", "/data");
    let plan = plan(&sandbox, &as_root());
    let idmap = |inside: &str| {
        let mount = plan.mounts.iter().find(|mount| mount.destination == inside).unwrap();
        match &mount.kind {
            MountKind::Bind(bind) => bind.idmap.clone(),
            _ => panic!("{inside} is no bind"),
        }
    };
    assert_eq!(idmap("/srv/app"), Some(IdmapSource::Container { recursive: true, best_effort: false }));
    assert_eq!(idmap("/data"), Some(IdmapSource::Container { recursive: true, best_effort: true }));
    assert_eq!(idmap("/usr"), None);
    assert_eq!(idmap("/etc"), None);
    assert_eq!(plan.process.credentials.groups, Some(Vec::new()));
}

#[test]
fn what_is_asked_for_in_a_hidden_folder_is_named() {
    let hiding = |path: &str| {
        let mut profile = crate::profile::Profile::default();
        (profile.name, profile.files.hidden) = ("own".into(), vec![path.into()]);
        profile
    };
    let at_home = hiding("/home/u");
    let told = problems(Sandbox::new(["true"]).profile(at_home.clone()), &facts());
    let why = "is in /home/u, which the profile own hides (filesystem.hidden)";
    assert_eq!(told, format!("the current folder: /home/u/project {why}"));
    let told = problems(Sandbox::new(["true"]).profile(at_home.clone()).cwd("/home/u/x"), &facts());
    assert_eq!(told, format!("--cwd /home/u/x: {why}"));
    let share = Share { host: "/data".into(), inside: Some("/home/u/data".into()), writable: true };
    let told = problems(Sandbox::new(["true"]).profile(at_home).cwd("/").share(share.clone()), &facts());
    assert!(told.ends_with(&format!("/home/u/data {why}")), "{told}");
    // The folder itself is there, and empty.
    let lowered = lower(Sandbox::new(["true"]).profile(hiding("/home/u/project")), &facts()).unwrap();
    assert!(lowered.notes.iter().any(|note| note.0.contains("/home/u/project is empty: the profile own hides it")));
    assert!(lower(Sandbox::new(["true"]).profile(hiding("/home/u/proj")).share(share), &facts()).is_ok());
}

#[test]
fn a_systems_folder_that_is_to_be_written_is_noted() {
    let noted = |path: &str| {
        let mut profile = crate::profile::Profile { name: "own".into(), ..crate::profile::Profile::default() };
        profile.files.writable = Some(vec![path.into()]);
        let lowered = lower(Sandbox::new(["true"]).profile(profile), &facts()).unwrap();
        lowered.notes.iter().any(|note| note.0.contains(&format!("filesystem.writable: {path} is one of the system's")))
    };
    assert!(noted("/usr/local") && noted("/etc"));
    assert!(!noted("/data") && !noted("/usrx"));
}
