//! Hierarchies of version 1: directories, limits, device lists.
//!
//! Limits go through the controllers of cgroups-rs. Of that crate nothing else is used: its own idea of creating moves
//! the caller, and its `destroy` moves live processes to the root, out of their limits.

use super::{Error, dir, dir::Dir, kill};
use crate::plan::cgroup::devices::{self, Rule};
use crate::plan::cgroup::v1::{Setting, throttle_file};
use crate::plan::cgroup::{Cgroup, Group};
use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::error;
use cgroups_rs::fs::hugetlb::HugeTlbController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::net_cls::NetClsController;
use cgroups_rs::fs::net_prio::NetPrioController;
use cgroups_rs::fs::rdma::RdmaController;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::error::Error as _;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Makes the directories.
///
/// # Errors
/// Where one cannot be made, or is in use.
pub fn make(cgroup: &Cgroup, made: &mut Vec<PathBuf>) -> Result<(), Error> {
    for group in &cgroup.v1 {
        if !make_one(group, made)? {
            let path = group.dir();
            let processes = kill::pids_below(&path)?.len();
            if processes > 0 {
                return Err(Error::InUse { path, processes });
            }
            let state = Dir::open(&path)?.read("freezer.self_freezing");
            if state.is_ok_and(|state| state.trim() == "1") {
                return Err(Error::Frozen { path });
            }
        }
    }
    Ok(())
}

/// Makes one directory, such that a process can enter. Whether it was made.
///
/// # Errors
/// Where it cannot be made.
pub fn make_one(group: &Group, made: &mut Vec<PathBuf>) -> Result<bool, Error> {
    let path = group.dir();
    let fresh = dir::make(&group.mount, &path, made)?;
    if group.controllers.iter().any(|c| c == "cpuset") {
        fill_cpuset(&group.mount, &path)?;
    }
    Ok(fresh)
}

