#!/usr/bin/env bash
# The public API's rules: buf lint, and buf breaking against the committed image of the API.
#
#   tests/proto_lint.sh                    both checks; 77 (ctest: skipped) where buf is not to be had
#   tests/proto_lint.sh --update-baseline  makes today's API the one that must not break
#
# The baseline is replaced on purpose, in a commit of its own, and not at all from 1.0 on.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$repo/proto"
readonly baseline=baseline.binpb

if [ "${1:-}" = --update-baseline ]; then
  # Comments and positions are left out: they are no promise, and would change with every edit.
  "$repo/tests/buf.sh" build --exclude-source-info --as-file-descriptor-set -o "$baseline"
  echo "proto/$baseline is today's API now."
  exit
fi

"$repo/tests/buf.sh" lint
echo "buf lint: nothing found."
if [ ! -f "$baseline" ]; then
  echo "proto/$baseline is missing: tests/proto_lint.sh --update-baseline makes it" >&2
  exit 1
fi
"$repo/tests/buf.sh" breaking --against "$baseline"
echo "buf breaking: nothing found."
