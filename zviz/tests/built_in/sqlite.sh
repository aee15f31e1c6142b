# Several who write and read at once, in both kinds of journal; by the program as well where it is installed.
python3 - <<'PYTHON'
import multiprocessing, sqlite3
def write(i):
    base = sqlite3.connect("base.db", timeout=60)
    for j in range(50):
        base.execute("insert into t values (?, ?)", (i, j)); base.commit()
base = sqlite3.connect("base.db")
for mode in ["wal", "delete"]:
    assert base.execute("pragma journal_mode=" + mode).fetchone() == (mode,)
    base.execute("create table t (a, b)"); base.execute("create index i on t (b)"); base.commit()
    writers = [multiprocessing.Process(target=write, args=(i,)) for i in range(4)]
    [writer.start() for writer in writers]; [writer.join() for writer in writers]
    assert base.execute("select count(*), sum(b) from t").fetchone() == (200, 4900)
    base.execute("drop table t"); base.commit(); base.execute("vacuum")
assert base.execute("pragma integrity_check").fetchone() == ("ok",)
PYTHON
if command -v sqlite3 > /dev/null; then
    sqlite3 own.db 'create table t (a); insert into t values (1), (2); select sum(a) from t;' | grep -qx 3
    sqlite3 own.db .dump | sqlite3 copy.db; sqlite3 copy.db 'select count(*) from t' | grep -qx 2
fi
echo done
