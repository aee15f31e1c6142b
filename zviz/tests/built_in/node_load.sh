# A server in two processes that share a port.
cat > server.js <<'JS'
const cluster = require("cluster"), http = require("http");
if (cluster.isPrimary) {
  cluster.fork(); cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  http.createServer((question, answer) => {
    answer.statusCode = question.url === "/" ? 200 : 404;
    answer.end("hello\n");
  }).listen(7013, "127.0.0.1");
}
JS
node server.js > log 2>&1 &
server=$!
for try in $(seq 100); do python3 -c 'import socket; socket.create_connection(("127.0.0.1", 7013), 5)' 2> /dev/null && break; sleep 0.1; done
python3 -c "$LOAD" 7013 || { cat log; exit 1; }
kill $server; wait $server
echo done
