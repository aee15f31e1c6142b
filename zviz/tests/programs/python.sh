python3 - <<'PYTHON'
import asyncio, mmap, multiprocessing, os, signal, socket, sqlite3, ssl, subprocess, tempfile, threading
from concurrent.futures import ProcessPoolExecutor

base = sqlite3.connect("base.db")
base.execute("pragma journal_mode=wal")
base.execute("create table t(a)")
base.executemany("insert into t values (?)", [(i,) for i in range(1000)])
base.commit()
assert base.execute("select count(*) from t").fetchone() == (1000,)
base.close()

assert subprocess.run(["tr", "a", "b"], input="aa", capture_output=True, text=True).stdout == "bb"
seen = []
threads = [threading.Thread(target=seen.append, args=(i,)) for i in range(100)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(seen) == 100
with ProcessPoolExecutor(2) as pool:
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
with multiprocessing.Manager() as manager:
    shared = manager.list([1]); shared.append(2); assert len(shared) == 2

async def talk():
    async def answer(reader, writer):
        writer.write(await reader.readline()); writer.close()
    server = await asyncio.start_server(answer, "localhost", 0)
    reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert (await child.communicate(b"x"))[0] == b"x"
asyncio.run(talk())

with tempfile.TemporaryDirectory() as folder, open(folder + "/f", "w+b") as file:
    file.truncate(4096)
    with mmap.mmap(file.fileno(), 0) as memory:
        memory[:2] = b"ok"
    assert file.read(2) == b"ok"
assert socket.gethostbyname(socket.gethostname()).startswith("127.")
ssl.create_default_context()
signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(1); signal.pause()
os.sched_getaffinity(0); os.getloadavg(); os.urandom(8); os.memfd_create("m")
PYTHON
python3 -m venv --without-pip venv && venv/bin/python -c 'import sys; assert sys.prefix != sys.base_prefix'
echo done
