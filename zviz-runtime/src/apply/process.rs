//! The payload: limits, scheduling, identity, rights, and finding its program.

use super::home;
use super::inroot::{self, Make};
use super::mounts::place;
use super::namespaces::write_proc;
use crate::failure::{Failure, Stage, at, at_item};
use crate::plan::{Process, process::Scheduler};
use crate::prepare::{Error, cstring};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use zviz_sys::exec::{self, CStrArray};
use zviz_sys::sched::{self, CpuSet, SchedAttr};
use zviz_sys::{ids, path, process};

/// The payload, with every string made.
pub(crate) struct PreparedProcess {
    plan: Process,
    argv: CStrArray,
    env: CStrArray,
    cwd: CString,
    cwd_place: CString,
    /// Where the program may be: one path, or one for each folder of PATH.
    candidates: Vec<CString>,
    final_affinity: Option<CpuSet>,
    apparmor: Option<Vec<u8>>,
    selinux: Option<Vec<u8>>,
    sysctl: Vec<(CString, Vec<u8>)>,
    /// Where HOME is still to be found.
    passwd: Option<home::Buffer>,
    last_capability: u32,
}

/// linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;

/// Where the spec is silent: init's own is 0 by then, so that what it makes has the modes that were asked for.
const UMASK: u32 = 0o022;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the strings.
pub(crate) fn prepare(
    plan: &Process,
    sysctl: &BTreeMap<String, String>,
    last_capability: u32,
) -> Result<PreparedProcess, Error> {
    let strings = |list: &[String]| list.iter().map(|s| cstring(s)).collect::<Result<Vec<_>, _>>();
    let sysctl = sysctl
        .iter()
        .map(|(key, value)| Ok((cstring(&sysctl_path(key))?, value.clone().into_bytes())))
        .collect::<Result<_, Error>>()?;
    Ok(PreparedProcess {
        argv: CStrArray::new(strings(&plan.args)?),
        env: match plan.find_home {
            true => CStrArray::with_room(strings(&plan.env)?, home::LONGEST),
            false => CStrArray::new(strings(&plan.env)?),
        },
        passwd: plan.find_home.then(home::Buffer::new),
        cwd: cstring(&plan.cwd)?,
        cwd_place: place(&plan.cwd)?,
        candidates: candidates(plan)?,
        final_affinity: plan.final_affinity.as_deref().map(CpuSet::new).transpose().map_err(Error::Affinity)?,
        apparmor: plan.apparmor_profile.as_ref().map(|name| format!("exec {name}").into_bytes()),
        selinux: plan.selinux_label.as_ref().map(|label| label.clone().into_bytes()),
        sysctl,
        last_capability,
        plan: plan.clone(),
    })
}

/// `net.ipv4.ip_forward` or `net/ipv4/ip_forward`: the first separator says which of the two is one. sysctl.d(5).
fn sysctl_path(key: &str) -> String {
    let slashes = key.find(['.', '/']).is_some_and(|i| key.as_bytes().get(i) == Some(&b'/'));
    if slashes { format!("sys/{key}") } else { format!("sys/{}", key.replace('.', "/")) }
}

fn candidates(plan: &Process) -> Result<Vec<CString>, Error> {
    let Some(program) = plan.args.first() else { return Ok(Vec::new()) };
    if program.contains('/') {
        return Ok(vec![cstring(program)?]);
    }
    let path = plan.env.iter().rev().find_map(|v| v.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|dir| cstring(&if dir.is_empty() { format!("./{program}") } else { format!("{dir}/{program}") }))
        .collect()
}

impl PreparedProcess {
    /// Labels and kernel parameters: writes to the host's proc, made before it is left behind.
    pub(crate) fn write_proc(&self, proc: BorrowedFd<'_>) -> Result<(), Failure> {
        for (i, (file, value)) in self.sysctl.iter().enumerate() {
            at_item(Stage::Sysctl, i, write_proc(proc, file, value))?;
        }
        if let Some(text) = &self.apparmor {
            let written = match write_proc(proc, c"self/attr/apparmor/exec", text) {
                Err(Errno::ENOENT) => write_proc(proc, c"self/attr/exec", text),
                other => other,
            };
            at_item(Stage::Label, 0, written)?;
        }
        if let Some(label) = &self.selinux {
            at_item(Stage::Label, 1, write_proc(proc, c"self/attr/exec", label))?;
        }
        Ok(())
    }

    /// A session of its own, and a keyring.
    pub(crate) fn new_session(&self) -> Result<(), Failure> {
        at(Stage::Session, process::new_session())?;
        if self.plan.new_keyring {
            // A kernel without keyrings has none to keep from the container; a filter of an outer container may refuse.
            match ids::new_session_keyring() {
                Ok(()) | Err(Errno::ENOSYS | Errno::EPERM) => {}
                Err(errno) => return at_item(Stage::Session, 1, Err(errno)),
            }
        }
        Ok(())
    }

    /// Makes the working directory where it is missing, as runc does. Links stay inside the root.
    pub(crate) fn make_cwd(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        match inroot::open_or_make(root, &self.cwd_place, Make::Directory) {
            // A read-only root, or a path the payload may enter and we not: entering it decides.
            Ok(_) | Err(Errno::EROFS | Errno::EACCES) => Ok(()),
            Err(errno) => at(Stage::WorkingDirectory, Err(errno)),
        }
    }

    /// Looks for the home directory where the environment has none.
    pub(crate) fn find_home(&mut self, root: BorrowedFd<'_>) {
        if let Some(passwd) = &mut self.passwd {
            let home = passwd.home(root, self.plan.credentials.uid);
            // The one directory that is always there, instead of a path that no system call would take.
            if self.env.fill_room(&[b"HOME=", home]).is_err() {
                let _ = self.env.fill_room(&[b"HOME=/"]);
            }
        }
    }

