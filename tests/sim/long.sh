#!/usr/bin/env bash
# Simulates clusters for a long time, on all cores, each with seeds of its own.
#   tests/sim/long.sh [MINUTES [FIRST_SEED]]    (60 minutes, seeds from a million on)
# The build to use: OM_BIN_DIR (build/release/bin).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

minutes=${1:-60}
first=${2:-1000000}
bin=${OM_BIN_DIR:-build/release/bin}/om_cluster_sim_test
[ -x "$bin" ] || { echo "$bin is missing: cmake --build --preset release --target om_cluster_sim_test" >&2; exit 1; }
logs=$(mktemp -d)
pids=()
for ((i = 0; i < $(nproc); ++i)); do
  OM_SIM_SECONDS=$((minutes * 60)) OM_SIM_LEAST=1 OM_SIM_FIRST=$((first + i * 10000000)) \
    "$bin" --gtest_filter='*RandomTroubles' > "$logs/$i" 2>&1 &
  pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
grep -h 'schedules, seeds\|OM_SIM_SEED=\|Which is' "$logs"/*
rm -rf "$logs"
exit "$failed"
