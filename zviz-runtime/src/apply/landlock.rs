//! Landlock: the ruleset is made before the clone, its rules by init, for paths that exist only inside.

use super::inroot;
use super::mounts::place;
use crate::failure::{Failure, Stage, at_item};
use crate::plan::{Landlock, LandlockRights, LandlockRule};
use crate::prepare::Error;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::{fd, landlock as sys};

/// A ruleset without rules, and the rules to be.
pub(crate) struct PreparedLandlock {
    ruleset: OwnedFd,
    rules: Vec<Prepared>,
    files: u64,
    recorded: bool,
}

struct Prepared {
    path: CString,
    access: u64,
    optional: bool,
}

/// The newest ABI whose rights are handled here.
pub(crate) const NEWEST: u32 = 7;

/// The crate's name for an ABI; one that it does not know yet gives the newest that it does.
fn abi(number: u32) -> ABI {
    match number {
        0 => ABI::Unsupported,
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        NEWEST.. => ABI::V7,
    }
}

/// Makes the ruleset. Every right of the plan's ABI is handled, or the start fails.
pub(crate) fn prepare(plan: &Landlock) -> Result<PreparedLandlock, Error> {
    let abi = abi(plan.abi);
    let named = |what: &dyn std::fmt::Display| Error::Landlock { what: what.to_string() };
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if !plan.rules.is_empty() {
        ruleset = ruleset.handle_access(AccessFs::from_all(abi)).map_err(|e| named(&e))?;
    }
    let mut net = BitFlags::empty();
    for (ports, access) in [(&plan.bind, AccessNet::BindTcp), (&plan.connect, AccessNet::ConnectTcp)] {
        if ports.is_some() {
            net |= access;
        }
    }
    if !net.is_empty() {
        ruleset = ruleset.handle_access(net).map_err(|e| named(&e))?;
    }
    if plan.scoped {
        ruleset = ruleset.scope(Scope::from_all(abi)).map_err(|e| named(&e))?;
    }
    let mut created = ruleset.create().map_err(|e| named(&e))?;
    for (ports, access) in [(&plan.bind, AccessNet::BindTcp), (&plan.connect, AccessNet::ConnectTcp)] {
        for port in ports.iter().flatten() {
            created = created.add_rule(NetPort::new(*port, access)).map_err(|e| named(&e))?;
        }
    }
    let ruleset: Option<OwnedFd> = created.into();
    let ruleset = ruleset.ok_or_else(|| named(&"this kernel has no Landlock"))?;
    let bits = |rights| match rights {
        LandlockRights::Read => (AccessFs::from_read(abi) & !AccessFs::Execute).bits(),
        LandlockRights::ReadExecute => AccessFs::from_read(abi).bits(),
        LandlockRights::ReadWrite => (AccessFs::from_all(abi) & !AccessFs::Execute).bits(),
        LandlockRights::Full => AccessFs::from_all(abi).bits(),
    };
    let prepared = |rule: &LandlockRule| {
        let truncate = if rule.truncate { AccessFs::from_all(abi) & AccessFs::Truncate } else { BitFlags::empty() };
        let access = bits(rule.rights) | truncate.bits();
        Ok(Prepared { path: place(&rule.path)?, access, optional: rule.optional })
    };
    let rules = plan.rules.iter().map(prepared).collect::<Result<_, Error>>()?;
    Ok(PreparedLandlock { ruleset, rules, files: AccessFs::from_file(abi).bits(), recorded: plan.recorded })
}

/// What a ruleset of this plan denies where no rule grants it: `fs_read_file`, `net_bind_tcp`, `scope_signal`, as the kernel's
/// constants are named.
pub(crate) fn handled(plan: &Landlock) -> Vec<String> {
    let abi = abi(plan.abi);
    let files = if plan.rules.is_empty() { BitFlags::empty() } else { AccessFs::from_all(abi) };
    let ports = [(&plan.bind, AccessNet::BindTcp), (&plan.connect, AccessNet::ConnectTcp)];
    let scopes = if plan.scoped { Scope::from_all(abi) } else { BitFlags::empty() };
    let files = files.iter().map(|right| format!("Fs{right:?}"));
    let ports = ports.into_iter().filter(|(ports, _)| ports.is_some()).map(|(_, right)| format!("Net{right:?}"));
    let scopes = scopes.iter().map(|right| format!("Scope{right:?}"));
    files.chain(ports).chain(scopes).map(|name| constant(&name)).collect()
}

/// `FsReadFile` as `fs_read_file`.
fn constant(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            words.push('_');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

impl AsFd for PreparedLandlock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ruleset.as_fd()
    }
}

impl PreparedLandlock {
    /// Adds the rules. Inside the new root, while everything can still be reached.
    pub(crate) fn add_rules(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        for (i, rule) in self.rules.iter().enumerate() {
            match self.add(root, &rule.path, rule.access) {
                Err(Errno::ENOENT | Errno::ENOTDIR) if rule.optional => {}
                added => at_item(Stage::Landlock, i, added)?,
            }
        }
        Ok(())
    }

    fn add(&self, root: BorrowedFd<'_>, path: &CString, access: u64) -> Result<(), Errno> {
        let target = inroot::open(root, path, 0)?;
        let directory = fd::stat(&target)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
        // The kernel refuses a directory's rights on a file.
        let access = if directory { access } else { access & self.files };
        sys::add_path_rule(self.ruleset.as_fd(), target.as_fd(), access)
    }

    /// Puts it in force.
    pub(crate) fn restrict(&self) -> Result<(), Failure> {
        let ruleset = self.ruleset.as_fd();
        let restricted =
            if self.recorded { sys::restrict_self_and_record(ruleset) } else { sys::restrict_self(ruleset) };
        at_item(Stage::Landlock, self.rules.len(), restricted)
    }
}
