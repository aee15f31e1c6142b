//! What a call is judged by.

use super::denial::shown;
use super::{Denial, Rules};
use crate::plan::mounts::attr;
use crate::plan::{Mount, MountKind, Plan};
use crate::profile::files::within;
use nix::errno::Errno;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use zviz_observe::{Call, Intent, Named, SocketAddress};
use zviz_seccomp::{Arch, Program, SeccompData, X32_BIT, compile};

/// What the machine alone knows. Whoever answers is given hostile names: it looks, and opens nothing.
pub trait Outside {
    /// Whether the host has something at a path.
    fn host_has(&self, path: &Path) -> bool;
    /// Whether whoever runs the sandbox may write it there.
    fn host_writes(&self, path: &Path) -> bool;
    /// Whether owner and mode alone let the caller do this to a path as it sees it; none where that is not known.
    fn modes_allow(&self, pid: i32, path: &Path, intent: Intent) -> Option<bool>;
    /// Whether the caller is in the mount namespace that the sandbox was made with; none where that is not known.
    fn sees_the_mounts(&self, pid: i32) -> Option<bool>;
    /// Whether somebody on the host listens there.
    fn host_listens(&self, address: &SocketAddr) -> bool;
    /// How often the container's processes met their number's limit; none where nobody counts.
    fn pids_met(&self) -> Option<u64>;
}

/// The filter of a plan, compiled.
#[derive(Debug, Default)]
pub struct Filter(Option<Program>);

impl Filter {
    /// That of a plan; none where it has none.
    #[must_use]
    pub fn of(plan: &Plan) -> Filter {
        let own = |seccomp: &crate::plan::Seccomp| match &seccomp.program {
            Some(program) => Some(program.clone()),
            None => compile(&seccomp.policy).ok().map(|compiled| compiled.program),
        };
        Filter(plan.seccomp.as_ref().and_then(own))
    }
}

/// A sandbox of `zviz run -- COMMAND`, and what is said of it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// What was decided.
    pub plan: &'a Plan,
    /// Its filter.
    pub filter: &'a Filter,
    /// The profile's lines.
    pub rules: &'a Rules,
    /// The machine.
    pub outside: &'a dyn Outside,
}

impl<'a> Scene<'a> {
    /// What the filter answers.
    pub(super) fn answer(&self, call: &Call) -> Option<zviz_seccomp::Action> {
        let nr = u32::try_from(call.number).ok()?;
        let data = SeccompData { nr, arch: call.arch, instruction_pointer: 0, args: call.args };
        Some(self.filter.0.as_ref()?.eval(&data))
    }

    /// The mount that a path is in.
    pub(super) fn mount(&self, path: &str) -> Option<&'a Mount> {
        let real = |mount: &&Mount| {
            matches!(mount.kind, MountKind::Bind(_) | MountKind::Filesystem(_) | MountKind::Overlay)
                && within(path, &mount.destination)
        };
        // Of two on one place the later is seen.
        self.plan.mounts.iter().filter(real).max_by_key(|mount| mount.destination.len())
    }

    /// Where a path is on the host, where it is shared.
    pub(super) fn host_path(&self, path: &str) -> Option<String> {
        let mount = self.mount(path)?;
        let MountKind::Bind(bind) = &mount.kind else { return None };
        let rest = path.strip_prefix(mount.destination.trim_end_matches('/'))?;
        Some(format!("{}{rest}", bind.source.trim_end_matches('/')))
    }

    /// What is there when the sandbox starts, of a path or of the folders above it: what is named has to be.
    pub(super) fn lasting(&self, path: &str) -> String {
        let Some(mount) = self.mount(path) else { return path.to_owned() };
        let mut place = path;
        while place != mount.destination && within(place, &mount.destination) {
            if self.host_path(place).is_some_and(|host| self.outside.host_has(Path::new(&host))) {
                return place.to_owned();
            }
            place = parent(place);
        }
        mount.destination.clone()
    }

    /// Whether a path's mount is read-only.
    pub(super) fn is_readonly(&self, path: &str) -> bool {
        self.readonly_path(path).is_some()
            || match self.mount(path) {
                Some(mount) => mount.late_readonly || has(mount, attr::RDONLY),
                None => self.plan.rootfs.as_ref().is_some_and(|root| root.readonly),
            }
    }

    /// The path that was made read-only and that a path is in, if nothing nearer is mounted.
    pub(super) fn readonly_path(&self, path: &str) -> Option<&'a str> {
        let around = self.plan.readonly_paths.iter().filter(|above| within(path, above));
        around.max_by_key(|above| above.len()).map(String::as_str)
    }

    /// The path that is hidden, and that a path is in.
    pub(super) fn masked_path(&self, path: &str) -> Option<&'a str> {
        self.plan.masked_paths.iter().find(|above| within(path, above)).map(String::as_str)
    }

    /// A denial with what the call says of itself.
    pub(super) fn told(&self, mut denial: Denial, call: &Call, object: impl AsRef<[u8]>) -> Denial {
        denial.call = name(call);
        denial.object = shown(object.as_ref());
        denial.result = match errno(call) {
            Some(errno) => format!("{errno:?}"),
            None if call.result == Call::KILLED => "SIGSYS".to_owned(),
            None => String::new(),
        };
        denial.program = shown(call.program.as_os_str().as_bytes());
        denial
    }
}

/// Whether an attribute is set on a mount.
pub(super) fn has(mount: &Mount, bit: u64) -> bool {
    (mount.attributes.set | mount.recursive.set) & bit != 0
}

/// The error of a call that failed.
pub(super) fn errno(call: &Call) -> Option<Errno> {
    call.errno().map(Errno::from_raw)
}

/// The architecture of a call.
pub(super) fn arch(call: &Call) -> Option<Arch> {
    let x32 = call.number & u64::from(X32_BIT) != 0 && call.arch == Arch::X32.audit();
    Arch::all().find(|arch| arch.audit() == call.arch && (*arch == Arch::X32) == x32)
}

/// The name of a call, or its number.
pub(super) fn name(call: &Call) -> String {
    call.name().unwrap_or_else(|| format!("system call {}", call.number))
}

/// A path as the plan writes them. One that is not UTF-8 is in no plan, but may be below one that is.
pub(super) fn text(named: &Named) -> String {
    named.path.to_string_lossy().into_owned()
}

/// What a call was about, in a few words.
pub(super) fn object(call: &Call) -> Vec<u8> {
    match (call.paths.first(), &call.address) {
        (_, Some(SocketAddress::Inet(address))) => address.to_string().into_bytes(),
        (_, Some(SocketAddress::UnixPath(path))) => path.as_os_str().as_bytes().to_vec(),
        (_, Some(SocketAddress::UnixAbstract(name))) => [b"@", &name[..]].concat(),
        (Some(named), _) => named.path.as_os_str().as_bytes().to_vec(),
        _ => Vec::new(),
    }
}

/// The folder that something is in.
pub(super) fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    }
}
