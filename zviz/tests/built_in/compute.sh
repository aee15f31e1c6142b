python3 - <<'PYTHON'
import array, asyncio, decimal, hashlib, json, math, multiprocessing, random, re, socket, sqlite3, tempfile, threading, zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

assert math.fsum(x / 7 for x in range(70000)) > 0 and decimal.Decimal(2).sqrt() > 1
assert json.loads(json.dumps({"a": [1, 2]})) == {"a": [1, 2]} and zlib.decompress(zlib.compress(b"a" * 99)) == b"a" * 99
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(lambda x: x * x, range(5))) == [0, 1, 4, 9, 16]
with ProcessPoolExecutor(2) as pool:
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
base = sqlite3.connect("base.db")
base.execute("create table t(a)")
base.executemany("insert into t values (?)", [(i,) for i in range(1000)])
base.commit()
assert base.execute("select sum(a) from t").fetchone() == (499500,)
with tempfile.NamedTemporaryFile() as file:
    file.write(random.randbytes(1 << 20))
async def talk():
    left, right = socket.socketpair()
    reader, _ = await asyncio.open_unix_connection(sock=left)
    right.send(b"x\n")
    assert await reader.readline() == b"x\n"
    child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert (await child.communicate(b"x"))[0] == b"x"
asyncio.run(talk())
PYTHON
echo done
