//! Driver calls by name: what ordinary programs ask of terminals, files and sockets. ioctl_tty(2), ioctl_list(2).

/// The name and number on x86-64 and AArch64, where these are the same.
#[rustfmt::skip]
pub const COMMANDS: &[(&str, u32)] = &[
    ("TCGETS", 0x5401), ("TCSETS", 0x5402), ("TCSETSW", 0x5403), ("TCSETSF", 0x5404), ("TCSBRK", 0x5409), ("TCXONC", 0x540a),
    ("TCFLSH", 0x540b), ("TIOCEXCL", 0x540c), ("TIOCNXCL", 0x540d), ("TIOCSCTTY", 0x540e), ("TIOCGPGRP", 0x540f),
    ("TIOCSPGRP", 0x5410), ("TIOCOUTQ", 0x5411), ("TIOCGWINSZ", 0x5413), ("TIOCSWINSZ", 0x5414), ("TIOCMGET", 0x5415),
    ("FIONREAD", 0x541b), ("TIOCINQ", 0x541b), ("FIONBIO", 0x5421), ("TIOCNOTTY", 0x5422), ("TIOCGSID", 0x5429),
    ("TCGETS2", 0x802c_542a), ("TCSETS2", 0x402c_542b), ("TIOCGPTN", 0x8004_5430), ("TIOCSPTLCK", 0x4004_5431),
    ("TIOCGPTPEER", 0x5441), ("FIONCLEX", 0x5450), ("FIOCLEX", 0x5451), ("FIOASYNC", 0x5452), ("FIOQSIZE", 0x5460),
    ("FIBMAP", 1), ("FIGETBSZ", 2), ("FICLONE", 0x4004_9409), ("FICLONERANGE", 0x4020_940d), ("FIDEDUPERANGE", 0xc018_9436),
    ("FS_IOC_GETFLAGS", 0x8008_6601), ("FS_IOC_SETFLAGS", 0x4008_6602), ("FS_IOC_FIEMAP", 0xc020_660b),
    ("SIOCGIFNAME", 0x8910), ("SIOCGIFCONF", 0x8912), ("SIOCGIFFLAGS", 0x8913), ("SIOCGIFADDR", 0x8915),
    ("SIOCGIFMTU", 0x8921), ("SIOCGIFHWADDR", 0x8927), ("SIOCGIFINDEX", 0x8933), ("SIOCATMARK", 0x8905),
];

/// A command by name or number.
pub(crate) fn read(text: &str) -> Option<u32> {
    if let Some((_, number)) = COMMANDS.iter().find(|(name, _)| *name == text) {
        return Some(*number);
    }
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A command as one may write it: by its name, if it has one.
#[must_use]
pub fn words(command: u32) -> String {
    let named = COMMANDS.iter().find(|(_, number)| *number == command);
    named.map_or_else(|| format!("0x{command:x}"), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_names_and_numbers() {
        assert_eq!(read("TIOCGWINSZ"), Some(0x5413));
        assert_eq!(read("0x5413"), Some(0x5413));
        assert_eq!(read("21523"), Some(0x5413));
        assert_eq!(read("TIOCSTY"), None);
        assert_eq!([words(0x5413), words(0x1234)], ["TIOCGWINSZ", "0x1234"]);
    }
}
