//! The runtime's own binary, out of a container's reach.
//!
//! Whoever shares a process's user ids with init or with an exec'd process can open /proc/PID/exe and write to what it
//! leads to (CVE-2019-5736). So the runtime first executes itself again from a copy that nobody can write: the same file
//! by way of a detached read-only mount, which is in no mount namespace and, since its descriptor is closed by then, can
//! never be changed again (mount_setattr(2) wants a mount that is somewhere). Where mounts may not be made, a sealed
//! memory file serves.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use zviz_sys::exec::{CStrArray, execve_fd};
use zviz_sys::mount::{self, MountAttr};

const OWN: &str = "/proc/self/exe";
const MEMORY_NAME: &str = "zviz";
/// Tells the copy where its original is: it cannot see that itself.
const ORIGINAL: &str = "ZVIZ_ORIGINAL";

/// Executes this program again from where it cannot be written to; returns if it runs from there already, or if it
/// could not be written by the caller's ids in the first place.
///
/// # Errors
/// What kept the copy from being made or executed.
pub fn ensure() -> io::Result<()> {
    if is_sealed()? || !is_writable_by_us()? {
        return Ok(());
    }
    match from_mount().or_else(|_| from_memory()) {
        Ok(never) => match never {},
        Err(errno) => Err(errno.into()),
    }
}

/// Where this program was installed: of a copy, where its original was when it was copied. Who has made the copy is who has set
/// the environment; of a program that is no copy it is not asked.
///
/// # Errors
/// /proc is not there; a copy was made by somebody else.
pub fn original() -> io::Result<PathBuf> {
    if is_sealed()? {
        let told = std::env::var_os(ORIGINAL).map(PathBuf::from).filter(|path| path.is_absolute());
        return told.ok_or_else(|| io::Error::other(format!("{ORIGINAL} does not say where this program is")));
    }
    std::fs::read_link(OWN)
}

/// A detached mount of one file has that file as its root, so its path is `/`: no other program's is. That of a sealed
/// memory file is told from a file of the same name by its seals, which only memory files have.
fn is_sealed() -> io::Result<bool> {
    let target = std::fs::read_link(OWN)?;
    if target == Path::new("/") {
        return Ok(true);
    }
    if !target.as_os_str().as_bytes().starts_with(format!("/memfd:{MEMORY_NAME}").as_bytes()) {
        return Ok(false);
    }
    let seals = fcntl(&File::open(OWN)?, FcntlArg::F_GET_SEALS).map_err(io::Error::from)?;
    Ok(SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE))
}

/// Root may write every file, and an owner may at least let himself.
fn is_writable_by_us() -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let euid = nix::unistd::geteuid().as_raw();
    if euid == 0 {
        return Ok(true);
    }
    let metadata = std::fs::metadata(OWN)?;
    Ok(metadata.uid() == euid || nix::unistd::access(OWN, nix::unistd::AccessFlags::W_OK).is_ok())
}

fn arguments() -> Result<(CStrArray, CStrArray), Errno> {
    let c = |s: &OsStr| CString::new(s.as_bytes()).map_err(|_| Errno::EINVAL);
    let argv = std::env::args_os().map(|a| c(&a)).collect::<Result<_, _>>()?;
    let original = std::fs::read_link(OWN).map_err(|_| Errno::ENOENT)?;
    let env = std::env::vars_os()
        .filter(|(key, _)| key != ORIGINAL)
        .chain([(ORIGINAL.into(), original.into_os_string())])
        .map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            c(&key)
        })
        .collect::<Result<_, _>>()?;
    Ok((CStrArray::new(argv), CStrArray::new(env)))
}

fn from_mount() -> Result<Infallible, Errno> {
    let own = CString::new(OWN).map_err(|_| Errno::EINVAL)?;
    let tree: OwnedFd = mount::clone_tree_at(&own, false, false)?;
    let readonly = MountAttr { set: mount::attr::RDONLY, ..MountAttr::default() };
    mount::set_attributes(tree.as_fd(), false, &readonly)?;
    let (argv, env) = arguments()?;
    execve_fd(tree.as_fd(), &argv, &env)
}

fn from_memory() -> Result<Infallible, Errno> {
    let copy = memfd_create(MEMORY_NAME, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut copy = File::from(copy);
    let mut own = File::open(OWN).map_err(|_| Errno::ENOENT)?;
    io::copy(&mut own, &mut copy).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals))?;
    let (argv, env) = arguments()?;
    execve_fd(copy.as_fd(), &argv, &env)
}
