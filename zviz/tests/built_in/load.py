# What many ask a server for at once: every answer must come, and be the right one.
import http.client, sys, threading
port, answers = int(sys.argv[1]), []
def ask():
    for again in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for path in ["/"] * 49 + ["/no-such-thing"]:
            connection.request("GET", path)
            answer = connection.getresponse()
            answers.append((path, answer.status, answer.read()))
        connection.close()
askers = [threading.Thread(target=ask) for _ in range(8)]
[asker.start() for asker in askers]; [asker.join() for asker in askers]
assert len(answers) == 2000, len(answers)
for path, status, text in answers:
    assert (status, text) == (200, b"hello\n") if path == "/" else status == 404, (path, status, text)
