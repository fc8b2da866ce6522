#!/usr/bin/env bash
# clang-tidy, with the checks of .clang-tidy, over files that preset release compiles.
#
#   tests/tidy.sh                      all of server/, compat/, client/, tests/
#   tests/tidy.sh --changed HEAD~1     files changed since that commit (headers count as their .cc)
#   tests/tidy.sh --changed HEAD~1 --max 10
#   tests/tidy.sh FILE...
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$repo"
since=
max=0
files=()
while [ $# -gt 0 ]; do
  case "$1" in
    --changed) since=${2:?--changed needs a commit}; shift ;;
    --max) max=${2:?--max needs a number}; shift ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) echo "tests/tidy.sh: no option \"$1\"; see --help" >&2; exit 2 ;;
    *) files+=("$1") ;;
  esac
  shift
done

if [ ! -f build/release/compile_commands.json ]; then
  echo "tests/tidy.sh: build/release is not there; tests/run.sh makes it" >&2
  exit 2
fi
# That one compiles several files as one; here each has a command of its own, which finds what was
# generated where it was built.
readonly commands=build/tidy
cmake --preset release -B "$commands" -DOM_TESTS=ON -DCMAKE_UNITY_BUILD=OFF > /dev/null
sed -i "s|$repo/$commands/|$repo/build/release/|g" "$commands/compile_commands.json"

if [ -n "$since" ]; then
  git rev-parse --verify --quiet "$since^{commit}" > /dev/null || {
    echo "tests/tidy.sh: no commit \"$since\" here" >&2
    exit 2
  }
  # A header is read through the source file of its name; one without goes with whoever includes it.
  mapfile -t files < <(git diff --name-only --diff-filter=d "$since" -- '*.cc' '*.h' |
    sed 's/\.h$/.cc/' | sort -u | while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
elif [ ${#files[@]} -eq 0 ]; then
  mapfile -t files < <(git ls-files '*.cc')
fi

# Preset release compiles every source file there is; one that it does not know is a dead one.
known=()
for file in "${files[@]}"; do
  if ! grep -qF "\"file\": \"$repo/$file\"" "$commands/compile_commands.json"; then
    echo "tests/tidy.sh: no target of preset release compiles $file" >&2
    exit 1
  fi
  known+=("$file")
done
if [ ${#known[@]} -eq 0 ]; then
  echo "clang-tidy: no file to read."
  exit 0
fi
if [ "$max" -gt 0 ] && [ ${#known[@]} -gt "$max" ]; then
  echo "Reading $max of ${#known[@]} files; tests/tidy.sh without --max reads the rest."
  known=("${known[@]:0:max}")
fi
printf '%s\0' "${known[@]}" |
  xargs -0 -n 1 -P "$(nproc)" sh -c '
    # Its count of warnings in other people'"'"'s headers, which it does not show, is noise.
    if found=$(clang-tidy-14 -p build/tidy --quiet "$1" 2>&1); then
      echo "ok  $1"
    else
      printf "%s\n" "$found" | grep -v "warnings generated\.$"
      exit 1
    fi' tidy
echo "clang-tidy: ${#known[@]} files, nothing found."
