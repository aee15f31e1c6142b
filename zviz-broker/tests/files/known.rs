//! What is opened again, where the path leads to something else by then.

use super::{HERE, Mode, Scene, at, both, read};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode as Permissions;
use nix::unistd::mkfifo;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use zviz_sys::process::{Cloned, exit, fork};
use zviz_sys::wait::{Exit, wait};

/// Often enough for a path to be known.
fn read_often(path: &Path) -> String {
    let texts = [(); 4].map(|()| read(path).unwrap());
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    texts[0].clone()
}

/// From outside, by another way than the read-only one: what stands at a path that was opened before changes its contents, its
/// kind, and where it leads.
pub fn what_was_opened_before_is_found_as_it_is_now(test: &str) {
    let scene = Scene::new();
    let (source, shown) = (scene.path("source"), scene.path("open/shown"));
    for folder in [&source, &shown] {
        fs::create_dir(folder).unwrap();
    }
    let (inside, outside) = (shown.join("file"), source.join("file"));
    let check = |mode: Mode| {
        let _ = fs::remove_file(&outside);
        fs::write(&outside, "first").unwrap();
        assert_eq!(read_often(&inside), "first");
        assert_eq!(at(HERE, inside.to_str().unwrap(), libc::O_WRONLY, 0).err(), Some(Errno::EROFS));
        fs::remove_file(&outside).unwrap();
        assert_eq!(read(&inside), Err(Errno::ENOENT));
        fs::write(&outside, "second").unwrap();
        assert_eq!(read_often(&inside), "second");
        // Whose end is open already: who opens it waits for nobody.
        fs::remove_file(&outside).unwrap();
        mkfifo(&outside, Permissions::S_IRWXU).unwrap();
        let mut end = fs::OpenOptions::new().read(true).write(true).open(&outside).unwrap();
        end.write_all(b"third").unwrap();
        let mut got = [0; 5];
        at(HERE, inside.to_str().unwrap(), libc::O_RDONLY, 0).unwrap().read_exact(&mut got).unwrap();
        assert_eq!(&got, b"third");
        drop(end);
        fs::remove_file(&outside).unwrap();
        fs::write(&outside, "fourth").unwrap();
        assert_eq!(read_often(&inside), "fourth");
        fs::remove_file(&outside).unwrap();
        symlink(scene.path("secret/file"), &outside).unwrap();
        let hidden = if mode == Mode::Ruled { Err(Errno::EACCES) } else { Ok("secret/file".into()) };
        assert_eq!(read(&inside), hidden);
        // And where a folder on the way is another by now.
        let [folder, aside] = ["open/folder", "open/aside"].map(|name| scene.path(name));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "fifth").unwrap();
        assert_eq!(read_often(&folder.join("file")), "fifth");
        fs::rename(&folder, &aside).unwrap();
        symlink(scene.path("secret"), &folder).unwrap();
        assert_eq!(read(folder.join("file")), hidden);
        fs::remove_file(&folder).unwrap();
        fs::remove_dir_all(&aside).unwrap();
    };
    match fork().unwrap() {
        // Its mounts go with it.
        Cloned::Child => {
            let none = None::<&str>;
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some(&source), &shown, none, MsFlags::MS_BIND, none).unwrap();
            let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
            mount(none, &shown, none, read_only, none).unwrap();
            both(test, scene.policy(), check);
            exit(0)
        }
        Cloned::Parent { pidfd, .. } => assert!(matches!(wait(pidfd.as_fd()).unwrap(), Exit::Code(0))),
    }
}
