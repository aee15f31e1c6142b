# Two workers, under load, before and after a reload.
mkdir -p html; echo hello > html/index.html
cat > nginx.conf <<CONF
daemon off; worker_processes 2; pid $PWD/pid; error_log $PWD/log info; events {}
http {
  access_log $PWD/access; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server { listen 127.0.0.1:7012; sendfile on; gzip on; root $PWD/html; }
}
CONF
nginx -p "$PWD" -e "$PWD/log" -c "$PWD/nginx.conf" &
server=$!
for try in $(seq 100); do test -s pid && break; sleep 0.1; done
python3 -c "$LOAD" 7012 || { tail log; exit 1; }
kill -HUP $server; sleep 1; python3 -c "$LOAD" 7012
[ "$(wc -l < access)" = 4000 ]
kill -QUIT $server; wait $server
echo done
