//! The same calls, made up at random from a seed, natively and by way of the broker: what they come to and what they leave behind is
//! the same, but for what a rule refuses, which the native run is told to leave out.

mod tree;

use super::{HERE, at, brokered};
use nix::errno::Errno;
use nix::fcntl::{F_GETFD, F_GETFL, RenameFlags, fcntl, renameat2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{FchmodatFlags, Mode as Bits, fchmodat, umask};
use nix::unistd::{Gid, LinkatFlags, Uid, linkat, mkdir, mkfifo, setresgid, setresuid, truncate, unlink};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tree::{FOLDERS, USER, build, give_default_acl, left};
use zviz_broker::policy::Policy;
use zviz_broker::policy::files::{Access, FileRule, Files, Reason, Verdict};
use zviz_sys::ids;

/// What is made up for each seed; ZVIZ_CHANCE_SEEDS says how many others.
const CALLS: usize = 500;
const SEEDS: u64 = 12;

const NAMES: &[&str] = &["f", "g", "h", "l", "b", "in"];
const FLAGS: &[i32] = &[
    libc::O_CREAT,
    libc::O_CREAT,
    libc::O_EXCL,
    libc::O_TRUNC,
    libc::O_APPEND,
    libc::O_NOFOLLOW,
    libc::O_CLOEXEC,
    libc::O_NOCTTY,
    libc::O_DIRECTORY,
    libc::O_NOATIME,
    libc::O_SYNC,
    libc::O_TMPFILE,
];

/// xorshift64*.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A path in one of the ways it can be written; most are plain.
    fn path(&mut self, base: &Path) -> String {
        let (folder, name) = (self.one(FOLDERS), self.one(NAMES));
        let base = base.display();
        match self.below(24) {
            0 => format!("{base}/{folder}//{name}"),
            1 => format!("{base}/{folder}/./{name}"),
            2 => format!("{base}/{folder}/{name}/"),
            3 => format!("{base}/a/../{folder}/{name}"),
            4 => format!("{folder}/{name}"),
            5 => format!("{base}/{folder}"),
            6 => format!("{base}/{folder}/{}", "n".repeat(255 + self.below(2))),
            7 => format!("/proc/self/root{base}/{folder}/{name}"),
            _ => format!("{base}/{folder}/{name}"),
        }
    }
}

/// The name of what a path leads to, or where it would be made; none where there is no such thing.
fn name(path: &str, follow: bool) -> Option<PathBuf> {
    let mut path = PathBuf::from(path);
    for _ in 0..40 {
        let place = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
        match fs::read_link(&place) {
            Ok(target) if follow => path = place.parent()?.join(target),
            _ => return Some(place),
        }
    }
    None
}

/// Whether the rules refuse it.
fn refused(base: &Path, path: &str, follow: bool, writes: bool) -> bool {
    let Some(name) = name(path, follow) else { return false };
    name.starts_with(base.join("hidden")) || writes && name.starts_with(base.join("kept"))
}

fn policy(base: &Path) -> Policy {
    let rule = |name: &str, access, reason| FileRule {
        glob: base.join(name).display().to_string(),
        access,
        verdict: Verdict::Deny(reason),
    };
    let (eacces, erofs) = (Reason::Eacces, Reason::Erofs);
    let rules = vec![
        rule("hidden", Access::Any, eacces),
        rule("hidden/**", Access::Any, eacces),
        rule("kept", Access::Write, erofs),
        rule("kept/**", Access::Write, erofs),
    ];
    Policy { files: Some(Files { rules, ..Files::default() }), ..Policy::default() }
}

/// How a file is that was opened, after something was written to it.
fn described(mut file: File, text: &str) -> Result<String, Errno> {
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap());
    // A file that was found by a path that is not its name is opened by its number, which is a link.
    let (flags, close) = (fcntl(&file, F_GETFL)? & !libc::O_NOFOLLOW, fcntl(&file, F_GETFD)?);
    let stat = file.metadata().map_err(errno)?;
    let wrote = if stat.is_file() { file.write(text.as_bytes()).map_err(errno) } else { Ok(0) };
    let mut got = String::new();
    let read = if stat.is_file() { file.read_to_string(&mut got).map_err(errno) } else { Ok(0) };
    Ok(format!("{flags:#o} {close} {:o} {} {} {wrote:?} {read:?} {got}", stat.mode(), stat.uid(), stat.len()))
}

