//! An ordinary user's containers are held as root's are: the helper enters the user namespace that owns the network.

use super::internet::Internet;
use super::support::{copied, requires, run};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

/// Nobody's number, which no account has.
const UID: u32 = 54_321;

#[test]
fn an_ordinary_users_container_is_held() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let scratch = &internet.scratch;
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["zviz", "zviz-net"] {
        copied(Path::new(super::support::ZVIZ).with_file_name(name), scratch.join(name));
    }
    let (bundle, state) = (scratch.join("bundle"), scratch.join("state"));
    for folder in ["", "rootfs", "rootfs/usr", "rootfs/proc", "rootfs/dev", "rootfs/sys", "rootfs/tmp", "rootfs/etc"] {
        fs::create_dir_all(bundle.join(folder)).unwrap();
        chown(bundle.join(folder), Some(UID), Some(UID)).unwrap();
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), bundle.join("rootfs").join(link)).unwrap();
    }
    fs::create_dir(&state).unwrap();
    chown(&state, Some(UID), Some(UID)).unwrap();
    fs::copy(internet.probe(), bundle.join("rootfs/probe.py")).unwrap();
    fs::write(scratch.join("config.yaml"), format!("annotations: {{folder: {}}}\n", scratch.path().display())).unwrap();
    fs::write(scratch.join("one.yaml"), "name: one\nextends: default\nnetwork: {allow_cidrs: [203.0.113.10/32]}\n")
        .unwrap();
    let zviz = |arguments: &[&str]| {
        let mut command = internet.on_host(Path::new("/usr/bin/setpriv"));
        command.args(["--reuid", &UID.to_string(), "--regid", &UID.to_string(), "--clear-groups"]);
        command.arg(scratch.join("zviz")).arg("--root").arg(&state).arg("--config").arg(scratch.join("config.yaml"));
        command.args(arguments);
        command
    };
    run(zviz(&["spec", "--rootless", "--bundle"]).arg(&bundle)).ok();
    let flows = ["tcp:203.0.113.10:80", "tcp:203.0.113.20:80"];
    let path = bundle.join("config.json");
    let reached = |id: &str, profile: Option<&str>| {
        let mut spec: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["env"].as_array_mut().unwrap().push(json!("PATIENCE=10"));
        spec["process"]["args"] = json!([&["/usr/bin/python3", "/probe.py"], &flows[..]].concat());
        spec["annotations"] = profile.map_or(json!({}), |name| json!({ "zviz.io/profile": name }));
        let usr = json!({ "destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] });
        let mounts = spec["mounts"].as_array_mut().unwrap();
        if !mounts.contains(&usr) {
            mounts.push(usr);
        }
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        if !namespaces.iter().any(|one| one["type"] == "network") {
            namespaces.push(json!({ "type": "network" }));
        }
        fs::write(&path, spec.to_string()).unwrap();
        let log = scratch.join(format!("{id}.log"));
        let out = fs::File::create(&log).unwrap();
        let mut create = zviz(&["create", "--bundle"]);
        create.arg(&bundle).arg(id).stdout(Stdio::from(out.try_clone().unwrap())).stderr(Stdio::from(out));
        assert!(create.status().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
        // What a user has no right to: root gives it a device.
        let told: Value = serde_json::from_str(&run(&mut zviz(&["state", id])).ok()).unwrap();
        let hook = internet.hook(id, 90);
        let input = format!("{{\"pid\":{}}}", told["pid"]);
        let words: Vec<&str> =
            hook["args"].as_array().unwrap().iter().skip(1).map(|one| one.as_str().unwrap()).collect();
        super::support::run_with_input(Command::new("nsenter").args(words), input.as_bytes()).ok();
        let counted = profile.map(|_| run(&mut zviz(&["stats", id])).ok());
        run(&mut zviz(&["start", id])).ok();
        super::internet::wait_for("two answers", || fs::read_to_string(&log).unwrap().lines().count() >= flows.len());
        run(&mut zviz(&["delete", "--force", id])).ok();
        (fs::read_to_string(&log).unwrap(), counted)
    };
    let (plain, _) = reached("plain", None);
    assert_eq!(plain.matches(" ok ").count(), 2, "{plain}");
    let (held, counted) = reached("held", Some("one"));
    assert!(held.starts_with("tcp:203.0.113.10:80 ok web\ntcp:203.0.113.20:80 ECONN"), "{held}");
    assert!(counted.unwrap().contains("network.allow_cidrs[0]"));
}
