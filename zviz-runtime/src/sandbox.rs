//! A sandbox around one command, with no bundle: `zviz run -- CMD`, and the same for a Rust program.
//!
//! ```text
//! argv ──flags──► Sandbox ──probe──► Facts ──lower──► Lowered{spec, profile} ──Plan::build──► Plan ──finish──► Plan
//! ```
//!
//! [`Sandbox`] is what was asked for, [`Facts`] what the machine says about it; [`lower`] makes of the two, without a
//! look at anything else, an ordinary spec and the profile over it, so that there is one planner for every door.
//! `docs/run.md` says in words what comes out.

mod decided;
pub mod enforceable;
pub mod environment;
mod error;
pub mod facts;
pub mod flags;
pub mod folders;
pub mod ids;
mod in_place;
pub mod limits;
pub mod lower;
pub mod masks;
mod network;
pub mod paths;
pub mod probe;
mod profiled;
pub use zviz_profile::quantity;
pub mod running;
mod said;
pub mod shares;
pub mod staged;
mod streams;
pub mod subids;
mod temporary;
mod words;

pub use decided::Decided;
pub use error::Error;
pub use facts::Facts;
pub use flags::Flags;
pub use folders::{CURRENT, is_shared};
pub use lower::{Lowered, lower};
pub use network::Network;
pub use probe::probe;
pub use running::Observed;
pub use shares::Share;

use crate::plan::Backend;
use crate::profile::Profile;
use std::time::Duration;
use zviz_network::policy::Published;

/// A command and the sandbox around it. Built like `std::process::Command`.
///
/// By default: the host's programs and libraries read-only, the current folder writable at its own path, a private
/// /tmp and home, loopback only, no capability, the default system call and file policy.
///
/// ```no_run
/// use zviz_runtime::sandbox::Sandbox;
/// use zviz_runtime::store::{Root, Store};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::open(&Root::Runtime("/run/example".into()))?;
/// let outcome = Sandbox::new(["make", "test"]).ro("/srv/data", "/data").memory(1 << 30).status(&store)?;
/// println!("ended with {}", outcome.status());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sandbox {
    args: Vec<String>,
    shares: Vec<Share>,
    tmpfs: Vec<Tmpfs>,
    environment: Vec<Variable>,
    cwd: Option<String>,
    user: Option<String>,
    hostname: Option<String>,
    memory: Option<u64>,
    pids: Option<u64>,
    cpus: Option<u64>,
    timeout: Option<Duration>,
    network: Network,
    network_given: bool,
    network_log: bool,
    refusals: bool,
    published: Vec<Published>,
    userns: Userns,
    id: Option<String>,
    rootfs: Option<String>,
    profile: Profile,
    terminal: bool,
    stage: Option<String>,
    backend: Option<Backend>,
}

/// A fresh file system in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Inside the sandbox, absolute.
    pub inside: String,
    /// At most this many bytes; the default of `docs/run.md` where absent.
    pub size: Option<u64>,
}

/// A variable of the environment beside the documented list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// With this value.
    Set(String, String),
    /// With the value that the caller has.
    Copy(String),
}

/// How ids inside relate to ids of the host, where the caller is root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Userns {
    /// A range of its own, that no user and no other sandbox has; shared folders are translated by idmapped mounts.
    #[default]
    Auto,
    /// The same ids inside and outside: weaker, for folders on file systems that cannot be idmapped.
    Identity,
}

impl Sandbox {
    /// A sandbox for `args`: a program, looked for in PATH inside, and its arguments.
    pub fn new<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Sandbox {
        Sandbox { args: args.into_iter().map(Into::into).collect(), ..Sandbox::default() }
    }

    /// Shares a file or folder of the host, writable.
    pub fn rw(&mut self, host: impl Into<String>, inside: impl Into<String>) -> &mut Self {
        self.share(Share { host: host.into(), inside: Some(inside.into()), writable: true })
    }

    /// Shares a file or folder of the host, read-only.
    pub fn ro(&mut self, host: impl Into<String>, inside: impl Into<String>) -> &mut Self {
        self.share(Share { host: host.into(), inside: Some(inside.into()), writable: false })
    }

