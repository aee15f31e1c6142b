# A session: look around, edit, move, run tests, look at the difference, commit. The repository is there already: made in
# a folder of another name, as a checkout for git's own environment.
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_DIR="$PWD/repository" GIT_WORK_TREE="$PWD" GIT_TEMPLATE_DIR= PYTHONDONTWRITEBYTECODE=1
git init -q; mkdir -p repository/info; echo /repository > repository/info/exclude
mkdir -p src/old tests
printf 'def twice(n):\n    return n + n + 1\n' > src/twice.py
printf 'import sys, unittest\nsys.path.insert(0, "src")\nfrom twice import twice\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(twice(2), 4)\n' > tests/test_twice.py
git add .; git commit -qm one
python3 -m unittest -q tests/test_twice.py 2> log && exit 1
sed -i 's/ + 1//' src/twice.py
python3 -m unittest -q tests/test_twice.py
mv src/old src/new; mv src/new src/older; ln -s src link; git diff --stat | grep -q twice.py
git checkout -q -b side; git add src; git commit -qm two; git stash list; git log --format=%s | head -n 1 | grep -qx two
git status --porcelain | grep -q tests && exit 1
grep -rn twice src | grep -q def
echo done
