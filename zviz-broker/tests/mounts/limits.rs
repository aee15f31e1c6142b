//! What mounts may cost the host.

use super::stage;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{self, File};
use std::path::Path;
use zviz_broker::policy::{Mounts, Policy};

const NONE: Option<&str> = None;

fn tmpfs(at: &Path, options: &str) -> Result<(), Errno> {
    mount(NONE, at, Some("tmpfs"), MsFlags::empty(), Some(options))
}

/// How many empty files there can be, up to a thousand.
fn files(at: &Path) -> usize {
    (0..1000).take_while(|i| File::create(at.join(i.to_string())).is_ok()).count()
}

/// A tmpfs holds as many files as its size gives it, whatever is asked for, and a remount does not change that.
pub fn a_tmpfs_has_few_files(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ways = ["", "nr_inodes=0", "nr_inodes=100k", "size=0,nr_inodes=0"];
    let each = |check: &dyn Fn(&str)| ways.iter().for_each(|options| check(options));
    let control = stage::run(
        None,
        || {},
        || {
            each(&|options| {
                tmpfs(folder.path(), options).unwrap();
                assert_eq!(files(folder.path()), 1000, "{options}");
            })
        },
    );
    assert_eq!(control, Some(0), "{test}: the control");
    let policy = Policy { mounts: Some(Mounts { tmpfs_bytes: 1 << 20, ..Mounts::default() }), ..Policy::default() };
    let ended = stage::run(
        Some(policy),
        || {},
        || {
            each(&|options| {
                tmpfs(folder.path(), options).unwrap();
                assert_eq!(mount(NONE, folder.path(), NONE, MsFlags::MS_REMOUNT, Some("nr_inodes=1m")), Ok(()));
                // The root of it is one more.
                assert_eq!(files(folder.path()), 127, "{options}");
            })
        },
    );
    assert_eq!(ended, Some(0), "{test}");
}

/// A container has so many file systems made for it and no more, since a file system is not charged to anybody; what was not
/// made does not count, nor do binds.
pub fn file_systems_are_counted(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a");
    fs::create_dir(&place).unwrap();
    let policy = Policy { mounts: Some(Mounts { most: 5, ..Mounts::default() }), ..Policy::default() };
    let ended = stage::run(
        Some(policy),
        || {},
        || {
            for made in 0..5 {
                for _ in 0..3 {
                    assert_eq!(tmpfs(&folder.path().join("none"), ""), Err(Errno::ENOENT));
                    assert_eq!(mount(Some("/usr"), &place, NONE, MsFlags::MS_BIND, NONE), Ok(()));
                    assert_eq!(umount2(&place, MntFlags::MNT_DETACH), Ok(()));
                }
                assert_eq!(tmpfs(&place, ""), Ok(()), "{made}");
                // It may be in use, or in another namespace, still.
                assert_eq!(umount2(&place, MntFlags::MNT_DETACH), Ok(()));
            }
            for fstype in ["tmpfs", "proc", "mqueue", "devpts"] {
                let made = mount(NONE, &place, Some(fstype), MsFlags::empty(), NONE);
                assert_eq!(made, Err(Errno::ENOSPC), "{fstype}");
            }
            assert_eq!(mount(Some("/usr"), &place, NONE, MsFlags::MS_BIND, NONE), Ok(()));
        },
    );
    assert_eq!(ended, Some(0), "{test}");
}
