//! What is never granted unasked: secrets, and the sockets of those who have rights.

use crate::sandbox::masks::{HOME_SECRETS, SYSTEM_SECRETS};
use std::path::Path;

/// Names of folders and files, anywhere, that hold secrets.
const FOLDERS: &[&str] = &[".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".password-store"];
const FILES: &[&str] = &[
    ".env",
    ".git-credentials",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".vault-token",
    "_netrc",
    "credentials.json",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
    "kubeconfig",
];
/// Sockets of those who do as they are asked: container engines, and agents that hold keys.
const SOCKETS: &[&str] =
    &["containerd.sock", "crio.sock", "docker.sock", "podman.sock", "keyring", "bus", "system_bus_socket"];

/// Why a path is granted to nobody unasked; none if it is an ordinary one. `home` is the caller's, and `agent` what
/// SSH_AUTH_SOCK says.
#[must_use]
pub fn why_secret(path: &str, home: Option<&str>, agent: Option<&str>) -> Option<&'static str> {
    let within = |above: &str| crate::profile::files::within(path, above);
    let of_system = |secret: &&&str| match secret.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => within(secret),
    };
    if SYSTEM_SECRETS.iter().find(of_system).is_some() {
        return Some("a secret of the system");
    }
    if let Some(home) = home
        && HOME_SECRETS.iter().any(|secret| within(&format!("{home}/{secret}")))
    {
        return Some("a secret of the user");
    }
    let mut parts = path.split('/');
    let last = parts.next_back().unwrap_or_default();
    if is_named_as_secret(last) || parts.any(|part| FOLDERS.contains(&part)) {
        return Some("a secret");
    }
    let is_agent = last.starts_with("S.gpg-agent") || last.starts_with("agent.") || agent == Some(path);
    (is_agent || SOCKETS.contains(&last)).then_some("the socket of one who acts with the user's rights")
}

/// How far below a folder secrets are looked for, and among how many names.
const DEEPEST: usize = 4;
const MOST_NAMES: usize = 20_000;
/// Others' packages, which have such names in their tests, and are removed as a whole by who manages them.
const PACKAGES: &[&str] = &["node_modules", "site-packages"];

fn is_named_as_secret(name: &str) -> bool {
    let dotenv = name.starts_with(".env.") && name != ".env.example";
    FILES.contains(&name) || FOLDERS.contains(&name) || dotenv
}

/// Files and folders below a folder that are named as secrets are. No link is followed.
fn named_as_secrets(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut level = vec![folder.to_owned()];
    let mut names = 0;
    for _ in 0..DEEPEST {
        let mut next = Vec::new();
        for entry in level.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
            names += 1;
            if names > MOST_NAMES {
                return found;
            }
            let (path, name) = (entry.path(), entry.file_name());
            let (Some(path), Some(name)) = (path.to_str(), name.to_str()) else { continue };
            if is_named_as_secret(name) && !path.contains('*') && !path.chars().any(char::is_control) {
                found.push(path.to_owned());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !PACKAGES.contains(&name) {
                next.push(path.to_owned());
            }
        }
        level = next;
    }
    found
}

/// Known secrets that are there below a folder: those of the system and of the home folder, and what has their names some levels
/// below it; of the system's folders, in itself.
pub(super) fn in_folder(folder: &str, home: Option<&str>) -> Vec<String> {
    let of_system = SYSTEM_SECRETS.iter().filter(|secret| !secret.ends_with('*')).map(|secret| (*secret).to_owned());
    let of_home = home.into_iter().flat_map(|home| HOME_SECRETS.iter().map(move |secret| format!("{home}/{secret}")));
    let here = match super::folders::is_system(folder) {
        true => FOLDERS.iter().chain(FILES).map(|name| format!("{folder}/{name}")).collect(),
        false => named_as_secrets(folder),
    };
    let mut all: Vec<String> = of_system.chain(of_home).chain(here).collect();
    all.retain(|path| path != folder && crate::profile::files::within(path, folder) && Path::new(path).exists());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known() {
        let why = |path: &str| why_secret(path, Some("/home/u"), Some("/tmp/ssh-x/sock"));
        for secret in [
            "/home/u/.ssh",
            "/home/u/.ssh/id_x",
            "/home/u/.aws/credentials",
            "/work/.env",
            "/work/.env.local",
            "/etc/shadow",
            "/etc/ssh/ssh_host_rsa_key",
            "/home/u/.netrc",
            "/tmp/ssh-x/sock",
            "/run/docker.sock",
            "/run/user/1/gnupg/S.gpg-agent.ssh",
            "/home/u/.kube/config",
        ] {
            assert!(why(secret).is_some(), "{secret}");
        }
        for ordinary in ["/etc/passwd", "/home/u/.gitconfig", "/work/.envrc.md", "/work/.env.example", "/usr/bin/ssh"] {
            assert_eq!(why(ordinary), None, "{ordinary}");
        }
    }
}
