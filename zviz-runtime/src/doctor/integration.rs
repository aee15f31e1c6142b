//! Container engines that could use zviz, and how to tell them.

use super::{Chapter, Finding, Layer, Seen, Status};

pub(super) fn examine(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut chapter = Chapter { layer: Layer::Integration, findings };
    let zviz = seen.zviz.display();
    let engines = [
        (
            "docker",
            format!(
                "\"runtimes\": {{\"zviz\": {{\"path\": \"{zviz}\"}}}} in /etc/docker/daemon.json, systemctl reload docker; \
                 then docker run --runtime=zviz"
            ),
        ),
        ("podman", format!("podman --runtime {zviz} run")),
        ("ctr", format!("ctr run --runc-binary {zviz}")),
    ];
    let mut none = true;
    for (name, how) in engines {
        if seen.programs.contains(&name) {
            none = false;
            chapter.add(name, Status::Info, "installed", Some(how));
        }
    }
    if none {
        chapter.info("engines", "neither docker, podman nor containerd is installed");
    }
}
