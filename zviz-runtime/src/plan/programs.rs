//! Hooks: which programs run when.

use super::hooks::{Hook, Hooks};
use super::input::{Findings, Input};
use oci_spec::runtime as oci;

/// Decides the hooks of all six kinds.
pub(super) fn plan(input: Input, found: &mut Findings) -> Hooks {
    let Some(given) = input.spec.oci.hooks() else { return Hooks::default() };
    let mut kind = |list: &Option<Vec<oci::Hook>>, name: &str| {
        list.iter().flatten().enumerate().map(|(i, given)| hook(given, &format!("hooks.{name}[{i}]"), found)).collect()
    };
    // Deprecated by the specification, and what Docker and the NVIDIA toolkit still write.
    #[allow(deprecated)]
    let prestart = given.prestart();
    // These run in the container, and as runc has it in the payload's environment, if they are given none.
    let of_process = input.spec.oci.process().as_ref().and_then(|process| process.env().as_deref()).unwrap_or_default();
    let mut start_container: Vec<Hook> = kind(given.start_container(), "startContainer");
    for (hook, given) in start_container.iter_mut().zip(given.start_container().iter().flatten()) {
        if given.env().is_none() {
            hook.env = of_process.to_vec();
        }
    }
    Hooks {
        prestart: kind(prestart, "prestart"),
        create_runtime: kind(given.create_runtime(), "createRuntime"),
        create_container: kind(given.create_container(), "createContainer"),
        start_container,
        poststart: kind(given.poststart(), "poststart"),
        poststop: kind(given.poststop(), "poststop"),
    }
}

fn hook(given: &oci::Hook, at: &str, found: &mut Findings) -> Hook {
    let path = given.path().to_str().unwrap_or_default();
    if !path.starts_with('/') {
        found.problem(format!("{at}.path"), "must be absolute");
    }
    let env = given.env().clone().unwrap_or_default();
    for (i, entry) in env.iter().enumerate() {
        if entry.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
            found.problem(format!("{at}.env[{i}]"), format!("{entry:?} is not of the form NAME=value"));
        }
    }
    let timeout = given.timeout().and_then(|seconds| match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Some(seconds),
        _ => {
            found.problem(format!("{at}.timeout"), format!("must be more than 0 seconds, not {seconds}"));
            None
        }
    });
    Hook { path: path.to_owned(), args: given.args().clone().unwrap_or_default(), env, timeout }
}
