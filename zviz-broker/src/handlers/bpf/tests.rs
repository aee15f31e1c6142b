use super::*;
use crate::memory::Memory;

const ATTR: u64 = 0x1000;
const CODE: u64 = 0x9000;
const PAGE: u64 = 4096;

/// Attributes at one address, instructions at another; every byte is given once.
struct Once(Vec<u8>, Vec<u8>, Vec<bool>);

impl Memory for Once {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        assert_eq!(address / PAGE, (address + buffer.len() as u64 - 1) / PAGE, "a read crosses a page");
        for (i, byte) in buffer.iter_mut().enumerate() {
            let at = address + i as u64;
            let (from, base) = if at >= CODE { (&self.1, CODE) } else { (&self.0, ATTR) };
            let index = usize::try_from(at - base).unwrap();
            *byte = *from.get(index).ok_or(Errno::EFAULT)?;
            let place = &mut self.2[usize::try_from(at - ATTR).unwrap()];
            assert!(!std::mem::replace(place, true), "{at:#x} is read twice");
        }
        Ok(())
    }
}

fn sized(command: u64, attributes: &[u8], size: u64, code: &[u8]) -> Result<Work, Errno> {
    let mut memory = Once(attributes.to_vec(), code.to_vec(), vec![false; 0x20000]);
    let registers = [command | 7 << 32, ATTR, size | 5 << 32, 0, 0, 0];
    let decision = bpf(&Policy::default(), Held::new(registers, &mut memory));
    match decision.step {
        Step::Do(work) => Ok(work),
        Step::Refuse(errno) => Err(errno),
        other => panic!("{other:?}"),
    }
}

