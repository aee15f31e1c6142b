use super::*;
use crate::memory::Memory;
use std::collections::BTreeMap;

/// Strings at addresses.
struct Strings(BTreeMap<u64, Vec<u8>>);

impl Memory for Strings {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let (start, text) = self.0.range(..=address).next_back().ok_or(Errno::EFAULT)?;
        let at = usize::try_from(address - start).map_err(|_| Errno::EFAULT)?;
        for (i, byte) in buffer.iter_mut().enumerate() {
            *byte = text.get(at + i).copied().unwrap_or(0);
        }
        Ok(())
    }
}

fn decide(texts: [Option<&str>; 4], flags: u64, policy: &Policy) -> Decision {
    let mut memory = Strings(BTreeMap::new());
    let address = texts.map(|text| match text {
        None => 0,
        Some(text) => {
            let at = 0x1000 * (memory.0.len() as u64 + 1);
            memory.0.insert(at, text.as_bytes().to_vec());
            at
        }
    });
    let [source, target, fstype, data] = address;
    mount(policy, Held::new([source, target, fstype, flags, data, 0], &mut memory))
}

fn nested() -> Policy {
    Policy { mounts: Some(Mounts { tmpfs_bytes: 1 << 20, ..Mounts::default() }), ..Policy::default() }
}

fn refused(decision: &Decision) -> Option<Errno> {
    match decision.step {
        Step::Refuse(errno) => Some(errno),
        _ => None,
    }
}

#[test]
fn types_are_a_list() {
    let policy = nested();
    for fstype in ["ext4", "fuse", "bpf", "tracefs", "debugfs", "tmpfs2", "", "nfs"] {
        let decision = decide([Some("none"), Some("/mnt"), Some(fstype), None], 0, &policy);
        assert_eq!((refused(&decision), decision.rule.as_ref()), (Some(Errno::EPERM), TYPES), "{fstype}");
    }
    let only = Policy { mounts: Some(Mounts { types: vec!["proc".into()], ..Mounts::default() }), ..Policy::default() };
    assert_eq!(refused(&decide([None, Some("/mnt"), Some("tmpfs"), None], 0, &only)), Some(Errno::EPERM));
    let decision = decide([Some("proc"), Some("/proc"), Some("proc"), None], libc::MS_NOSUID, &only);
    let Step::Do(work) = decision.step else { panic!("{decision:?}") };
    assert_eq!((work.op, work.numbers[0]), (Op::MountProc, libc::MS_NOSUID));
    let decision = decide([None, Some("/s"), Some("sysfs"), None], libc::MS_NODEV, &policy);
    let Step::Do(work) = decision.step else { panic!("{decision:?}") };
    assert_eq!(work.numbers[0], libc::MS_NODEV | libc::MS_RDONLY);
    assert_eq!(refused(&decide([None, Some("/s"), None, None], 0, &policy)), Some(Errno::EINVAL));
    assert_eq!(refused(&decide([None, None, Some("tmpfs"), None], 0, &policy)), Some(Errno::EFAULT));
    assert_eq!(refused(&decide([None, Some("/s"), Some("tmpfs"), None], 0, &Policy::default())), Some(Errno::EPERM));
}

#[test]
fn a_tmpfs_is_sized_whatever_is_asked() {
    for data in [None, Some("size=1g"), Some("mode=700")] {
        let decision = decide([Some("tmpfs"), Some("/t"), Some("tmpfs"), data], 0, &nested());
        let Step::Do(work) = decision.step else { panic!("{decision:?}") };
        let options = String::from_utf8(work.texts[3].clone().unwrap()).unwrap();
        assert!(options.contains("size=1048576") && options.contains("nr_inodes=128"), "{options}");
    }
    // A remount cannot lift it.
    let decision = decide([None, Some("/t"), None, Some("size=1g")], libc::MS_REMOUNT, &nested());
    let Step::Do(work) = decision.step else { panic!("{decision:?}") };
    assert_eq!(work.texts[3].as_deref(), Some(&b"size=1048576"[..]));
}

#[test]
fn binds_and_propagation_carry_no_options_and_no_type() {
    for flags in [
        libc::MS_BIND | libc::MS_REC,
        libc::MS_MOVE,
        libc::MS_SLAVE | libc::MS_REC,
        libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY,
        libc::MS_BIND | 0xc0ed_0000,
    ] {
        let decision = decide([Some("/a"), Some("/b"), Some("ext4"), Some("evil=1")], flags, &nested());
        let Step::Do(work) = decision.step else { panic!("{decision:?}") };
        let plain = if flags & 0xffff_0000 == 0xc0ed_0000 { flags & 0xffff } else { flags };
        assert_eq!((work.op, work.numbers[0]), (Op::Mount, plain));
        assert_eq!((&work.texts[2], &work.texts[3]), (&None, &None));
    }
    // MS_ACTIVE, MS_BORN, MS_KERNMOUNT, MS_I_VERSION, MS_MANDLOCK, MS_POSIXACL.
    for strange in [1 << 30, 1 << 29, 1 << 22, 1 << 23, 64, 1 << 16] {
        assert!(
            refused(&decide([None, Some("/b"), Some("tmpfs"), None], strange, &nested())).is_some(),
            "{strange:#x}"
        );
        assert!(refused(&decide([None, Some("/b"), None, None], libc::MS_BIND | strange, &nested())).is_some());
    }
}

#[test]
fn other_calls_are_passed_on_as_they_are() {
    let mut memory = Strings(BTreeMap::from([(0x1000, b"/new".to_vec()), (0x2000, b"/new/old".to_vec())]));
    let decision = pivot_root(&nested(), Held::new([0x1000, 0x2000, 0, 0, 0, 0], &mut memory));
    let Step::Do(work) = decision.step else { panic!("{decision:?}") };
    assert_eq!(work.texts, [Some(b"/new".to_vec()), Some(b"/new/old".to_vec()), None, None]);
    let decision = umount2(&nested(), Held::new([0x1000, 0xffff_ffff_0000_0002, 0, 0, 0, 0], &mut memory));
    let Step::Do(work) = decision.step else { panic!("{decision:?}") };
    assert_eq!((work.op, work.numbers[0]), (Op::Unmount, 2));
    assert_eq!(refused(&umount2(&nested(), Held::new([0; 6], &mut memory))), Some(Errno::EFAULT));
}
