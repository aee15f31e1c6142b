//! What a sandbox was asked for with, in the words of the flags, for its receipt. Values of the environment are secrets often
//! enough to be left out, and so is a command of `--ask`.

use super::{Sandbox, Userns, Variable};
use crate::receipt::Asked;
use zviz_broker::policy::Trail;

impl Sandbox {
    /// What it was asked for with.
    #[must_use]
    pub(super) fn asked(&self) -> Asked {
        Asked::command(self.said(), &self.args)
    }

    fn said(&self) -> Vec<String> {
        // Written out, so that nothing new is left out.
        let Sandbox {
            args: _,
            shares,
            tmpfs,
            environment,
            cwd,
            user,
            hostname,
            memory,
            pids,
            cpus,
            timeout,
            network,
            network_given,
            network_log,
            refusals: _,
            published,
            userns,
            id,
            rootfs,
            profile,
            terminal,
            stage,
            backend,
        } = self;
        let mut said = Vec::new();
        let mut flag = |name: &str, value: &str| said.push(format!("{name} {value}"));
        for share in shares {
            let inside = share.inside.as_ref().map(|inside| format!(":{inside}")).unwrap_or_default();
            flag(if share.writable { "--rw" } else { "--ro" }, &format!("{}{inside}", share.host));
        }
        for tmpfs in tmpfs {
            let size = tmpfs.size.map(|size| format!(":{size}")).unwrap_or_default();
            flag("--tmpfs", &format!("{}{size}", tmpfs.inside));
        }
        backend.iter().for_each(|backend| flag("--backend", backend.name()));
        for variable in environment {
            let (Variable::Set(name, _) | Variable::Copy(name)) = variable;
            flag("--env", name);
        }
        for (name, value) in [
            ("--cwd", cwd),
            ("--user", user),
            ("--hostname", hostname),
            ("--id", id),
            ("--rootfs", rootfs),
            ("--stage", stage),
        ] {
            value.iter().for_each(|value| flag(name, value));
        }
        for (name, value) in [("--memory", memory), ("--pids", pids)] {
            value.iter().for_each(|value| flag(name, &value.to_string()));
        }
        if let Some(thousandths) = cpus {
            flag("--cpus", &format!("{}.{:03}", thousandths / 1000, thousandths % 1000));
        }
        if let Some(time) = timeout {
            flag("--timeout", &format!("{}ms", time.as_millis()));
        }
        if *network_given {
            flag("--net", network.name());
        }
        published.iter().for_each(|port| flag("-p", &port.to_string()));
        if *userns == Userns::Identity {
            flag("--userns", "identity");
        }
        flag("--profile", &profile.name);
        match &profile.broker.audit {
            Some(Trail::File { path, .. }) => flag("--audit", &path.to_string_lossy()),
            Some(Trail::Descriptor(number)) => flag("--audit", &format!("fd:{number}")),
            Some(Trail::Journal) => flag("--audit", "journald"),
            None => {}
        }
        if profile.broker.ask.as_ref().is_some_and(|asking| asking.client.is_some()) {
            said.push("--ask".to_owned());
        }
        if *network_log {
            said.push("--net-log".to_owned());
        }
        if *terminal {
            said.push("with a terminal".to_owned());
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn values_of_the_environment_are_not_said() {
        let mut sandbox = Sandbox::new(["sh", "-c", "curl -H hunter2"]);
        sandbox.rw("/a", "/b").env("TOKEN", "hunter2").env_copy("KEY").memory(5).timeout(Duration::from_secs(2));
        sandbox.millicpus(1500).tmpfs("/x", Some(9));
        let asked = sandbox.asked();
        assert_eq!((asked.program.as_deref(), asked.arguments), (Some("sh"), 2));
        let want = "--rw /a:/b, --tmpfs /x:9, --env TOKEN, --env KEY, --memory 5, --cpus 1.500, --timeout 2000ms, \
                    --profile default";
        assert_eq!(asked.flags.join(", "), want);
    }
}
