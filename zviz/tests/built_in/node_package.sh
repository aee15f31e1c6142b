# What an installer does: unpack into node_modules, run scripts by a shell, link programs, require what is installed.
mkdir -p package; printf '{"name":"small","main":"m.js"}\n' > package/package.json; echo 'module.exports = 42' > package/m.js
tar czf small.tgz package; rm -r package
node -e '
const fs = require("fs"), zlib = require("zlib"), { spawnSync } = require("child_process");
zlib.gunzipSync(fs.readFileSync("small.tgz"));
fs.mkdirSync("node_modules/.bin", { recursive: true });
const run = line => { const { status, stderr } = spawnSync("sh", ["-c", line]); if (status !== 0) throw String(stderr); };
run("tar xzf small.tgz && mv package node_modules/small && echo installed > node_modules/small/log");
fs.symlinkSync("../small/m.js", "node_modules/.bin/small");
if (require(process.cwd() + "/node_modules/small") !== 42) throw 1;'
echo done
