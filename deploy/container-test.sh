#!/usr/bin/env bash
# Builds the image of deploy/Dockerfile and runs it once: healthy, answering on both doors, stopped
# cleanly. Needs root and Debian, and nothing that runs: the base image is made here with debootstrap,
# the image with buildah, which isolates with chroot only, so this works inside containers and
# virtual machines that may not make namespaces of their own.
#
#   deploy/container-test.sh            build and run
#   deploy/container-test.sh --clean    remove what it keeps in build/container
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly repo
readonly dir=$repo/build/container
readonly image=localhost/omd:test base=localhost/debian:12-slim
readonly packet_port=21214 grpc_port=21216  # Chroot isolation shares the host's network.

die() {
  echo "container-test: $*" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || die "needs root: debootstrap and chroot do"
# shellcheck source=deploy/packages.sh
. "$repo/deploy/packages.sh"
om_need container

export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah=(buildah --root "$dir/store" --runroot "$dir/run")
container=
runner=

cleanup() {
  if [ -n "$runner" ] && kill -0 "$runner" 2> /dev/null; then
    kill -TERM "$runner" 2> /dev/null || true
    wait "$runner" 2> /dev/null || true
  fi
  [ -z "$container" ] || "${buildah[@]}" rm "$container" > /dev/null 2>&1 || true
}
trap cleanup EXIT

if [ "${1:-}" = --clean ]; then
  [ ! -d "$dir/store" ] || "${buildah[@]}" rmi --all --force > /dev/null
  rm -rf "$dir"
  exit
fi
mkdir -p "$dir"

# Names without a registry mean images made here; nothing is pulled, so no signature is checked.
cat > "$dir/registries.conf" << 'END'
unqualified-search-registries = ["localhost"]
END
cat > "$dir/policy.json" << 'END'
{"default": [{"type": "insecureAcceptAnything"}]}
END
export CONTAINERS_REGISTRIES_CONF=$dir/registries.conf

if ! "${buildah[@]}" inspect --type image "$base" > /dev/null 2>&1; then
  echo "== Making the base image with debootstrap"
  rm -rf "$dir/base"
  debootstrap --variant=minbase bookworm "$dir/base" > "$dir/debootstrap.log" 2>&1 || {
    tail -n 20 "$dir/debootstrap.log" >&2
    die "debootstrap failed"
  }
  scratch=$("${buildah[@]}" from scratch)
  "${buildah[@]}" add --quiet "$scratch" "$dir/base" / > /dev/null
  "${buildah[@]}" commit --quiet --rm --signature-policy "$dir/policy.json" "$scratch" "$base" > /dev/null
  rm -rf "$dir/base"
fi

echo "== Building the image"
# The docker format has health checks, the OCI one does not.
"${buildah[@]}" bud --format docker --pull-never --layers --signature-policy "$dir/policy.json" \
  --tag "$image" --file "$repo/deploy/Dockerfile" "$repo"
"${buildah[@]}" inspect --type image "$image" > "$dir/inspect.json"
grep -q '"Healthcheck"' "$dir/inspect.json" || die "the image has no health check"

container=$("${buildah[@]}" from --pull-never --signature-policy "$dir/policy.json" "$image")
readonly entry=(tini -- omd)
grep -q '"tini"' "$dir/inspect.json" || die "the image does not start ${entry[*]}"
in_container() { "${buildah[@]}" run "$container" -- "$@"; }

echo "== Nothing but the runtime packages is needed"
for program in omd omctl omcrm om-packet; do
  in_container ldd "/usr/bin/$program" > "$dir/ldd.txt"
  ! grep 'not found' "$dir/ldd.txt" || die "$program misses libraries"
done

echo "== Running it"
in_container sh -c "mkdir -p /etc/opensvc && printf '[listener]\naddr = 127.0.0.1\nport = %s\ngrpc_port = %s\n' \
  $packet_port $grpc_port > /etc/opensvc/node.conf"
in_container omd > "$dir/omd.log" 2>&1 &
runner=$!
deadline=$((SECONDS + 30))
until in_container omctl health > "$dir/health.txt" 2>&1; do
  kill -0 "$runner" 2> /dev/null || { tail -n 30 "$dir/omd.log" >&2; die "omd ended"; }
  [ "$SECONDS" -lt "$deadline" ] || { cat "$dir/health.txt" "$dir/omd.log" >&2; die "not healthy in 30 s"; }
  sleep 0.2
done
cat "$dir/health.txt"
in_container omctl daemon status
in_container om-packet --server "127.0.0.1:$packet_port" --action daemon_status > "$dir/status.json"
grep -q '"cluster"' "$dir/status.json" || die "om-packet got no status: $(head -c 300 "$dir/status.json")"
echo "The packet door answered $(wc -c < "$dir/status.json") bytes."

echo "== Stopping it"
in_container omctl daemon stop
code=0
wait "$runner" || code=$?
runner=
[ "$code" -eq 0 ] || { tail -n 30 "$dir/omd.log" >&2; die "omd ended with code $code"; }
if in_container omctl health > "$dir/health.txt" 2>&1; then
  die "omctl health says healthy with no daemon there"
fi
# Chroot isolation has no process 1 of its own. Where the kernel lets us have one, the entry point is
# run as it: a service comes and goes, nothing of it stays behind, and SIGTERM ends all.
if ! unshare --pid --fork --mount true 2> /dev/null; then
  echo "container-test: no process namespace here: the entry point was not tried as process 1"
else
  echo "== Running it as process 1, with a service"
  mounts=$("${buildah[@]}" mount "$container")
  cat > "$mounts/etc/opensvc/clock.conf" << 'END'
[DEFAULT]
id = 7f7c9f6e-37a5-4a6c-8d6a-0b8f3a1d2c4e

[app#1]
type = simple
start = /usr/bin/tail -f /dev/null
END
  # The volumes' folders are in the image's own tree here.
  printf '[listener]\naddr = 127.0.0.1\nport = %s\ngrpc_port = %s\n' \
    "$packet_port" "$grpc_port" > "$mounts/etc/opensvc/node.conf"
  # Mounted in the new namespace only, so nothing is left mounted here.
  unshare --pid --fork --kill-child --mount sh -c \
    'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && root=$1 && shift && exec chroot "$root" "$@"' \
    entry "$mounts" "${entry[@]}" > "$dir/omd-1.log" 2>&1 &
  runner=$!
  wait_for_pid_1() {
    [ -n "$(cat "/proc/$runner/task/$runner/children" 2> /dev/null)" ]
  }
  deadline=$((SECONDS + 30))
  until wait_for_pid_1; do
    [ "$SECONDS" -lt "$deadline" ] || die "no process 1 in 30 s"
    sleep 0.1
  done
  first=$(tr -d ' ' < "/proc/$runner/task/$runner/children")
  inside() { nsenter --target "$first" --pid --mount --root --wd "$@"; }
  until inside omctl health > "$dir/health.txt" 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { cat "$dir/health.txt" "$dir/omd-1.log" >&2; die "not healthy"; }
    sleep 0.2
  done
  for order in start stop start stop; do
    inside omctl clock "$order" --wait
  done
  zombies() {
    inside sh -c 'grep -l "^State:.Z" /proc/[0-9]*/status' > "$dir/zombies.txt" 2> /dev/null
  }
  deadline=$((SECONDS + 10))
  while zombies; do
    [ "$SECONDS" -lt "$deadline" ] || die "not reaped in 10 s: $(cat "$dir/zombies.txt")"
    sleep 0.1
  done
  kill -TERM "$first"
  code=0
  wait "$runner" || code=$?
  runner=
  [ "$code" -eq 0 ] || { tail -n 30 "$dir/omd-1.log" >&2; die "process 1 ended with code $code"; }
fi
echo "container-test: the image was built, was healthy, answered on both doors and stopped cleanly."
