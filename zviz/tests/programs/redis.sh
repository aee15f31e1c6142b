redis-server --bind 127.0.0.1 --port 7001 --dir "$PWD" --appendonly yes > log 2>&1 &
server=$!
for try in $(seq 100); do redis-cli -p 7001 ping > /dev/null 2>&1 && break; sleep 0.1; done
redis-cli -p 7001 set key value | grep -q OK
redis-benchmark -p 7001 -q -n 2000 -c 20 -t set,get,lpush > /dev/null
redis-cli -p 7001 bgsave > /dev/null
for try in $(seq 100); do test -s dump.rdb && break; sleep 0.1; done
test -s dump.rdb || { cat log; exit 1; }
[ "$(redis-cli -p 7001 get key)" = value ]
redis-cli -p 7001 shutdown nosave || true
wait $server
echo done
