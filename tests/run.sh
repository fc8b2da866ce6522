#!/usr/bin/env bash
# Installs what the tests need, builds, and runs all of them with ctest.
#
#   tests/run.sh                 everything, as it is shipped (preset release)
#   tests/run.sh --preset asan   with the address and undefined behaviour sanitizers; or tsan, debug,
#                                fuzz (builds the fuzz targets only and replays their corpora)
#   tests/run.sh --label unit    only tests with this label: unit, integration, fuzz, sim, lint ...
#   tests/run.sh --no-install    never call apt-get; print what is missing and stop with code 3
#
# The last lines say how many tests passed; the exit code is 0 only if all did.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly repo
preset=release
label=

die() {
  echo "tests/run.sh: $*" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case "$1" in
    --preset | --label)
      [ -n "${2:-}" ] || die "$1 needs a value"
      [ "$1" = --preset ] && preset=$2 || label=$2
      shift
      ;;
    --no-install) export OM_NO_INSTALL=1 ;;
    -h | --help)
      sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "no option \"$1\"; see --help" ;;
  esac
  shift
done
case "$preset" in
  release | debug | asan | tsan | fuzz) ;;
  *) die "no preset \"$preset\"; there are: release debug asan tsan fuzz" ;;
esac

# shellcheck source=deploy/packages.sh
. "$repo/deploy/packages.sh"
om_need build test

cd "$repo"
readonly dir=build/$preset
jobs=$(nproc)
readonly jobs

configure=(cmake --preset "$preset" -DOM_TESTS=ON)
if command -v ccache > /dev/null; then
  export CCACHE_DIR=${CCACHE_DIR:-$repo/build/ccache}
  export CCACHE_BASEDIR=$repo
  configure+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
echo "== $preset: configuring"
mkdir -p "$dir"
"${configure[@]}" > "$dir/configure.log" 2>&1 || {
  tail -n 40 "$dir/configure.log" >&2
  die "configuring preset $preset failed; all of it is in $dir/configure.log"
}

targets=()
if [ "$preset" = fuzz ]; then
  # Whatever om_fuzzer() made: the tests proper are what the other presets are for.
  mapfile -t targets < <(ninja -C "$dir" -t targets all |
    sed -n 's/^\(\(fuzz\|replay\)_[A-Za-z0-9_]*\): phony$/\1/p' | sort)
  [ ${#targets[@]} -gt 0 ] || die "preset fuzz has no fuzz target"
  label=${label:-fuzz}
fi

echo "== $preset: building"
start=$SECONDS
build=(cmake --build "$dir" --parallel "$jobs")
[ ${#targets[@]} -eq 0 ] || build+=(--target "${targets[@]}")
NINJA_STATUS='[%f/%t, %es] ' "${build[@]}" < /dev/null || die "building preset $preset failed"
build_s=$((SECONDS - start))

echo "== $preset: testing"
symbolizer=$(command -v llvm-symbolizer-14 || true)
if [ -n "$symbolizer" ]; then
  export ASAN_SYMBOLIZER_PATH=$symbolizer TSAN_SYMBOLIZER_PATH=$symbolizer
fi
start=$SECONDS
rm -f "$dir/ctest.log"
code=0
# Most of a test is waiting: half as many again as there are processors keep these busy.
ctest --test-dir "$dir" --parallel "$((jobs + jobs / 2))" --output-on-failure --no-tests=error \
  ${label:+-L "$label"} < /dev/null 2>&1 | tee "$dir/ctest.log" || code=$?
test_s=$((SECONDS - start))

# ctest's own count: "100% tests passed, 0 tests failed out of 42"; skipped ones count as passed there.
read -r failed total < <(
  sed -n 's/^.*tests passed, \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\)$/\1 \2/p' \
    "$dir/ctest.log" | tail -n 1
) || true
skipped=$(grep -c '\*\*\*Skipped' "$dir/ctest.log" || true)
if [ -z "${total:-}" ] || [ "$total" -eq 0 ]; then
  echo "$preset: ctest ran no test" >&2
  exit 1
fi
[ "$failed" -eq 0 ] || [ "$code" -ne 0 ] || code=1
passed=$((total - failed - skipped))
echo "$passed $failed $skipped" > "$dir/counts"
echo
echo "== $preset: $total tests in $test_s s, after a build of $build_s s"
echo "$passed passed, $failed failed, $skipped skipped"
exit "$code"