/// A new cpuset is empty, and takes no process until it has processors and nodes: its parent's, if not its own.
fn fill_cpuset(mount: &Path, path: &Path) -> Result<(), Error> {
    if path == mount {
        return Ok(());
    }
    let dir = Dir::open(path)?;
    let files = ["cpuset.cpus", "cpuset.mems"];
    let values = [dir.read(files[0])?, dir.read(files[1])?];
    if values.iter().all(|value| !value.trim().is_empty()) {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(mount);
    fill_cpuset(mount, parent)?;
    let parent = Dir::open(parent)?;
    for (file, _) in files.iter().zip(values).filter(|(_, value)| value.trim().is_empty()) {
        let inherited = parent.read(file)?;
        let value = inherited.trim();
        dir.write(file, value).map_err(|errno| dir.refused(file, value, errno))?;
    }
    Ok(())
}

/// Sets limits. As on v2, one that the kernel refuses beside the others gets a second go after them.
///
/// # Errors
/// Where one is refused.
pub fn set(cgroup: &Cgroup) -> Result<(), Error> {
    let settings = cgroup.v1_settings();
    let mut again = Vec::new();
    for setting in &settings {
        match set_one(cgroup, setting) {
            Err(error) if error.errno() == Some(Errno::EINVAL as i32) => again.push(setting),
            other => other?,
        }
    }
    again.into_iter().try_for_each(|setting| set_one(cgroup, setting))
}

fn set_one(cgroup: &Cgroup, setting: &Setting) -> Result<(), Error> {
    let Some(group) = cgroup.v1(setting.controller()) else { return Ok(()) };
    let dir = group.dir();
    let (at, root) = (|| dir.clone(), || group.mount.clone());
    let memory = || MemController::new(at(), root(), false);
    let cpu = || CpuController::new(at(), root(), false);
    let cpuset = || CpuSetController::new(at(), root(), false);
    let blkio = || BlkIoController::new(at(), root(), false);
    let done = match setting {
        Setting::MemoryLimit(bytes) => memory().set_limit(*bytes),
        Setting::MemorySwap(bytes, needed) => match dir.join("memory.memsw.limit_in_bytes").exists() {
            true => memory().set_memswap_limit(*bytes),
            false if *needed => return Err(absent(&dir, "memory.memsw.limit_in_bytes", "memory")),
            false => Ok(()),
        },
        Setting::MemoryReservation(bytes) => memory().set_soft_limit(*bytes),
        Setting::Swappiness(value) => memory().set_swappiness(*value),
        Setting::DisableOomKiller => memory().disable_oom_killer(),
        Setting::Shares(shares) => cpu().set_shares(*shares),
        Setting::Period(us) => cpu().set_cfs_period(*us),
        Setting::Quota(us) => cpu().set_cfs_quota(*us),
        Setting::RealtimePeriod(us) => cpu().set_rt_period_us(*us),
        Setting::RealtimeRuntime(us) => cpu().set_rt_runtime(*us),
        Setting::Cpus(list) => cpuset().set_cpus(list),
        Setting::Mems(list) => cpuset().set_mems(list),
        // The crate names another value in its errors.
        Setting::Pids(limit) if *limit < 0 => return write(&dir, "pids", "pids.max", "max"),
        Setting::Pids(limit) => return write(&dir, "pids", "pids.max", &limit.to_string()),
        Setting::LeafWeight(weight) => blkio().set_leaf_weight(u64::from(*weight)),
        Setting::Hugepages(size, bytes) => {
            let reserved = format!("hugetlb.{size}.rsvd.limit_in_bytes");
            if dir.join(&reserved).exists() {
                write(&dir, "hugetlb", &reserved, &bytes.to_string())?;
            }
            HugeTlbController::new(at(), root(), false).set_limit_in_bytes(size, *bytes)
        }
        Setting::Rdma(line) => RdmaController::new(at(), root()).set_max(line),
        Setting::ClassId(id) => NetClsController::new(at(), root()).set_class(u64::from(*id)),
        Setting::Priority(name, value) => NetPrioController::new(at(), root()).set_if_prio(name, u64::from(*value)),
        // What the crate has not, or not under the name that kernels with BFQ give it.
        Setting::Burst(us) => return write(&dir, "cpu", "cpu.cfs_burst_us", &us.to_string()),
        Setting::Idle(idle) => return write(&dir, "cpu", "cpu.idle", &idle.to_string()),
        Setting::Weight(weight) => return write(&dir, "blkio", bfq(&dir, "blkio.weight"), &weight.to_string()),
        Setting::WeightDevice(d) => {
            if let Some(weight) = d.weight {
                write(&dir, "blkio", bfq(&dir, "blkio.weight_device"), &format!("{} {weight}", d.device))?;
            }
            return d.leaf_weight.map_or(Ok(()), |weight| {
                write(&dir, "blkio", "blkio.leaf_weight_device", &format!("{} {weight}", d.device))
            });
        }
        Setting::Throttle(t) => return write(&dir, "blkio", throttle_file(t.of), &format!("{} {}", t.device, t.rate)),
    };
    done.map_err(|error| refused(&dir, setting, &error))
}

/// The name of a weight's file on this kernel.
fn bfq(dir: &Path, file: &'static str) -> &'static str {
    if dir.join(file).exists() {
        return file;
    }
    if file == "blkio.weight" { "blkio.bfq.weight" } else { "blkio.bfq.weight_device" }
}

fn write(dir: &Path, controller: &str, file: &str, value: &str) -> Result<(), Error> {
    let dir = Dir::open(dir)?;
    dir.write(file, value).map_err(|errno| match errno {
        Errno::ENOENT => absent(dir.path(), file, controller),
        errno => dir.refused(file, value, errno),
    })
}

fn absent(dir: &Path, file: &str, controller: &str) -> Error {
    Error::NoSuchLimit { path: dir.join(file), controller: controller.to_owned() }
}

/// The crate's error in our words: the file and value that it names, and the kernel's number.
fn refused(dir: &Path, setting: &Setting, error: &error::Error) -> Error {
    let number = error.source().and_then(|e| e.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
    let source = number.map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error);
    match error.kind() {
        error::ErrorKind::WriteFailed(file, value) => {
            let path = dir.join(file);
            // The crate opens with O_CREAT, for which a cgroup file system answers EACCES where there is no such file.
            if !path.exists() {
                return absent(dir, file, setting.controller());
            }
            // What the crate names as the value where it cannot open the file.
            if value == "[CREATE FILE]" {
                return Error::Call { call: "open", path, source };
            }
            Error::Write { path, value: value.clone(), source }
        }
        _ => Error::Call { call: "set a limit in", path: dir.to_path_buf(), source },
    }
}

/// Sets the device list from nothing: no process is in yet.
///
/// # Errors
/// Where the parent allows less than the rules do.
pub fn set_devices(group: &Group, rules: &[Rule]) -> Result<(), Error> {
    let dir = Dir::open(&group.dir())?;
    let Ok((default, list)) = devices::exceptions(rules) else { return Err(Error::None("given these device rules")) };
    let (first, rest) = if default { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
    dir.write(first, "a").map_err(|errno| dir.refused(first, "a", errno))?;
    // The kernel takes one rule from each write.
    let open = |errno| dir::call("open", &dir.path().join(rest), errno);
    let file = dir.file(rest, OFlag::O_WRONLY).map_err(open)?;
    for rule in list {
        let line = format!("{} {}", rule.device(), rule.access);
        zviz_sys::fd::write_value(file.as_fd(), line.as_bytes()).map_err(|errno| dir.refused(rest, &line, errno))?;
    }
    Ok(())
}