fn decide(command: u32, attributes: &[u8], code: &[u8]) -> Result<Work, Errno> {
    sized(command.into(), attributes, attributes.len() as u64, code)
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// r0 = 1; exit.
const ALLOW: [u8; 16] = [0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

fn loading(change: impl Fn(&mut [u32; 40])) -> Result<Work, Errno> {
    let mut attributes = [0; 40];
    // Type, count, instructions, license, log, name.
    attributes[..9].copy_from_slice(&[15, 2, CODE as u32, 0, 0x7000, 0, 1, 4096, 0x8000]);
    attributes[12] = u32::from_ne_bytes(*b"sd_d");
    change(&mut attributes);
    decide(PROG_LOAD, &words(attributes), &ALLOW)
}

#[test]
fn programs_about_devices_are_loaded() {
    let work = loading(|_| {}).unwrap();
    assert_eq!((work.op, work.texts[0].as_deref(), work.descriptor), (Op::Devices, Some(&ALLOW[..]), None));
    assert_eq!(work.numbers, [5, 0, ATTR, 0]);
    assert!(loading(|words| words[17] = 6).is_ok());
    // The lengths of records of which there are none.
    assert!(loading(|words| (words[19], words[23], words[34]) = (8, 16, 16)).is_ok());
    // As short as the oldest callers have it.
    assert!(decide(PROG_LOAD, &words([15, 2, CODE as u32, 0, 0x7000, 0]), &ALLOW).is_ok());
}

#[test]
fn other_programs_and_all_that_comes_with_them_are_refused() {
    for kind in [0, 1, 2, 9, 13, 14, 16, 26, 29, 31, u32::MAX] {
        assert_eq!(loading(|words| words[0] = kind), Err(Errno::EPERM), "{kind}");
    }
    for count in [0, 4097, u32::MAX] {
        assert_eq!(loading(|words| words[1] = count), Err(Errno::E2BIG), "{count}");
    }
    assert_eq!(loading(|words| words[1] = 3), Err(Errno::EFAULT));
    // Flags, an interface, another place; BTF, line information, another program, a token.
    for (word, value) in [(11, 1), (16, 1), (17, 7)]
        .into_iter()
        .chain((18..40).filter(|word| ![19, 23, 34].contains(word)).map(|word| (word, 1)))
    {
        assert_eq!(loading(|words| words[word] = value), Err(Errno::EPERM), "word {word}");
    }
    // What runc tries is an answer, and no more.
    assert!(loading(|words| words[0] = 8).is_ok());
    let longer = [[0xb7, 2, 0, 0, 0, 0, 0, 0].as_slice(), &ALLOW].concat();
    assert_eq!(decide(PROG_LOAD, &words([8, 3, CODE as u32, 0, 0x7000, 0]), &longer), Err(Errno::EPERM));
    assert!(decide(PROG_LOAD, &words([15, 3, CODE as u32, 0, 0x7000, 0]), &longer).is_ok());
    // A call.
    let code = [&[0x85, 0, 0, 0, 5, 0, 0, 0], &ALLOW[8..]].concat();
    assert_eq!(decide(PROG_LOAD, &words([15, 2, CODE as u32, 0, 0x7000, 0]), &code), Err(Errno::EPERM));
}

#[test]
fn attributes_have_a_bound() {
    assert_eq!(sized(5, &[0; 257], 257, &[]), Err(Errno::E2BIG));
    assert_eq!(sized(5, &[0; 8], 0xffff_ffff, &[]), Err(Errno::E2BIG));
    assert_eq!(sized(5, &[0; 8], 9, &[]), Err(Errno::EFAULT));
    assert_eq!(sized(5, &[], 0, &[]), Err(Errno::EPERM));
}

#[test]
fn no_other_command_is_known() {
    for command in (0..64).chain([u64::from(u32::MAX)]).filter(|command| ![5, 8, 9, 16].contains(command)) {
        assert_eq!(sized(command, &[0; 128], 128, &[]), Err(Errno::EPERM), "{command}");
    }
}

#[test]
fn programs_are_attached_beside_others_only() {
    let work = decide(PROG_ATTACH, &words([7, 9, 6, 2]), &[]).unwrap();
    assert_eq!((work.op, work.descriptor, work.numbers), (Op::Devices, Some(7), [8, 9, ATTR, 0]));
    for (flags, errno) in [(0, Errno::EPERM), (1, Errno::EPERM), (3, Errno::EINVAL), (6, Errno::EINVAL)] {
        assert_eq!(decide(PROG_ATTACH, &words([7, 9, 6, flags]), &[]), Err(errno), "{flags}");
    }
    for kind in [0, 1, 5, 7, 26] {
        assert_eq!(decide(PROG_ATTACH, &words([7, 9, kind, 2]), &[]), Err(Errno::EPERM), "{kind}");
        assert_eq!(decide(PROG_DETACH, &words([7, 9, kind]), &[]), Err(Errno::EPERM), "{kind}");
        assert_eq!(decide(PROG_QUERY, &words([7, kind]), &[]), Err(Errno::EPERM), "{kind}");
    }
    assert_eq!(decide(PROG_ATTACH, &words([7, 9, 6, 2, 1]), &[]), Err(Errno::EINVAL));
    assert_eq!(decide(PROG_ATTACH, &words([u32::MAX, 9, 6, 2]), &[]), Err(Errno::EBADF));
}

#[test]
fn what_is_attached_is_taken_off_and_told() {
    assert_eq!(decide(PROG_DETACH, &words([7, 9, 6]), &[]).unwrap().numbers, [9, 9, ATTR, 0]);
    assert_eq!(decide(PROG_DETACH, &words([7, 9, 6, 2]), &[]), Err(Errno::EINVAL));
    let work = decide(PROG_QUERY, &words([7, 6, 0, 99, 0x5000, 0, 64, 0]), &[]).unwrap();
    assert_eq!((work.descriptor, work.numbers), (Some(7), [16, 64, ATTR, 0x5000]));
    // What holds by its ancestors, and more than numbers.
    assert_eq!(decide(PROG_QUERY, &words([7, 6, 1]), &[]), Err(Errno::EPERM));
    assert_eq!(decide(PROG_QUERY, &words([7, 6, 0, 0, 0, 0, 0, 0, 1]), &[]), Err(Errno::EINVAL));
}
