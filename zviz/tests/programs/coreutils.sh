mkdir -p d/e; echo text > d/e/f; ln -s e d/link; ln d/e/f d/hard
chmod 600 d/e/f; touch -d 2020-02-02 d/e/f
cp -a d copy; cmp copy/e/f d/e/f; [ "$(readlink copy/link)" = e ]
[ "$(stat -c '%a %Y' copy/e/f)" = "$(stat -c '%a %Y' d/e/f)" ]
mv copy moved; mv moved /tmp/moved; mv /tmp/moved back; test -f back/e/f
tar cf t.tar back; mkdir out; tar xf t.tar -C out; cmp out/back/e/f d/e/f
mkfifo pipe; (echo through > pipe) & read -r word < pipe; [ "$word" = through ]; wait
flock lock sh -c 'flock -n lock true && exit 1 || exit 0'
dd if=/dev/zero of=zeros bs=64k count=16 status=none; [ "$(stat -c %s zeros)" = 1048576 ]; truncate -s 3 zeros
split -n 2 zeros part.; cat part.* | cmp - zeros; sync zeros
[ "$(seq 3 | tac | paste -sd,)" = 3,2,1 ]; sort -R d/e/f > /dev/null; shred -u zeros
nice -n 5 timeout 5 stdbuf -oL date > /dev/null; nproc > /dev/null; df . > /dev/null; id > /dev/null; who > /dev/null
find . -name f -newermt 2020-01-01 -exec grep -q text {} +
rm -r d back out t.tar pipe lock part.*
[ -z "$(ls -A)" ]
echo done