/// One call; `rules` is whether rules are heeded, by this or by the broker, and `native` whether by this.
fn call(chance: &mut Chance, base: &Path, (rules, native): (bool, bool), step: usize) -> String {
    let (path, other) = (chance.path(base), chance.path(base));
    let (mode, kind) = (chance.one(&[0o600, 0o644, 0o666, 0o755, 0o777, 0o440, 0, 0o2755]), chance.below(40));
    let mut flags = chance.one(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR]);
    for _ in 0..chance.below(4) {
        flags |= chance.one(FLAGS);
    }
    let bits = Bits::from_bits_truncate(mode);
    let odd = chance.below(2) == 0;
    let ruled =
        |of: &[(&str, bool, bool)]| of.iter().any(|(path, follow, writes)| refused(base, path, *follow, *writes));
    let run = |what: &str, of: &[(&str, bool, bool)], act: &dyn Fn() -> Result<String, Errno>| {
        let line = format!("{step} {what}: ");
        if rules && ruled(of) {
            let done = if native { Err(Errno::EPERM) } else { act() };
            return line
                + if done.is_err() || done.as_deref() == Ok("failed") {
                    "refused"
                } else {
                    "DONE, though a rule refuses it"
                };
        }
        line + &format!("{:?}", act())
    };
    let none = |()| String::new();
    // Which of two paths is at fault, if both are, is not looked at.
    let either = |done: Result<(), Errno>| Ok(if done.is_ok() { "done" } else { "failed" }.to_owned());
    match kind {
        0 | 1 => {
            let how = if odd { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::empty() };
            run(
                &format!("rename {path} {other} {how:?}"),
                &[(&path, false, true), (&other, false, true), (&path, false, false)],
                &|| either(renameat2(HERE, path.as_str(), HERE, other.as_str(), how)),
            )
        }
        2 => run(&format!("link {path} {other}"), &[(&path, false, true), (&other, false, true)], &|| {
            either(linkat(HERE, path.as_str(), HERE, other.as_str(), LinkatFlags::empty()))
        }),
        3 => run(&format!("symlink {path} {other}"), &[(&other, false, true)], &|| {
            nix::unistd::symlinkat(path.as_str(), HERE, other.as_str()).map(none)
        }),
        4 | 5 => run(&format!("unlink {path}"), &[(&path, false, true)], &|| unlink(path.as_str()).map(none)),
        6 => run(&format!("mkdir {path} {mode:o}"), &[(&path, false, true)], &|| mkdir(path.as_str(), bits).map(none)),
        7 => {
            run(&format!("mkfifo {path} {mode:o}"), &[(&path, false, true)], &|| mkfifo(path.as_str(), bits).map(none))
        }
        8 | 9 => run(&format!("chmod {path} {mode:o}"), &[(&path, true, true)], &|| {
            fchmodat(HERE, path.as_str(), bits, FchmodatFlags::FollowSymlink).map(none)
        }),
        10 => run(&format!("truncate {path}"), &[(&path, true, true)], &|| truncate(path.as_str(), 3).map(none)),
        _ => {
            // Nobody is at the other end.
            if fs::metadata(&path).is_ok_and(|stat| stat.mode() & libc::S_IFMT == libc::S_IFIFO) {
                flags |= libc::O_NONBLOCK;
            }
            let writes = flags & (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) != 0;
            let only_new = flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0;
            let follow = path.ends_with('/') || flags & libc::O_NOFOLLOW == 0 && !only_new;
            let below = format!("{path}/#");
            let makes = flags & libc::O_TMPFILE == libc::O_TMPFILE;
            let of = if makes { &below } else { &path };
            run(&format!("open {path} {flags:#o} {mode:o}"), &[(of, follow, writes)], &|| {
                described(at(HERE, &path, flags, mode)?, &format!("{step} "))
            })
        }
    }
}

/// The calls of a seed, told on lines of `report`.
fn calls(seed: u64, base: &Path, how: (bool, bool), report: &File) {
    std::env::set_current_dir(base).unwrap();
    ids::set_groups(&[]).unwrap();
    let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
    setresgid(group, group, group).unwrap();
    setresuid(user, user, user).unwrap();
    ids::set_capabilities(0, 0, 0).unwrap();
    ids::set_dumpable(true).unwrap();
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut told = String::new();
    umask(Bits::from_bits_truncate(0o022));
    for step in 0..CALLS {
        let mask = Bits::from_bits_truncate(chance.one(&[0, 0o022, 0o077, 0o027, 0o222]));
        let line = match chance.below(12) {
            0 => {
                umask(mask);
                call(&mut chance, base, how, step)
            }
            // A thread with a umask of its own.
            1 => std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    unshare(CloneFlags::CLONE_FS).unwrap();
                    umask(mask);
                    call(&mut chance, base, how, step)
                });
                thread.join().unwrap()
            }),
            _ => call(&mut chance, base, how, step),
        };
        writeln!(told, "{line}").unwrap();
    }
    report.set_len(0).unwrap();
    report.write_all_at(told.as_bytes(), 0).unwrap();
}

pub fn whatever_is_called_is_as_natively(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let base = folder.path().canonicalize().unwrap().join("tree");
    let report = tempfile::tempfile().unwrap();
    build(&base);
    give_default_acl(&base.join("acl"));
    let told = |of: &str, ended: Option<i32>| {
        assert_eq!(ended, Some(0), "{test}: {of}");
        let mut text = vec![0; usize::try_from(report.metadata().unwrap().len()).unwrap()];
        report.read_exact_at(&mut text, 0).unwrap();
        (String::from_utf8(text).unwrap(), left(&base))
    };
    let seeds = std::env::var("ZVIZ_CHANCE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 1..=seeds.unwrap_or(SEEDS) {
        for rules in [false, true] {
            build(&base);
            let native = told("natively", brokered::native(|| calls(seed, &base, (rules, true), &report)));
            let opened = native.0.lines().filter(|line| line.contains(" open ") && line.contains("Ok(")).count();
            assert!(opened > CALLS / 20, "{test}: {opened} opens come to something");
            for one in [false, true] {
                build(&base);
                let policy = match rules {
                    true => policy(&base),
                    false => Policy { files: Some(Files::default()), ..Policy::default() },
                };
                let of = format!("seed {seed}, with rules: {rules}, one identity: {one}");
                let other = brokered::run((policy, one), || calls(seed, &base, (rules, false), &report));
                let (lines, tree) = told(&of, other);
                for (native, brokered) in native.0.lines().zip(lines.lines()) {
                    assert_eq!(native, brokered, "{test}: {of}");
                }
                assert_eq!(native.1, tree, "{test}: {of}");
            }
        }
    }
}
