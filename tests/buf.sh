#!/usr/bin/env bash
# Runs buf, the protobuf linter and client, with the arguments given: tests/buf.sh lint proto
#
# It comes from npm as a ready binary, once, into build/npm; after that no network is needed.
# Exits 77 (ctest: skipped) where npm is absent, unless OM_REQUIRE_BUF=1 makes that an error.
set -euo pipefail

readonly version=1.75.0
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly repo
readonly cache=${OM_NPM_CACHE:-$repo/build/npm}
readonly buf=$cache/$version/node_modules/.bin/buf

if [ ! -x "$buf" ]; then
  if ! command -v npm > /dev/null; then
    if [ "${OM_REQUIRE_BUF:-0}" = 1 ]; then
      echo "buf.sh: npm is not installed and OM_REQUIRE_BUF=1 says that buf must run" >&2
      exit 1
    fi
    echo "buf.sh: npm is not installed: what needs buf is skipped" >&2
    exit 77
  fi
  mkdir -p "$cache"
  # Tests run side by side, and each may be the first. Nobody meets half an installation: it is
  # made beside its place and moved there whole.
  (
    flock 9
    if [ ! -x "$buf" ]; then
      rm -rf "$cache/new"
      mkdir "$cache/new"
      npm install --prefix "$cache/new" --ignore-scripts --no-audit --no-fund --loglevel=error \
        "@bufbuild/buf@$version" < /dev/null >&2
      rm -rf "${cache:?}/$version"
      mv "$cache/new" "$cache/$version"
    fi
  ) 9> "$cache/lock"
fi

# Its module cache belongs to the build tree too, and it asks nobody whether there is a newer one.
export BUF_CACHE_DIR=$cache/cache
exec "$buf" "$@"
