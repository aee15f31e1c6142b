//! Calls that are held while the container is paused.

use super::callers::Caller;
use super::parts::until;
use super::{each, support::skip};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

fn zviz(caller: &Caller, arguments: &[&str]) -> Output {
    let mut zviz = caller.program(caller.place.path().join("zviz"));
    zviz.arg("--root").arg(caller.state()).args(arguments).output().unwrap()
}

/// One call waits for somebody who decides about it, another for the other end of a FIFO.
#[test]
fn held_calls_are_no_obstacle_and_are_made_again() {
    const TEST: &str = "held_calls_are_no_obstacle_and_are_made_again";
    each(TEST, &[], |caller| {
        let folder = caller.work.join("shared");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("secret"), "secret\n").unwrap();
        let fifo = folder.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        for (path, mode) in [(&folder, 0o777), (&fifo, 0o666)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let socket = caller.work.join("paused.socket");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let id = format!("paused-{}", std::process::id());
        let share = format!("{}:/shared", folder.to_str().unwrap());
        let flags = ["--profile", "ask", "--id", &id, "--rw", &share, "--ask", socket.to_str().unwrap()];
        let script = "cat /shared/fifo & cat /shared/secret; wait";
        let sandbox = caller.sandbox(&flags, &["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let (mut client, _) = listener.accept().unwrap();
        let (give, questions) = channel();
        let read = client.try_clone().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(read).lines().map_while(Result::ok) {
                let question: Value = serde_json::from_str(&line).unwrap();
                let _ = give.send((question["arguments"]["name"].as_str().unwrap().to_owned(), question["id"].clone()));
            }
        });
        // The FIFO may be opened, which waits then; about the other nothing is said.
        let mut answer = |id: &Value| writeln!(client, "{}", json!({"id": id, "verdict": "allow"})).unwrap();
        for _ in 0..2 {
            let (name, question) = questions.recv_timeout(Duration::from_secs(20)).unwrap();
            if name == "/shared/fifo" {
                answer(&question);
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        let started = Instant::now();
        let paused = zviz(caller, &["pause", &id]);
        let said = String::from_utf8_lossy(&paused.stderr).into_owned();
        let can = paused.status.success();
        if can {
            assert!(started.elapsed() < Duration::from_secs(8), "as {}: {:?}", caller.name(), started.elapsed());
            let state = String::from_utf8(zviz(caller, &["state", &id]).stdout).unwrap();
            assert!(state.contains("paused"), "as {}: {state}", caller.name());
            let resumed = zviz(caller, &["resume", &id]);
            assert!(resumed.status.success(), "as {}: {resumed:?}", caller.name());
        } else {
            assert!(said.contains("no cgroup"), "as {}: {said}", caller.name());
            skip(TEST, &format!("as {}: {}", caller.name(), said.trim()));
        }
        // Both are asked about again, having begun again.
        let writer = std::thread::spawn(move || fs::write(fifo, "by fifo\n").unwrap());
        for _ in 0..if can { 2 } else { 0 } {
            let (_, question) = questions.recv_timeout(Duration::from_secs(20)).unwrap();
            answer(&question);
        }
        if !can {
            // It ends by itself where nobody answers.
            client.shutdown(std::net::Shutdown::Both).unwrap();
        }
        let output = sandbox.wait_with_output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<&str> = out.lines().collect();
        lines.sort_unstable();
        let expected = if can { &["by fifo", "secret"][..] } else { &["by fifo"] };
        assert_eq!(lines, expected, "as {}", caller.name());
        until("the writer is done", Duration::from_secs(3), || writer.is_finished().then_some(()));
    });
}
