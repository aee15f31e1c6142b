export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git init -q -b main origin
echo one > origin/f; git -C origin add f; git -C origin commit -qm one
git clone -q origin clone
cd clone; echo two >> f; git commit -qam two; git tag -m v1 v1; git branch side; git -c advice.detachedHead=false checkout -q HEAD~1
git checkout -q main; git worktree add -q ../tree side; git gc -q; git fsck --no-progress
git push -q origin main:copy
[ "$(git log --format=%s | paste -sd,)" = two,one ]; [ -z "$(git status --porcelain)" ]
git stash list; git grep -q two; git archive HEAD | tar t > /dev/null
cd ..; git clone -q --bare "file://$PWD/clone" bare.git
echo done
