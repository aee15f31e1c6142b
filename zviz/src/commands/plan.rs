//! `plan`: what would be done for a bundle.

use super::{Context, print};
use crate::cli::{Plan as Flags, Rootless};
use std::path::Path;
use zviz_runtime::container::Id;
use zviz_runtime::host::Host;
use zviz_runtime::network;
use zviz_runtime::plan::{Plan, Request};
use zviz_runtime::profile::{Profile, Rules};
use zviz_runtime::spec::{self, Spec};

pub fn run(context: &Context, flags: &Flags) -> anyhow::Result<()> {
    let id = Id::new(&*flags.id)?;
    let spec = spec::load(flags.bundle.as_deref().unwrap_or(Path::new(".")))?;
    let request = Request { own_network: network::is_own(&spec), ..context.request(&id) };
    let host = Host::probe()?;
    let plan = Plan::build(&spec, &context.profile(&spec)?, &host, request)?;
    let text = if flags.json { serde_json::to_string_pretty(&plan)? + "\n" } else { plan.to_string() };
    Ok(print(&text)?)
}

impl Context<'_> {
    /// What is laid over a bundle: the profile that its annotations name, within what the host says.
    pub fn profile(&self, spec: &Spec) -> anyhow::Result<Profile> {
        let rules = Rules::load(self.global.config.as_deref()).map_err(anyhow::Error::msg)?;
        Ok(rules.profile_of(spec)?)
    }

    /// What the flags before the verb ask of every container.
    pub fn request(&self, id: &Id) -> Request {
        Request {
            systemd_cgroup: self.global.systemd_cgroup,
            rootless_cgroup: match self.global.rootless {
                Rootless::Auto => None,
                Rootless::True => Some(true),
                Rootless::False => Some(false),
            },
            ..Request::from(id.as_str())
        }
    }
}
