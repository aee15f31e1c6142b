# A package from a tarball, with a script that runs when it is installed, and one that the repository runs.
mkdir -p package; cd package
printf '{"name":"small","version":"1.0.0","bin":{"small":"run.js"},"scripts":{"postinstall":"node run.js > installed"}}\n' > package.json
printf '#!/usr/bin/env node\nconsole.log("small")\n' > run.js; chmod +x run.js
cd ..; tar czf small-1.0.0.tgz package; mkdir -p repository; cd repository
printf '{"name":"repository","version":"1.0.0","scripts":{"test":"small"}}\n' > package.json
npm install --offline --no-audit --no-fund --loglevel=error ../small-1.0.0.tgz
grep -qx small node_modules/small/installed
npm test --silent | grep -qx small
echo done
