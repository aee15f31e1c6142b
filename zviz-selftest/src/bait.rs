//! What is laid out on the host for the probes to reach for.

use serde::{Deserialize, Serialize};
use std::fs;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use zviz_sys::probe::{Arg, call};

/// What a probe is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bait {
    /// A word that is nowhere but in the baits: who has it has looked outside.
    pub word: String,
    /// A folder outside, with a file `secret` that everybody may read and a folder `open` that everybody may write.
    pub folder: PathBuf,
    /// A Unix socket in it, at which somebody listens.
    pub socket: PathBuf,
    /// The abstract name of another.
    pub abstract_name: String,
    /// A TCP port of the host's loopback device, at which somebody listens.
    pub port: u16,
    /// A process outside, as the host counts; `ZVIZ_SELFTEST_WORD` of its environment is the word.
    pub victim: i32,
    /// The key of a System V message queue outside.
    pub queue: i32,
    /// The number of the mount namespace outside; 0 where it has none. NS_GET_MNTNS_ID.
    pub mounts: u64,
    /// The number under which the runtime inherits a descriptor of `folder`.
    pub descriptor: i32,
}

/// The variable of the environment of whoever calls the runtime.
pub const VARIABLE: &str = "ZVIZ_SELFTEST_WORD";

/// What else the caller has in its environment that nobody inside should: each has the word.
pub const VARIABLES: &[&str] =
    &[VARIABLE, "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "XAUTHORITY", "DOCKER_HOST", "HTTPS_PROXY"];

/// The least number of `Bait::descriptor`.
const NUMBER: u16 = 20;

/// The baits as long as they lie there.
#[derive(Debug)]
pub struct Laid {
    /// What probes are told.
    pub bait: Bait,
    queue: i64,
    victim: Child,
    _listeners: (UnixListener, UnixListener, TcpListener),
    folder: File,
}

impl Laid {
    /// Lays them out, in a new folder of `/var/tmp`; `victim` is a command that waits until its standard input ends.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn lay(mut victim: Command) -> io::Result<Laid> {
        let mut random = [0u8; 8];
        io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut random)?;
        let word = format!("bait-{:016x}", u64::from_ne_bytes(random));
        let folder = PathBuf::from("/var/tmp").join(format!("zviz-selftest-{word}"));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let laid = Self::fill(&folder, word, &mut victim);
        if laid.is_err() {
            // What could not be made is what is told.
            let _ = fs::remove_dir_all(&folder);
        }
        laid
    }

    fn fill(folder: &Path, word: String, victim: &mut Command) -> io::Result<Laid> {
        fs::write(folder.join("secret"), &word)?;
        for (name, mode) in [("open", 0o777), ("work", 0o777)] {
            fs::create_dir(folder.join(name))?;
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode))?;
        }
        let socket = folder.join("socket");
        let by_path = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777))?;
        let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&word)?)?;
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let queue = i32::from_ne_bytes([random(&word, 0), random(&word, 1), random(&word, 2), 0x5a]);
        let made = call(libc::SYS_msgget, &mut [Arg::Int(queue.into()), Arg::Int(0o1666)])?;
        let child = victim.env(VARIABLE, &word).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let bait = Bait {
            folder: folder.to_owned(),
            socket,
            abstract_name: word.clone(),
            port: tcp.local_addr()?.port(),
            victim: i32::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidData)?,
            queue,
            mounts: mount_namespace().unwrap_or(0),
            descriptor: -1,
            word,
        };
        Ok(Laid { bait, queue: made, victim: child, _listeners: (by_path, by_name, tcp), folder: File::open(folder)? })
    }

    /// The folder that the sandbox is started in, and may write.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.bait.folder.join("work")
    }

    /// The environment of whoever calls the runtime, beside its own.
    pub fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        VARIABLES.iter().map(|name| (*name, self.bait.word.as_str()))
    }

    /// Lets whoever is executed next inherit what it should not hand on.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn hand_on(&mut self) -> io::Result<()> {
        self.bait.descriptor = zviz_sys::fd::leave(self.folder.as_fd(), NUMBER)?;
        Ok(())
    }
}

/// A byte of the word.
fn random(word: &str, at: usize) -> u8 {
    word.bytes().rev().nth(at).unwrap_or_default()
}

/// ioctl_nsfs(2), since Linux 6.11.
fn mount_namespace() -> io::Result<u64> {
    let own = File::open("/proc/self/ns/mnt")?;
    let mut number = [0u8; 8];
    call(libc::SYS_ioctl, &mut [Arg::Fd(own.as_fd()), Arg::Int(0x8008_b705), Arg::Room(&mut number)])?;
    Ok(u64::from_ne_bytes(number))
}

impl Drop for Laid {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = call(libc::SYS_msgctl, &mut [Arg::Int(self.queue), Arg::Int(libc::IPC_RMID.into()), Arg::Int(0)]);
        let _ = fs::remove_dir_all(&self.bait.folder);
    }
}
