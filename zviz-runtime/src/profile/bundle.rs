//! The profile of a bundle: what its annotations name within what the host allows. Without either it is as with runc: the
//! config.json is the policy.

use super::annotations::{Annotations, NO_NETWORK, PREFIX};
use super::find::{HOST, Search, read};
use super::hashed::Hashed;
use super::lower::{Context, lower};
use super::{Network, Packets, Ports, Profile};
use crate::plan::Problems;
use crate::spec::Spec;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zviz_broker::policy::{Record, Trail};
use zviz_profile::{Document, HostPolicy, NetworkMode, Text, read_host};

/// Where the host's policy is.
pub const CONFIG: &str = "/etc/zviz/config.yaml";

/// What to do for whoever asks for something of a broker where there is none.
const WITH_BROKER: &str = "name one in zviz.io/profile that sends calls to a broker, such as nested or any with syscalls.broker or \
                           filesystem.patterns";
/// At most, of one file of an audit log.
const AUDIT_BYTES: u64 = 16 << 20;
/// How many older ones are kept.
const AUDIT_KEPT: u8 = 3;

/// What the host says of every bundle. By default, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    policy: HostPolicy,
}

impl Rules {
    /// Reads the host's policy, or the file that was named in its place.
    ///
    /// # Errors
    /// What is wrong with it, each with its line; that it can be written by others; that a named one is not there.
    pub fn load(named: Option<&Path>) -> Result<Rules, String> {
        let path = named.unwrap_or(Path::new(CONFIG));
        match read(path, 0o022)? {
            Some(text) => Rules::read(&text),
            None if named.is_some() => Err(format!("{}: there is no such file", path.display())),
            None => Ok(Rules::default()),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line.
    pub fn read(text: &Text) -> Result<Rules, String> {
        let policy = read_host(text).map_err(|faults| faults.to_string())?;
        Ok(Rules { policy })
    }

    /// The profile of a bundle.
    ///
    /// # Errors
    /// As [`Rules::profile`].
    pub fn profile_of(&self, spec: &Spec) -> Result<Profile, Problems> {
        let given = spec.oci.annotations().iter().flatten();
        let ours: BTreeMap<String, String> =
            given.filter(|(key, _)| key.starts_with(PREFIX)).map(|(key, value)| (key.clone(), value.clone())).collect();
        if ours.is_empty() && self.policy == HostPolicy::default() {
            return Ok(Profile::none());
        }
        let process = spec.oci.process().as_ref();
        let home = process.and_then(|process| process.env().iter().flatten().find_map(|set| set.strip_prefix("HOME=")));
        // A root that is a home would make all of it.
        let home = home.filter(|home| home.starts_with('/') && !home.trim_end_matches('/').is_empty());
        self.profile(&ours, home.map(str::to_owned))
    }

    /// The profile of a bundle with these annotations. `home` is what `~` stands for.
    ///
    /// # Errors
    /// What cannot be had or may not be asked for, each with the annotation that asks for it.
    pub fn profile(&self, annotations: &BTreeMap<String, String>, home: Option<String>) -> Result<Profile, Problems> {
        let asked = Annotations::read(annotations)?;
        let mut problems = Problems::default();
        let mut profile = match self.chosen(&asked, &Context { home }) {
            Ok(profile) => profile,
            Err((place, why)) => {
                problems.add(place, why);
                return problems.or(Profile::none());
            }
        };
        if asked.strict {
            strict(&mut profile);
        }
        profile.limits.wall_time = asked.timeout.into_iter().chain(profile.limits.wall_time).min();
        self.bound_broker(&asked, &mut profile, &mut problems);
        profile.no_new_privs |= self.policy.security.no_new_privs == Some(true);
        profile.requirements.seccomp |= self.policy.security.require_seccomp == Some(true);
        problems.or(profile)
    }

    /// The profile, and the network policy on top of it.
    fn chosen(&self, asked: &Annotations, context: &Context) -> Result<Profile, Wrong> {
        let by_annotation = |why| ("annotations[zviz.io/profile]", why);
        let of_network = |why| ("annotations[zviz.io/network-policy]", why);
        if let Some(name) = &asked.profile {
            self.may_name(name).map_err(by_annotation)?;
        }
        let wrong = |why| if asked.profile.is_some() { by_annotation(why) } else { ("default_profile", why) };
        let (name, search) = (asked.profile.as_ref().or(self.policy.default_profile.as_ref()), self.search());
        let profile = match (name, &asked.network) {
            (None, None) => Profile::none(),
            (Some(name), None) => search.profile(name, context).map_err(wrong)?,
            (Some(name), Some(network)) => {
                let (mut document, mut texts) = search.document_of(name).map_err(wrong)?;
                let (on_top, more) = self.network(network, &search).map_err(of_network)?;
                let of =
                    |document: &Document| lower(document, context).map_err(|faults| of_network(faults.to_string()));
                let packets = both(of(&document)?.packets, of(&on_top)?.packets);
                document.network = document.network.within(&on_top.network);
                texts.extend(more);
                let lowered = of(&document)?;
                // Without a network there are no packets.
                let packets = packets.filter(|_| lowered.network != Some(Network::None));
                Profile { texts, packets, ..lowered }
            }
            (None, Some(network)) => {
                let (only, texts) = self.network(network, &search).map_err(of_network)?;
                let lowered = lower(&only, context).map_err(|faults| of_network(faults.to_string()))?;
                let Profile { name, broker, calls, ports, network, packets, notes, .. } = lowered;
                let landlock = ports != Ports::default();
                let taken = Profile { name, broker, calls, ports, network, packets, notes, texts, ..Profile::none() };
                Profile { landlock, seccomp: true, ..taken }
            }
        };
        if profile.broker.bpf_devices && asked.profile.is_some() {
            let why = format!("the profile {} gives bpf(2), which an annotation cannot", profile.name);
            return Err(by_annotation(why));
        }
        Ok(profile)
    }

    /// A document that says nothing but what the network may be.
    fn network(&self, name: &str, search: &Search) -> Result<(Document, Vec<Hashed>), String> {
        if name == NO_NETWORK {
            let mut document = Document::default();
            document.name = Some("no-network".to_owned());
            document.network.mode = Some(NetworkMode::None);
            return Ok((document, Vec::new()));
        }
        self.may_name(name)?;
        let (mut document, texts) = search.document_of(name)?;
        document.keep_network();
        Ok((document, texts))
    }

    fn search(&self) -> Search {
        let folder = self.policy.annotations.folder.as_deref().unwrap_or(HOST);
        Search::in_folder(folder)
    }

    /// Whether an annotation may name this profile. Where the host has chosen one for all, it says which else there may be:
    /// nobody can tell which of two profiles is the tighter one.
    fn may_name(&self, name: &str) -> Result<(), String> {
        match (&self.policy.annotations.profiles, &self.policy.default_profile) {
            (Some(list), _) if list.iter().any(|known| known == name) => Ok(()),
            (Some(list), _) => {
                Err(format!("the host lets annotations name {}, not {name} (annotations.profiles)", list.join(", ")))
            }
            (None, Some(default)) if default == name => Ok(()),
            (None, Some(default)) => {
                Err(format!("the host has chosen {default}, and lets annotations name no other (annotations.profiles)"))
            }
            (None, None) => Ok(()),
        }
    }

    fn bound_broker(&self, asked: &Annotations, profile: &mut Profile, problems: &mut Problems) {
        let (policy, broker) = (&self.policy, &mut profile.broker);
        let pace = &mut broker.pace;
        let bounds = [asked.broker_timeout, policy.broker.timeout_ms];
        pace.deadline_ms = bounds.into_iter().flatten().chain([pace.deadline_ms]).min().unwrap_or(pace.deadline_ms);
        pace.burst = policy.broker.max_inflight.map_or(pace.burst, |most| pace.burst.min(most));
        let none = broker.is_empty();
        let mut needs_one = |annotation: &str, about: &str| {
            let place = format!("annotations[zviz.io/{annotation}]");
            let without = match asked.profile.is_none() && policy.default_profile.is_none() {
                true => "no profile is laid over this container".to_owned(),
                false => format!("the profile {} has none", profile.name),
            };
            let what = format!("is about {about}, and {without}: {WITH_BROKER}, or leave this annotation out");
            problems.add(place, what);
        };
        if none && asked.broker_timeout.is_some() {
            needs_one("broker-timeout", "calls that a broker answers");
        }
        let silent = none && !profile.packets.as_ref().is_some_and(Packets::logs);
        if silent && asked.audit {
            needs_one("audit", "what a broker decides, or network.log records");
        }
        let always = policy.audit.always == Some(true);
        if silent || !asked.audit && !always {
            return;
        }
        match &policy.audit.file {
            Some(file) => {
                if broker.record == Record::Nothing {
                    // Whoever is recorded does not decide whether.
                    broker.record = Record::All;
                }
                broker.audit =
                    Some(Trail::File { path: PathBuf::from(file), max_bytes: AUDIT_BYTES, keep: AUDIT_KEPT });
            }
            None => problems
                .add("annotations[zviz.io/audit]", format!("the host does not say where ({CONFIG}: audit.file)")),
        }
    }
}

/// What both let through, where both say something.
fn both(one: Option<Packets>, other: Option<Packets>) -> Option<Packets> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.and(other)),
        (one, other) => one.or(other),
    }
}

/// What is wrong, and where that was asked for.
type Wrong = (&'static str, String);

/// Nothing is optional any more, and there is a filter in any case: what it does not know fails with ENOSYS.
fn strict(profile: &mut Profile) {
    profile.limits.optional = false;
    profile.requirements.ports_optional = false;
    profile.requirements.lsm_optional = false;
    profile.requirements.landlock |= profile.landlock;
    profile.seccomp = true;
}

#[cfg(test)]
mod tests;
