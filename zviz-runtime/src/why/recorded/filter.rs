//! What a filter of system calls has done, as the kernel recorded it: by which part of which policy. A program can have filters of
//! its own, of which the kernel tells the same: what neither the container's nor the profile's filter answers is not told.

use crate::records::{Access, Recorded};
use crate::why::{Denial, Layer, Origin, Scene};
use nix::errno::Errno;
use zviz_seccomp::{Action, Arch, Policy, Source, X32_BIT, name_of};

/// A denial, if it can be one of the sandbox's own. The arguments are not told, so that of several rules the first is.
pub(super) fn recorded(scene: &Scene<'_>, record: &Recorded) -> Option<Denial> {
    let Access::Seccomp { arch: audit, number, action, .. } = &record.access else { return None };
    let number = u32::try_from(*number).ok()?;
    let is_x32 = *audit == Arch::X32.audit() && number & X32_BIT != 0;
    let arch = Arch::all().find(|arch| arch.audit() == *audit && (*arch == Arch::X32) == is_x32)?;
    let whole = &scene.plan.seccomp.as_ref()?.policy;
    // The number of an error is not in the record.
    let can_be = |(_, _, answer): &(&Policy, Source, Action)| answer.rank() == action.rank();
    let (policy, source, answer) = whole.sources(arch, number).into_iter().find(can_be)?;
    let profile = &scene.plan.profile;
    let is_spec = !profile.seccomp || !whole.within.is_empty() && std::ptr::eq(policy, &raw const **whole);
    let call = name_of(number, arch).unwrap_or_else(|| format!("system call {number}"));
    let does = match answer {
        Action::KillProcess => "ends a process for it",
        Action::KillThread => "ends a thread for it",
        Action::Trap => "answers it with SIGSYS",
        _ => "refuses it",
    };
    let some = match source {
        Source::Rule(at) if policy.rules.get(at).is_some_and(|rule| !rule.args.is_empty()) => ", with some arguments",
        _ => "",
    };
    let whose = match is_spec {
        true => {
            "the container's own filter (linux.seccomp of its config.json, which would have to allow it)".to_owned()
        }
        false => format!("the filter of the profile {}", super::shown(profile.name.as_bytes())),
    };
    let (cause, what) = match source {
        Source::ForeignArch | Source::X32 => {
            ("foreign", format!("{call} is a call of {arch}, another architecture than {whose} knows: it {does}"))
        }
        Source::Rule(_) => ("deny", format!("{call} ({arch}){some}: {whose} {does}")),
        Source::Default | Source::Fallback(_) => {
            ("unlisted", format!("{call} ({arch}): {whose} does not list it, and {does}"))
        }
    };
    let key = match (is_spec, source) {
        (true, Source::Rule(at)) => Some(("config.json", format!("linux.seccomp.syscalls[{at}]"))),
        (true, Source::Default | Source::Fallback(_)) => {
            Some(("config.json", "linux.seccomp.defaultAction".to_owned()))
        }
        (true, Source::ForeignArch | Source::X32) => Some(("config.json", "linux.seccomp.architectures".to_owned())),
        // No key of a profile is about other architectures.
        (false, Source::ForeignArch | Source::X32) => None,
        (false, _) => profile.texts.first().map(|text| (text.file.as_str(), "syscalls".to_owned())),
    };
    let rule = key.map(|(place, key)| Origin { place: place.to_owned(), key, value: String::new() });
    let result = match answer {
        Action::Errno(number) => format!("{:?}", Errno::from_raw(number.into())),
        _ => "SIGSYS".to_owned(),
    };
    Some(Denial { call, result, ..Denial::new(Layer::Seccomp, cause).what(what).rule(rule) })
}
