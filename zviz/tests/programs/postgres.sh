export PATH="$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH"
initdb -D data -A trust -U me > log 2>&1 || { cat log; exit 1; }
pg_ctl -D data -o "-k /tmp -p 7003 -h 127.0.0.1" -w -l log start > /dev/null || { cat log; exit 1; }
createdb -h 127.0.0.1 -p 7003 -U me bench
pgbench -h /tmp -p 7003 -U me -q -i bench 2> /dev/null
pgbench -h 127.0.0.1 -p 7003 -U me -n -c 4 -j 2 -t 50 bench | grep -q 'actually processed: 200/200'
pg_dump -h /tmp -p 7003 -U me bench | grep -q pgbench_accounts
pg_ctl -D data -m fast -w stop > /dev/null
echo done
