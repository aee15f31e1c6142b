mkdir -p html; echo hello > html/index.html
cat > nginx.conf <<CONF
daemon off; worker_processes 2; pid $PWD/pid; error_log $PWD/log info; events {}
http {
  access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server { listen 127.0.0.1:7002; sendfile on; root $PWD/html; }
}
CONF
nginx -p "$PWD" -e "$PWD/log" -c "$PWD/nginx.conf" &
server=$!
get='my $s; for (1 .. 100) { $s = IO::Socket::INET->new("127.0.0.1:7002") and last; select undef, undef, undef, 0.1 }
die "no answer" unless $s; print $s "GET / HTTP/1.0\r\n\r\n"; print while <$s>'
perl -MIO::Socket::INET -e "$get" > answer || { cat log; exit 1; }
grep -q '^hello' answer; grep -q '200 OK' answer
kill -QUIT $server; wait $server
echo done