    /// Shares a file or folder of the host.
    pub fn share(&mut self, share: Share) -> &mut Self {
        self.shares.push(share);
        self
    }

    /// Makes an empty folder in memory, of at most `size` bytes.
    pub fn tmpfs(&mut self, inside: impl Into<String>, size: Option<u64>) -> &mut Self {
        self.tmpfs.push(Tmpfs { inside: inside.into(), size });
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.environment.push(Variable::Set(name.into(), value.into()));
        self
    }

    /// Hands on a variable of the caller's environment.
    pub fn env_copy(&mut self, name: impl Into<String>) -> &mut Self {
        self.environment.push(Variable::Copy(name.into()));
        self
    }

    /// The folder to start in, inside the sandbox. Without it, the caller's own, which is shared writable; with it,
    /// nothing is shared but what is asked for.
    pub fn cwd(&mut self, inside: impl Into<String>) -> &mut Self {
        self.cwd = Some(inside.into());
        self
    }

    /// Who the command runs as, inside: `UID`, `UID:GID` or a name of /etc/passwd.
    pub fn user(&mut self, user: impl Into<String>) -> &mut Self {
        self.user = Some(user.into());
        self
    }

    /// The host name inside; `localhost` without.
    pub fn hostname(&mut self, name: impl Into<String>) -> &mut Self {
        self.hostname = Some(name.into());
        self
    }

    /// At most this many bytes of memory, swap included.
    pub fn memory(&mut self, bytes: u64) -> &mut Self {
        self.memory = Some(bytes);
        self
    }

    /// At most this many processes and threads.
    pub fn pids(&mut self, count: u64) -> &mut Self {
        self.pids = Some(count);
        self
    }

    /// At most this much processor time, in thousandths of one processor.
    pub fn millicpus(&mut self, thousandths: u64) -> &mut Self {
        self.cpus = Some(thousandths);
        self
    }

    /// Kills everything inside after this time.
    pub fn timeout(&mut self, after: Duration) -> &mut Self {
        self.timeout = Some(after);
        self
    }

    /// Which network it sees.
    pub fn network(&mut self, network: Network) -> &mut Self {
        self.network_given = true;
        self.network = network;
        self
    }

    /// Whether its connections are told of on standard error.
    pub fn network_log(&mut self, log: bool) -> &mut Self {
        self.network_log = log;
        self
    }

    /// Whether connections that are refused are remembered until its end, and what Landlock denies is recorded by the kernel.
    pub fn refusals(&mut self, remembered: bool) -> &mut Self {
        self.refusals = remembered;
        self
    }

    /// Lets a port of it be reached at one of the host. It has a network of its own then.
    pub fn publish(&mut self, port: Published) -> &mut Self {
        self.published.push(port);
        self
    }

    /// How its ids relate to the host's.
    pub fn userns(&mut self, userns: Userns) -> &mut Self {
        self.userns = userns;
        self
    }

    /// Its id; one is made up without.
    pub fn id(&mut self, id: impl Into<String>) -> &mut Self {
        self.id = Some(id.into());
        self
    }

    /// A folder of the host that serves as the root, read-only, in place of the host's system folders.
    pub fn rootfs(&mut self, host: impl Into<String>) -> &mut Self {
        self.rootfs = Some(host.into());
        self
    }

    /// The policy over it, in place of the default one.
    pub fn profile(&mut self, profile: Profile) -> &mut Self {
        self.profile = profile;
        self
    }

    /// Keeps what is written to the current folder out of it: in `layers`, a folder of the host with the folders `upper`, as
    /// overlayfs has it, and `work`. Both are the caller's own, of one file system, and for one sandbox at a time.
    pub fn stage(&mut self, layers: impl Into<String>) -> &mut Self {
        self.stage = Some(layers.into());
        self
    }

    /// What it is made of. Without, namespaces; where the host gives none, what the profile agrees to.
    pub fn backend(&mut self, backend: Backend) -> &mut Self {
        self.backend = Some(backend);
        self
    }

    /// Whether the command gets a pseudo-terminal of its own.
    pub fn terminal(&mut self, terminal: bool) -> &mut Self {
        self.terminal = terminal;
        self
    }
}
