//! Images, made by Docker's own builder with zviz for every RUN.

use super::daemon::Docker;
use std::fs;

const DOCKERFILE: &str = r#"
FROM box
ENV GREETING=hello
RUN echo "$GREETING" > /greeting && chown 1000:1000 /greeting
COPY file /file
RUN ["cp", "/file", "/copied"]
WORKDIR /made/by/docker
RUN pwd > /where && mkdir -m 700 /kept && echo builder:x:1234:1234::/tmp:/bin/sh >> /etc/passwd
USER builder
RUN id -u > ~/id
ENTRYPOINT ["sh", "-c"]
CMD ["cat /greeting /file /copied /where ~/id; stat -c '%U %a' /greeting /kept"]
"#;

pub fn image(docker: &Docker) {
    let context = docker.scratch.join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("file"), "copied\n").unwrap();
    fs::write(context.join("Dockerfile"), DOCKERFILE).unwrap();
    let at = context.to_str().unwrap();
    docker.cli(&["build", "--network=none", "--tag=built", at]).ok();
    let done = docker.cli(&["run", "--rm", "--network=none", "built"]).ok();
    assert_eq!(done, "hello\ncopied\ncopied\n/made/by/docker\n1234\nuser 644\nroot 700");
    fs::write(context.join("Dockerfile"), "FROM box\nRUN exit 3\n").unwrap();
    let failed = docker.cli(&["build", "--network=none", at]);
    assert_eq!(failed.code, 3, "{failed}");
    assert!(failed.err.contains("returned a non-zero code: 3"), "{failed}");
}
