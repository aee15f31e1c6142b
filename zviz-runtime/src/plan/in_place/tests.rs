use crate::Host;
use crate::plan::{Backend, InPlace, LandlockRights, Plan, Request};
use crate::profile::{Profile, files};
use crate::spec::Spec;
use oci_spec::runtime as oci;

fn host(abi: u32) -> Host {
    let text = include_str!("../../../tests/plans/host.json");
    Host { landlock_abi: abi, ..serde_json::from_str(text).unwrap() }
}

fn plan(profile: &Profile, abi: u32, network: bool) -> Result<Plan, String> {
    let mounts = [("/usr", true), ("/work", false), ("/proc", true)].map(|(path, readonly)| {
        let mut mount = oci::Mount::default();
        let options = if readonly { vec!["rbind".to_owned(), "rro".to_owned()] } else { vec!["rbind".to_owned()] };
        mount.set_destination(path.into()).set_options(Some(options));
        mount
    });
    let mut process = oci::Process::default();
    process.set_args(Some(vec!["true".into()])).set_cwd("/work".into());
    let mut oci = oci::Spec::default();
    oci.set_root(None).set_linux(None).set_mounts(Some(mounts.into())).set_process(Some(process));
    let spec = Spec { oci, raw: serde_json::Value::Null, bundle: "/".into(), notes: Vec::new(), sha256: String::new() };
    let request = Request { sandbox: true, in_place: Some(InPlace { network }), ..Request::from("a") };
    Plan::build(&spec, profile, &host(abi), request).map_err(|problems| problems.to_string())
}

#[test]
fn a_plan_has_rules_and_no_mounts() {
    let plan = plan(&Profile::default(), 7, false).unwrap();
    assert_eq!((plan.backend, plan.mounts.len(), plan.rootfs.is_none()), (Backend::Landlock, 0, true));
    let landlock = plan.landlock.unwrap();
    let rights: Vec<_> = landlock.rules.iter().map(|rule| (rule.path.as_str(), rule.rights)).collect();
    let want = [
        ("/usr", LandlockRights::ReadExecute),
        ("/work", LandlockRights::Full),
        ("/proc", LandlockRights::ReadExecute),
    ];
    assert_eq!(rights, want);
    assert!(landlock.scoped);
    assert_eq!((landlock.bind, landlock.connect), (Some(Vec::new()), Some(Vec::new())));
    assert!(plan.process.no_new_privs && plan.process.credentials.groups.is_none());
}

#[test]
fn older_kernels_are_told_of() {
    assert!(plan(&Profile::default(), 0, false).unwrap_err().contains("no Landlock"));
    let old = plan(&Profile::default(), 2, false).unwrap();
    let notes: Vec<&str> = old.notes.iter().map(|note| note.0.as_str()).collect();
    for word in ["signals reach", "truncate is refused"] {
        assert!(notes.iter().any(|note| note.contains("ABI 2") && note.contains(word)), "{word}: {notes:?}");
    }
    assert!(!old.landlock.unwrap().scoped);
    let denied = old.profile.calls.deny;
    assert_eq!(denied, ["truncate"]);
    let newest = plan(&Profile::default(), 7, true).unwrap();
    assert!(newest.notes.iter().all(|note| !note.0.contains("before")));
}

#[test]
fn nothing_is_less_than_what_is_around_it() {
    let with = |files: files::Files| plan(&Profile { files, ..Profile::default() }, 7, false);
    let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let kept = with(files::Files { readonly: list(&["/work/.git"]), ..Default::default() }).unwrap_err();
    assert!(kept.contains("/work/.git is not to be written"), "{kept}");
    let hidden = with(files::Files { hidden: list(&["/usr/lib/secret"]), ..Default::default() }).unwrap_err();
    assert!(hidden.contains("/usr/lib/secret cannot be hidden"), "{hidden}");
    let more = with(files::Files { executable: Some(list(&["/usr/bin"])), ..Default::default() }).unwrap();
    let rules = more.landlock.unwrap().rules;
    let of = |path: &str| rules.iter().find(|rule| rule.path == path).map(|rule| rule.rights);
    assert_eq!([of("/usr"), of("/usr/bin")], [Some(LandlockRights::Read), Some(LandlockRights::ReadExecute)]);
}
