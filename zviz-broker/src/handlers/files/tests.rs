use super::*;
use crate::memory::Memory;

/// A path at 0x1000, and a `struct open_how` at 0x2000.
struct Caller(Vec<u8>);

impl Memory for Caller {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let source: &[u8] = match address {
            0x1000 => b"a/b\0",
            0x2000 => &self.0,
            _ => return Err(Errno::EFAULT),
        };
        for (i, place) in buffer.iter_mut().enumerate() {
            *place = source.get(i).copied().unwrap_or(0);
        }
        Ok(())
    }
}

type Handler = fn(&Policy, Held<'_>) -> Decision;

fn decided(call: Handler, how: &[u64], args: [u64; 6]) -> Result<Work, Option<Errno>> {
    let mut caller = Caller(how.iter().flat_map(|word| word.to_ne_bytes()).collect());
    match call(&Policy::default(), Held::new(args, &mut caller)).step {
        Step::Do(work) => Ok(work),
        Step::Refuse(errno) => Err(Some(errno)),
        _ => Err(None),
    }
}

#[test]
fn registers_are_taken_as_the_kernel_takes_them() {
    let here = u64::from(AT_FDCWD.cast_unsigned());
    let high = 0xdead_0000_0000_0000;
    let work = decided(openat, &[], [high | here, 0x1000, high | flag(libc::O_CREAT), high | 0o70_644, 0, 0]).unwrap();
    assert_eq!((work.descriptor, work.numbers), (None, [flag(libc::O_CREAT), 0o644, 0, 0]));
    // Without a file to make, the mode is whatever was in the register.
    let work = decided(openat, &[], [5, 0x1000, 0, 0o777, 0, 0]).unwrap();
    assert_eq!((work.descriptor, work.numbers), (Some(5), [0; 4]));
    let work = decided(creat, &[], [0x1000, 0o600, 0, 0, 0, 0]).unwrap();
    assert_eq!(work.numbers[0], flag(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC));
    // Only registers spoke: the kernel may do it.
    assert_eq!(decided(open, &[], [0x1000, flag(libc::O_PATH), 0, 0, 0, 0]), Err(None));
    for (flags, errno) in [
        (libc::O_CREAT | libc::O_DIRECTORY, Errno::EINVAL),
        (libc::O_TMPFILE, Errno::EINVAL),
        (libc::O_TMPFILE & !libc::O_DIRECTORY | libc::O_RDWR, Errno::EINVAL),
    ] {
        assert_eq!(decided(open, &[], [0x1000, flag(flags), 0, 0, 0, 0]), Err(Some(errno)), "{flags:o}");
    }
    assert_eq!(decided(open, &[], [0x1001, 0, 0, 0, 0, 0]), Err(Some(Errno::EFAULT)));
}

#[test]
fn how_is_of_any_size_that_there_is() {
    let of = |how: &[u64], size: u64| decided(openat2, how, [5, 0x1000, 0x2000, size, 0, 0]);
    assert_eq!(of(&[0, 0, 8], 24).map(|work| work.numbers), Ok([0, 0, 8, 0]));
    assert_eq!(of(&[0, 0, 0, 0], 32).map(|work| work.descriptor), Ok(Some(5)));
    // Whether it waits is the broker's business.
    assert_eq!(of(&[0, 0, RESOLVE_CACHED], 24).map(|work| work.numbers), Ok([0; 4]));
    for (how, size, errno) in [
        (&[0, 0, 0][..], 23, Errno::EINVAL),
        (&[0, 0, 0], 4097, Errno::E2BIG),
        (&[0, 0, 0, 1], 32, Errno::E2BIG),
        (&[0, 0o644, 0], 24, Errno::EINVAL),
        (&[1 << 40, 0, 0], 24, Errno::EINVAL),
        (&[0, 0, 0x40], 24, Errno::EINVAL),
        (&[0, 0, RESOLVE_WITHIN], 24, Errno::EINVAL),
        (&[flag(libc::O_CREAT), 0o10_644, 0], 24, Errno::EINVAL),
        (&[flag(libc::O_PATH), 0, 0], 24, Errno::ENOSYS),
    ] {
        assert_eq!(of(how, size), Err(Some(errno)), "{how:?}");
    }
}
