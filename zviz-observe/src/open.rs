//! What the flags of open(2) ask for.

use crate::call::Intent;

/// What for, and whether a link at the end is followed.
pub fn intent(flags: u64) -> (Intent, bool) {
    // Flags are an int; openat2(2) refuses what is above it.
    let flags = flags as i32;
    let has = |flag: i32| flags & flag == flag;
    let intent = if has(libc::O_PATH) {
        Intent::Metadata
    } else if has(libc::O_CREAT) || has(libc::O_TMPFILE) {
        Intent::Create
    } else {
        match flags & libc::O_ACCMODE {
            libc::O_WRONLY => Intent::Write,
            libc::O_RDONLY if has(libc::O_TRUNC) => Intent::Write,
            libc::O_RDONLY if has(libc::O_DIRECTORY) => Intent::List,
            libc::O_RDONLY => Intent::Read,
            _ => Intent::ReadWrite,
        }
    };
    (intent, !has(libc::O_NOFOLLOW) && !has(libc::O_CREAT | libc::O_EXCL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_for() {
        let of = |flags: i32| intent(u64::from(flags.cast_unsigned()));
        assert_eq!(of(libc::O_RDONLY | libc::O_CLOEXEC), (Intent::Read, true));
        assert_eq!(of(libc::O_RDONLY | libc::O_DIRECTORY), (Intent::List, true));
        assert_eq!(of(libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL), (Intent::Create, false));
        assert_eq!(of(libc::O_RDWR | libc::O_TMPFILE), (Intent::Create, true));
        assert_eq!(of(libc::O_PATH | libc::O_NOFOLLOW), (Intent::Metadata, false));
        assert_eq!(of(libc::O_RDONLY | libc::O_TRUNC), (Intent::Write, true));
    }
}
