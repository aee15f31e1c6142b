//! A host, and plans on it.

use crate::host::cgroup::CgroupHost;
use crate::host::{Host, Kernel};
use crate::plan::Plan;
use crate::profile::lower::{Context, lower as lower_profile};
use crate::sandbox::facts::{Facts, Home, Kind, Limits, RootEntry, Source};
use crate::sandbox::{Flags, lower};
use crate::why::{Outside, Rules};
use std::net::SocketAddr;
use std::path::Path;
use zviz_observe::Intent;
use zviz_profile::Text;

/// A host on which an ordinary user has a project and some secrets.
pub(in crate::why) struct World {
    has: &'static [&'static str],
    writes: &'static [&'static str],
}

pub(in crate::why) const WORLD: World = World {
    has: &[
        "/home/u/.gitconfig",
        "/home/u/.ssh/key",
        "/home/u/.cache",
        "/home/u/bin/tool",
        "/var/lib/thing",
        "/usr/share/x",
        "/etc/hosts",
        "/data",
        "/data/a",
    ],
    writes: &["/home/u/.cache", "/home/u/project", "/home/u/project/a", "/data", "/data/a"],
};

impl Outside for World {
    fn host_has(&self, path: &Path) -> bool {
        self.has.iter().any(|known| Path::new(known) == path)
    }

    fn host_writes(&self, path: &Path) -> bool {
        self.writes.iter().any(|known| Path::new(known) == path)
    }

    fn modes_allow(&self, _: i32, path: &Path, _: Intent) -> Option<bool> {
        Some(!path.ends_with("closed"))
    }

    fn sees_the_mounts(&self, pid: i32) -> Option<bool> {
        (pid != 0).then_some(pid == 1)
    }

    fn host_listens(&self, address: &SocketAddr) -> bool {
        address.port() == 8080
    }

    fn pids_met(&self) -> Option<u64> {
        None
    }
}

fn facts(flags: &Flags, uid: u32) -> Facts {
    let folder = |name: &str| (name.to_owned(), RootEntry::Folder);
    let shared = flags.ro.iter().chain(&flags.rw).map(String::as_str);
    let named = ["/data", "/home/u/bin", "/home/u/bin/tool", "/opt/own"].into_iter();
    let source = |path: &str| (path.to_owned(), Ok(Source { path: path.to_owned(), kind: Kind::Folder }));
    Facts {
        uid,
        gid: uid,
        subid_base: (uid == 0).then_some(0x7000_0000),
        cwd: Some("/home/u/project".into()),
        home: Some(Home { path: "/home/u".into(), exists: true }),
        root: [folder("usr"), folder("etc"), folder("home")].into(),
        sources: shared.chain(named).map(source).collect(),
        limits: Limits { nproc_of_namespace: true, ..Default::default() },
        open_files: (1024, 4096),
        ..Facts::default()
    }
}

fn host(uid: u32) -> Host {
    Host {
        kernel: Kernel { major: 6, minor: 18 },
        landlock_abi: 7,
        euid: uid,
        egid: uid,
        rootless: uid != 0,
        last_capability: 40,
        capabilities: if uid == 0 { u64::MAX >> 23 } else { 0 },
        user_namespace: false,
        apparmor: false,
        selinux: false,
        time_namespaces: true,
        kcore: true,
        resctrl: false,
        cgroup: CgroupHost::none(),
        subuids: Vec::new(),
        subgids: Vec::new(),
        id_helpers: false,
    }
}

/// The plan of a sandbox under a profile, of whose text a part may extend the rest.
pub(in crate::why) fn layered(yaml: &str, flags: &Flags, uid: u32) -> (Plan, Rules) {
    let (base, top) = yaml.split_once("\n#+\n").map_or((yaml, None), |(base, top)| (base, Some(top)));
    let texts = |name: &str| match name {
        "base" => Ok(Text { file: "own.yaml".into(), text: on_default(base) }),
        other => crate::profile::built_in::text(other).ok_or_else(|| other.to_owned()),
    };
    let text = match top {
        Some(top) => Text { file: "top.yaml".into(), text: format!("extends: base\n{top}") },
        None => texts("base").unwrap(),
    };
    let document = zviz_profile::read(&text, &texts).unwrap_or_else(|faults| panic!("{yaml}\n{faults}"));
    let home = Some("/home/u".to_owned());
    let profile = lower_profile(&document, &Context { home: home.clone() }).unwrap_or_else(|faults| panic!("{faults}"));
    let mut sandbox = flags.sandbox(vec!["true".into()]).unwrap();
    sandbox.profile(profile.clone());
    let lowered = lower(&sandbox.under_profile(), &facts(flags, uid)).unwrap_or_else(|problems| panic!("{problems}"));
    let plan = lowered.plan(&profile, &host(uid), "it").unwrap_or_else(|problems| panic!("{yaml}\n{problems}"));
    (plan, Rules::of_document(&document, home))
}

fn on_default(yaml: &str) -> String {
    if yaml.starts_with("extends: ") { yaml.to_owned() } else { format!("extends: default\n{yaml}") }
}
