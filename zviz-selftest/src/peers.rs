//! Other sandboxes, each as it is without flags beyond what it takes to run a program of the host in it.

use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What is to run, and where.
#[derive(Debug)]
pub struct Guest {
    /// The program, on the host.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The folder that it is started in, and may write.
    pub work: PathBuf,
    /// A folder of the host's for what the peer needs; not to be seen inside.
    pub room: PathBuf,
    /// Unique on this host.
    pub id: String,
}

/// Another sandbox.
#[derive(Debug)]
pub struct Peer {
    /// The command that it is called by.
    pub name: &'static str,
    /// What it is asked for.
    pub about: &'static str,
    command: fn(&Guest) -> io::Result<Command>,
    undo: fn(&Guest),
}

/// All of them.
pub const PEERS: &[Peer] = &[
    Peer { name: "runc", about: "the config that `runc spec` writes", command: runc, undo: |_| () },
    Peer { name: "docker", about: "`docker run` without flags", command: docker, undo: forget_image },
    Peer { name: "bwrap", about: "`bwrap --unshare-all`", command: bwrap, undo: |_| () },
    Peer {
        name: "firejail",
        about: "`firejail` with the profile that it takes by default",
        command: firejail,
        undo: |_| (),
    },
];

/// Folders that programs are made of; links among them are made anew.
const SYSTEM: &[&str] = &["/usr", "/etc", "/opt", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Where the program is, if the peer has a root of its own.
const INSIDE: &str = "/run/zviz-selftest";

impl Peer {
    /// Whether a program runs in it on this host.
    ///
    /// # Errors
    /// Why not, in words: it is not installed, or what it said.
    pub fn try_out(&self, guest: &Guest) -> Result<(), String> {
        let tried = self.command(guest).and_then(|mut command| answer(&mut command));
        match tried {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err("is not installed".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What runs the guest in it.
    ///
    /// # Errors
    /// If what it needs cannot be laid out.
    pub fn command(&self, guest: &Guest) -> io::Result<Command> {
        (self.command)(guest)
    }

    /// Takes back what `command` has left with somebody else.
    pub fn undo(&self, guest: &Guest) {
        (self.undo)(guest);
    }
}

/// Links of `SYSTEM`, by their targets, and folders.
fn system() -> impl Iterator<Item = (&'static str, Option<PathBuf>)> {
    SYSTEM.iter().filter(|path| Path::new(path).exists()).map(|path| (*path, fs::read_link(path).ok()))
}

/// What a command wrote, if it went well; else the first line of what it complained of.
fn answer(command: &mut Command) -> io::Result<Output> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line: String =
        said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(200).collect();
    Err(io::Error::other(format!("{}: {line}", output.status)))
}

fn runc(guest: &Guest) -> io::Result<Command> {
    let bundle = guest.room.join(&guest.id);
    let root = bundle.join("rootfs");
    fs::create_dir_all(&root)?;
    let mut spec = Command::new("runc");
    spec.arg("spec").args((!nix::unistd::geteuid().is_root()).then_some("--rootless"));
    answer(spec.current_dir(&bundle))?;
    let mut config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?;
    let arguments = guest.arguments.iter().map(|word| word.to_string_lossy().into_owned());
    config["process"]["terminal"] = false.into();
    config["process"]["cwd"] = guest.work.to_string_lossy().into();
    config["process"]["args"] = std::iter::once(INSIDE.to_owned()).chain(arguments).collect();
    let mut bind = |from: &Path, to: &Path, mode: &str| {
        let options = json!(["rbind", "nosuid", "nodev", mode]);
        if let Some(mounts) = config["mounts"].as_array_mut() {
            mounts.push(json!({"source": from, "destination": to, "type": "bind", "options": options}));
        }
    };
    for (path, link) in system() {
        match link {
            Some(target) => symlink(target, root.join(path.trim_start_matches('/')))?,
            None => bind(path.as_ref(), path.as_ref(), "ro"),
        }
    }
    bind(&guest.program, INSIDE.as_ref(), "ro");
    bind(&guest.work, &guest.work, "rw");
    fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
    let mut command = Command::new("runc");
    command.arg("--root").arg(guest.room.join("runc")).arg("run").arg("--bundle").arg(bundle).arg(&guest.id);
    Ok(command)
}

/// The client, at the daemon of whoever calls: the attempts' environment has a variable that leads it astray.
fn docker_client() -> io::Result<Command> {
    let host = answer(Command::new("docker").args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]))?;
    let mut command = Command::new("docker");
    command.arg("--host").arg(String::from_utf8_lossy(&host.stdout).trim());
    Ok(command)
}

/// The name of an image that has nothing but links to what is mounted.
fn image(guest: &Guest) -> String {
    format!("zviz-selftest:{}", guest.id)
}

fn docker(guest: &Guest) -> io::Result<Command> {
    let root = guest.room.join(&guest.id);
    fs::create_dir_all(&root)?;
    let mut command = docker_client()?;
    command.args(["run", "--rm", "--name", &guest.id]);
    for (path, link) in system() {
        match link {
            Some(target) => symlink(target, root.join(path.trim_start_matches('/')))?,
            None => drop(command.arg("-v").arg(format!("{path}:{path}:ro"))),
        }
    }
    let archive = guest.room.join(format!("{}.tar", guest.id));
    answer(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&root).arg("."))?;
    answer(docker_client()?.arg("import").arg(&archive).arg(image(guest)))?;
    let (program, work) = (guest.program.display(), guest.work.display());
    command.args(["-v", &format!("{program}:{INSIDE}:ro"), "-v", &format!("{work}:{work}"), "-w"]).arg(&guest.work);
    command.args([&image(guest), INSIDE]).args(&guest.arguments);
    Ok(command)
}

fn forget_image(guest: &Guest) {
    // It may never have been there.
    let _ = docker_client().and_then(|mut docker| answer(docker.args(["rmi", "--force", &image(guest)])));
}

fn bwrap(guest: &Guest) -> io::Result<Command> {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
    for (path, link) in system() {
        match link {
            Some(target) => command.arg("--symlink").arg(target).arg(path),
            None => command.args(["--ro-bind", path, path]),
        };
    }
    command.arg("--ro-bind").arg(&guest.program).arg(INSIDE);
    command.arg("--bind").arg(&guest.work).arg(&guest.work).arg("--chdir").arg(&guest.work);
    command.arg(INSIDE).args(&guest.arguments);
    Ok(command)
}

fn firejail(guest: &Guest) -> io::Result<Command> {
    let mut command = Command::new("firejail");
    command.arg("--quiet").arg(&guest.program).args(&guest.arguments);
    Ok(command)
}