    /// What needs rights that the payload may not have.
    pub(crate) fn limit(&self) -> Result<(), Failure> {
        for (i, l) in self.plan.rlimits.iter().enumerate() {
            at_item(Stage::Rlimit, i, sched::set_rlimit(0, l.resource, l.soft, l.hard))?;
        }
        if let Some(s) = self.plan.scheduler {
            at_item(Stage::Scheduling, 0, sched::set_scheduler(&attributes(s)))?;
        }
        if let Some(value) = self.plan.io_priority {
            at_item(Stage::Scheduling, 1, sched::set_io_priority(value))?;
        }
        if let Some(cpus) = &self.final_affinity {
            at_item(Stage::Scheduling, 2, sched::set_affinity(cpus))?;
        }
        if let Some(policy) = &self.plan.memory_policy {
            at_item(Stage::Scheduling, 3, sched::set_memory_policy(policy.mode, &policy.nodes))?;
        }
        if let Some(persona) = self.plan.personality {
            at_item(Stage::Scheduling, 4, sched::set_personality(persona))?;
        }
        Ok(())
    }

    /// The right to confine itself that the payload does not have: without no_new_privs, loading a filter and enforcing
    /// Landlock need CAP_SYS_ADMIN. 0 where nothing has to be kept for it.
    fn spare_right(&self) -> u64 {
        let right = if self.plan.no_new_privs { 0 } else { 1 << CAP_SYS_ADMIN };
        right & !self.plan.capabilities.effective
    }

    /// The payload's user.
    pub(crate) fn uid(&self) -> u32 {
        self.plan.credentials.uid
    }

    /// Becomes the payload's user, with the payload's rights and the spare one. It goes with `give_up_spare_right`, the one
    /// call that is left once the filter is on: older filters refuse the calls of newer kernels.
    pub(crate) fn become_user(&self) -> Result<(), Failure> {
        let caps = &self.plan.capabilities;
        let user = &self.plan.credentials;
        at_item(Stage::Capabilities, 0, ids::limit_bounding(caps.bounding, self.last_capability))?;
        at(Stage::Capabilities, ids::keep_capabilities(true))?;
        if let Some(groups) = &user.groups {
            at_item(Stage::Credentials, 0, ids::set_groups(groups))?;
        }
        at_item(Stage::Credentials, 1, ids::set_gid(user.gid))?;
        at_item(Stage::Credentials, 2, ids::set_uid(user.uid))?;
        at(Stage::Capabilities, ids::keep_capabilities(false))?;
        let spare = self.spare_right();
        let set = ids::set_capabilities(caps.effective | spare, caps.permitted | spare, caps.inheritable);
        at_item(Stage::Capabilities, 1, set)?;
        at_item(Stage::Capabilities, 2, ids::set_ambient(caps.ambient, self.last_capability))?;
        process::set_umask(self.plan.umask.unwrap_or(UMASK));
        if self.plan.no_new_privs {
            at(Stage::NoNewPrivs, ids::set_no_new_privs())?;
        }
        Ok(())
    }

    /// From here on it can confine itself no further.
    pub(crate) fn give_up_spare_right(&self) -> Result<(), Failure> {
        let caps = &self.plan.capabilities;
        if self.spare_right() == 0 {
            return Ok(());
        }
        at_item(Stage::Capabilities, 1, ids::set_capabilities(caps.effective, caps.permitted, caps.inheritable))
    }

    /// Enters the working directory and makes sure that it is inside the root.
    pub(crate) fn enter_cwd(&self) -> Result<(), Errno> {
        path::change_directory(&self.cwd)?;
        path::working_directory_is_inside()
    }

    /// The program that will be run: the first candidate that may be executed.
    pub(crate) fn find_program(&self) -> Result<&CStr, Failure> {
        if self.candidates.is_empty() {
            // A spec may leave the process out until `start`, which refuses to start such a container.
            return Ok(c"");
        }
        // As execvp(3): a file that may not be executed is remembered while another is looked for.
        let mut worst = Errno::ENOENT;
        for (i, candidate) in self.candidates.iter().enumerate() {
            match executable(candidate) {
                Ok(()) => return Ok(candidate),
                Err(Errno::EACCES) if i + 1 < self.candidates.len() => worst = Errno::EACCES,
                Err(Errno::ENOENT | Errno::ENOTDIR) if self.candidates.len() > 1 => {}
                Err(errno) => worst = errno,
            }
        }
        at(Stage::Program, Err(worst))
    }

    /// What the program is called.
    pub(crate) fn name(&self) -> Option<&CStr> {
        self.argv.iter().next()
    }

    /// Becomes the program.
    pub(crate) fn exec(&self, program: &CStr) -> Result<Infallible, Failure> {
        at(Stage::Exec, exec::execve(program, &self.argv, &self.env))
    }
}

fn executable(path: &CStr) -> Result<(), Errno> {
    if path::stat(path)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
        return Err(Errno::EISDIR);
    }
    path::may_execute(path)
}

fn attributes(s: Scheduler) -> SchedAttr {
    SchedAttr {
        policy: s.policy,
        flags: s.flags,
        nice: s.nice,
        priority: s.priority,
        runtime: s.runtime,
        deadline: s.deadline,
        period: s.period,
        ..SchedAttr::default()
    }
}

/// The root directory by descriptor, where none was attached.
pub(crate) fn open_root() -> Result<OwnedFd, Failure> {
    at(Stage::Pivot, path::open_path(c"/", libc::O_DIRECTORY))
}
