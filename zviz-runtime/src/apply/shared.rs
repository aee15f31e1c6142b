//! Kernel parameters of a joined namespace: not where that one turns out to be the runtime's own.
//!
//! A plan knows a joined namespace by its path alone. That the path leads to the host's is seen only here, before
//! anything is written: the parameter would be the host's.

use crate::plan::{Namespace, Namespaces, Net, Plan, User, Uts};
use crate::prepare::Error;
use nix::errno::Errno;
use nix::sys::stat::stat;

/// Refuses the first parameter that would be written into the runtime's own namespace.
pub(crate) fn check(plan: &Plan) -> Result<(), Error> {
    for parameter in plan.sysctl.keys() {
        let Some((kind, path)) = joined(parameter, &plan.namespaces) else { continue };
        let open = |errno: Errno| Error::Namespace { path: path.to_owned(), errno };
        let (theirs, ours) = (stat(path).map_err(open)?, stat(&*format!("/proc/self/ns/{kind}")).map_err(open)?);
        if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino) {
            return Err(Error::SharedParameter { parameter: parameter.clone(), path: path.to_owned() });
        }
    }
    Ok(())
}

/// The kind and the path of the joined namespace that a parameter belongs to.
fn joined<'a>(parameter: &str, namespaces: &'a Namespaces) -> Option<(&'static str, &'a str)> {
    match (parameter, namespaces) {
        (p, Namespaces { net: Net::Join { path, .. }, .. }) if p.starts_with("net.") => Some(("net", path)),
        (p, Namespaces { user: User::Join(path), .. }) if p.starts_with("user.") => Some(("user", path)),
        ("kernel.domainname", Namespaces { uts: Uts::Join { path, .. }, .. }) => Some(("uts", path)),
        (p, Namespaces { ipc: Namespace::Join(path), .. })
            if p != "kernel.domainname" && (p.starts_with("kernel.") || p.starts_with("fs.mqueue.")) =>
        {
            Some(("ipc", path))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(parameter: &str, namespaces: Namespaces) -> Plan {
        Plan { sysctl: [(parameter.to_owned(), "1".to_owned())].into(), namespaces, ..Plan::default() }
    }

    #[test]
    fn our_own_namespace_by_another_name_is_seen() {
        let net = Net::Join { path: format!("/proc/{}/ns/net", std::process::id()), devices: Vec::new() };
        let own = Namespaces { net, ipc: Namespace::Join("/proc/self/ns/ipc".into()), ..Namespaces::default() };
        for parameter in ["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"] {
            let error = check(&plan(parameter, own.clone())).expect_err(parameter).to_string();
            assert!(error.starts_with(&format!("linux.sysctl.{parameter}: ")), "{error}");
        }
        assert!(check(&plan("user.max_user_namespaces", own.clone())).is_ok());
        // Any other namespace has another inode.
        let other = Namespaces { net: Net::Join { path: "/proc/self/ns/uts".into(), devices: Vec::new() }, ..own };
        assert!(check(&plan("net.ipv4.ip_forward", other)).is_ok());
    }
}
