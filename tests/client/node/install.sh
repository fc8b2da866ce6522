#!/usr/bin/env bash
# Installs the packages of the Node client, as package-lock.json has them, and prints the folder that
# NODE_PATH must name.
#
# They go into build/npm, once for a lock file; after that no network is needed. Exits 77 (ctest:
# skipped) where node, npm or the network is absent, unless OM_REQUIRE_NODE=1 makes that an error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly here
readonly repo=$here/../../..
readonly cache=${OM_NPM_CACHE:-$repo/build/npm}
version=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum | cut -c 1-16)
readonly version
readonly modules=$cache/node-client-$version/node_modules

skip() {
  if [ "${OM_REQUIRE_NODE:-0}" = 1 ]; then
    echo "install.sh: $* and OM_REQUIRE_NODE=1 says that the Node client must run" >&2
    exit 1
  fi
  echo "install.sh: $*: what needs the Node client is skipped" >&2
  exit 77
}

command -v node > /dev/null || skip "node is not installed"
if [ ! -d "$modules" ]; then
  command -v npm > /dev/null || skip "npm is not installed"
  mkdir -p "$cache"
  # Nobody meets half an installation: it is made beside its place and moved there whole.
  (
    flock 9
    if [ ! -d "$modules" ]; then
      rm -rf "$cache/node-client-new"
      mkdir "$cache/node-client-new"
      cp "$here/package.json" "$here/package-lock.json" "$cache/node-client-new/"
      timeout 120 npm ci --prefix "$cache/node-client-new" --ignore-scripts --no-audit --no-fund \
        --prefer-offline --fetch-retries=1 --fetch-timeout=20000 \
        --loglevel=error < /dev/null >&2 || exit 1
      mv "$cache/node-client-new" "$(dirname "$modules")"
    fi
  ) 9> "$cache/node-client-lock" || skip "npm cannot fetch the packages"
fi
echo "$modules"
