//! A profile in the forms that its layers take, made beforehand: the same bytes for the same text, wherever and whenever.
//!
//! ```text
//! NAME.bpf            the seccomp program, as seccomp(2) takes it
//! NAME.broker.json    what the broker is told
//! NAME.nft            rules for packets, as nft(8) takes them, where the network is one of the container's own. Who runs it adds
//!                     what only a host knows: its own addresses, nameservers, published ports
//! NAME.apparmor       the AppArmor profile, as apparmor_parser(8) takes it
//! NAME.manifest.json  the texts it was made of and what each file is, by hash; the whole profile and its hash; each rule with its
//!                     line, what enforces it, and where that is
//! ```

mod folder;

use super::Profile;
use super::apparmor::{Wanted, generate};
use super::find::Search;
use super::hashed::{Hashed, sha256};
use super::lower::{Context, lower};
use serde::{Deserialize, Serialize};
use zviz_network::rules::{TABLE_PREFIX, inside};
use zviz_profile::schema::{Does, leaves};
use zviz_seccomp::{Arch, Policy, Program, compile, policy_with};

pub use folder::{load, manifest};

/// The form of the manifest that this version writes and reads.
const FORMAT: u32 = 5;
/// The end of a manifest's name.
const MANIFEST: &str = ".manifest.json";

/// What a generated AppArmor profile is made of: beginnings of keys.
const APPARMOR: &[&str] = &[
    "capabilities.bounding",
    "capabilities.drop_all",
    "capabilities.keep",
    "filesystem.base",
    "filesystem.executable",
    "filesystem.hidden",
    "filesystem.readonly",
    "filesystem.rootfs",
    "filesystem.tmpfs",
    "filesystem.writable",
    "lsm.",
    "nested",
    "network.sockets",
    "syscalls.allow",
    "syscalls.deny",
];

/// What belongs together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this structure.
    pub format: u32,
    /// The version that made it: another one decides anew.
    pub zviz: String,
    /// The architecture that the program is for.
    pub architecture: String,
    /// The profile's name.
    pub name: String,
    /// The home folder that `~` stands for in it, where it is written: for another it is compiled anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The texts, the profile's own first.
    pub inputs: Vec<Hashed>,
    /// The other files.
    pub artefacts: Vec<Hashed>,
    /// Each value that is written.
    pub rules: Vec<Rule>,
    /// SHA-256 of `profile`, as JSON without blanks.
    pub profile_sha256: String,
    /// All of it, as it is laid over a spec.
    pub profile: Profile,
}

/// A value and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// As `filesystem.writable[0]`.
    pub key: String,
    /// File and line.
    pub place: String,
    /// As it is written there.
    pub value: String,
    /// What enforces it; empty for what is for readers.
    pub by: String,
    /// Where that is: files of this folder.
    pub artefacts: Vec<String>,
}

/// A compiled profile, not written yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// What belongs together.
    pub manifest: Manifest,
    /// The filter, for who wants to read it.
    pub program: Program,
    /// Names and contents, the manifest last.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Compiles a profile.
