use super::*;
use crate::profile::artefacts::make;
use crate::profile::artefacts::tests::compiled;
use crate::profile::built_in;
use crate::profile::find::Search;

#[test]
fn every_built_in_is_compiled_to_the_same_bytes_and_read_back() {
    for (name, _) in built_in::BUILT_IN {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (compiled(name), compiled(name));
        assert_eq!(one.files, other.files, "{name}");
        one.write(folder.path()).unwrap();
        let read = load(folder.path(), None, &Context::default()).unwrap();
        let profile = Profile { program: Some(one.program.clone()), ..one.manifest.profile.clone() };
        assert_eq!(read, profile, "{name}");
        assert_eq!(read, load(folder.path(), Some(name), &Context::default()).unwrap());
    }
}

#[test]
fn who_has_another_home_folder_compiles_anew() {
    let folder = tempfile::tempdir().unwrap();
    let of = |home: &str| Context { home: Some(home.to_owned()) };
    let made = |text: &str| {
        let path = folder.path().join("own.yaml");
        fs::write(&path, text).unwrap();
        make(&Search::of_user(), path.to_str().unwrap(), &of("/home/a")).unwrap()
    };
    made("name: own\nfilesystem: {hidden: [~/secret]}\n").write(folder.path()).unwrap();
    load(folder.path(), None, &of("/home/a")).unwrap();
    for other in [of("/home/b"), Context::default()] {
        assert!(load(folder.path(), None, &other).unwrap_err().contains("~ is /home/a there"));
    }
    // Where none is written, it is for everybody.
    made("name: own\nfilesystem: {hidden: [/secret]}\n").write(folder.path()).unwrap();
    load(folder.path(), None, &of("/home/b")).unwrap();
}

/// Whoever can rename the files gives one profile the name of another.
#[test]
fn a_folder_that_others_write_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    compiled("virtualised").write(folder.path()).unwrap();
    let with = |mode: u32| {
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        load(folder.path(), None, &Context::default())
    };
    with(0o755).unwrap();
    with(0o1777).unwrap();
    for mode in [0o777, 0o775] {
        assert!(with(mode).unwrap_err().contains("must be a folder of yours or root's"), "{mode:o}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    fs::write(other.path(), "kept").unwrap();
    std::os::unix::fs::symlink(other.path(), folder.path().join(".virtualised.bpf.new")).unwrap();
    compiled("virtualised").write(folder.path()).unwrap();
    assert_eq!(fs::read_to_string(other.path()).unwrap(), "kept");
    load(folder.path(), None, &Context::default()).unwrap();
}

#[test]
fn what_was_changed_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    compiled("virtualised").write(folder.path()).unwrap();
    let path = folder.path().join("virtualised.bpf");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[8..]).unwrap();
    assert!(load(folder.path(), None, &Context::default()).unwrap_err().contains("is not what was compiled"));
    fs::write(&path, &bytes).unwrap();
    load(folder.path(), None, &Context::default()).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert!(load(folder.path(), None, &Context::default()).unwrap_err().contains("nobody else can write"));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(load(folder.path(), None, &Context::default()).is_err());
    let manifest = folder.path().join("virtualised.manifest.json");
    // An older one lacks what this one needs, and that is not what is told of it.
    let mut text = json(&manifest);
    text["format"] = 4.into();
    text.as_object_mut().unwrap().remove("profile_sha256").unwrap();
    fs::write(&manifest, text.to_string()).unwrap();
    let error = load(folder.path(), None, &Context::default()).unwrap_err();
    assert!(error.contains("format 4 of zviz") && error.contains("compile it again"), "{error}");
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What is left out of a profile is what a profile without it says: less than was meant.
#[test]
fn a_profile_that_was_changed_in_its_manifest_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    compiled("hostile-tenant").write(folder.path()).unwrap();
    let path = folder.path().join("hostile-tenant.manifest.json");
    let whole = json(&path);
    let with = |profile: serde_json::Value| {
        let mut changed = whole.clone();
        changed["profile"] = profile;
        fs::write(&path, changed.to_string()).unwrap();
        load(folder.path(), None, &Context::default())
    };
    // The control: the same in other words, without line breaks.
    let meant = with(whole["profile"].clone()).unwrap();
    let keys: Vec<String> = whole["profile"].as_object().unwrap().keys().cloned().collect();
    let (mut told, mut unread) = (0, 0);
    for key in keys {
        let mut profile = whole["profile"].clone();
        profile.as_object_mut().unwrap().remove(&key);
        match with(profile) {
            Err(error) if error.contains("its profile is not what was compiled: compile it again") => told += 1,
            Err(error) if error.contains("missing field") => unread += 1,
            Err(error) => panic!("{key}: {error}"),
            // It was what a profile without it says.
            Ok(profile) => assert!(profile == meant, "{key}"),
        }
    }
    assert!(told > 5, "{told} told, {unread} cannot be read");
    let mut profile = whole["profile"].clone();
    profile["name"] = "other".into();
    assert!(with(profile).unwrap_err().contains("its profile is not what was compiled"));
}