///
/// # Errors
/// In words, all that is wrong with it.
pub fn make(search: &Search, name: &str, context: &Context) -> Result<Compiled, String> {
    let (document, texts) = search.document_of(name)?;
    // The same wherever they are.
    let inputs: Vec<Hashed> =
        texts.into_iter().map(|text| Hashed { file: base_name(&text.file).to_owned(), ..text }).collect();
    let lowered = lower(&document, context).map_err(|faults| faults.to_string())?;
    let mut profile = Profile { texts: inputs.clone(), ..lowered };
    for origin in profile.packets.iter_mut().flat_map(|packets| packets.origins.values_mut()) {
        *origin = base_name(origin).to_owned();
    }
    let name = profile.name.clone();
    let program = compile(&policy(&profile)?).map_err(|error| error.to_string())?.program;
    let mut files = vec![(format!("{name}.bpf"), program.as_bytes())];
    if !profile.broker.is_empty() {
        files.push((format!("{name}.broker.json"), json(&profile.broker)?));
    }
    if profile.apparmor == Some(Wanted::Generated) {
        files.push((format!("{name}.apparmor"), generate(&profile).text.into_bytes()));
    }
    if let Some(packets) = &profile.packets {
        let rules = inside(&packets.policies, &format!("{TABLE_PREFIX}{name}"));
        files.push((format!("{name}.nft"), rules.to_string().into_bytes()));
    }
    let artefacts: Vec<Hashed> = files.iter().map(|(file, bytes)| Hashed::file(file, bytes)).collect();
    let known = leaves();
    let rule = |(key, value, place): (String, &str, &zviz_profile::Place)| {
        let by = known.iter().find(|(path, _)| *path == schema_path(&key)).map_or("", |(_, key)| match key.does {
            Does::Enforced(by) => by,
            Does::Holds | Does::Describes | Does::Refused(_) => "",
        });
        let of = |layer: &str, end: &str| {
            let file = format!("{name}.{end}");
            (by.split(", ").any(|one| one == layer) && files.iter().any(|(known, _)| *known == file)).then_some(file)
        };
        let own = |key: &str| APPARMOR.iter().any(|of| key.starts_with(of));
        let file = format!("{name}.apparmor");
        let apparmor = (own(&key) && files.iter().any(|(known, _)| *known == file)).then_some(file);
        let artefacts = of("seccomp", "bpf")
            .into_iter()
            .chain(of("broker", "broker.json"))
            .chain(of("nftables", "nft"))
            .chain(apparmor)
            .collect();
        let place = format!("{}:{}", base_name(&place.file), place.line);
        Rule { place, value: value.to_owned(), by: by.to_owned(), artefacts, key }
    };
    let rules: Vec<Rule> = document.written().into_iter().map(rule).collect();
    let homely = rules.iter().any(|rule| rule.value == "~" || rule.value.starts_with("~/"));
    let manifest = Manifest {
        format: FORMAT,
        home: context.home.clone().filter(|_| homely),
        zviz: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: Arch::native().to_string(),
        inputs,
        artefacts,
        rules,
        profile_sha256: hash(&profile)?,
        profile,
        name: name.clone(),
    };
    files.push((format!("{name}{MANIFEST}"), json(&manifest)?));
    Ok(Compiled { manifest, program, files })
}

/// A key that is taken out of a profile stands for what it is without: so what is left has to be known, too.
fn hash(profile: &Profile) -> Result<String, String> {
    serde_json::to_vec(profile).map(|bytes| sha256(&bytes)).map_err(|error| error.to_string())
}

/// The profile's own filter, where a spec brings none.
fn policy(profile: &Profile) -> Result<Policy, String> {
    policy_with(&profile.variant()).map_err(|error| error.to_string())
}

/// The schema's path of a key: no indexes, and `[]` where a list holds maps.
fn schema_path(key: &str) -> String {
    let parts = key.split('.').collect::<Vec<_>>();
    let last = parts.len().saturating_sub(1);
    let part = |(i, part): (usize, &&str)| match part.split_once('[') {
        Some((name, _)) if i < last => format!("{name}[]"),
        Some((name, _)) => name.to_owned(),
        None => (*part).to_owned(),
    };
    parts.iter().enumerate().map(part).collect::<Vec<_>>().join(".")
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn compiled(name: &str) -> Compiled {
        make(&Search::of_host(), name, &Context::default()).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    #[test]
    fn every_rule_has_its_line_and_its_file() {
        let nested = compiled("nested").manifest;
        let rule = |key: &str| nested.rules.iter().find(|rule| rule.key == key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!(rule("syscalls.allow[0]").place, "built-in default:9");
        assert_eq!(rule("syscalls.broker[0]").artefacts, ["nested.bpf", "nested.broker.json"]);
        assert_eq!(rule("capabilities.keep[1]").by, "capabilities");
        assert_eq!(
            nested.inputs.iter().map(|input| input.file.as_str()).collect::<Vec<_>>(),
            ["built-in nested", "built-in default"]
        );
        assert_eq!(schema_path("resources.io_max[0].rbps"), "resources.io_max[].rbps");
    }
}
