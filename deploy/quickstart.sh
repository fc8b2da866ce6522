#!/usr/bin/env bash
# One node of omd with a sample service, from a bare Debian 12 machine, in one command.
#
#   deploy/quickstart.sh            install what is missing, build, start, show the status
#   deploy/quickstart.sh --stop     stop the daemon and the sample service that it started
#   deploy/quickstart.sh --clean    the same, and remove the root folder
#
#   --root DIR     the node's folder: configuration, state, logs
#                  (default: $XDG_STATE_HOME/omd-quickstart, that is ~/.local/state/omd-quickstart)
#   --no-install   never call apt-get; print what is missing and stop with code 3
#   --no-build     use the programs of build/release as they are
#
# Nothing outside the root folder and build/ is touched, /etc/opensvc least of all.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly repo
readonly bin=$repo/build/release/bin
readonly marker=.omd-quickstart  # In the root folder: made by this script, so --clean may remove it.
readonly start_limit_s=30
readonly stop_limit_s=60

root=${XDG_STATE_HOME:-${HOME:?HOME is not set; give --root DIR}/.local/state}/omd-quickstart
action=start
build=1

die() {
  echo "quickstart: $*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case "$1" in
    --root)
      [ -n "${2:-}" ] || die "--root needs a folder"
      root=$2
      shift
      ;;
    --stop) action=stop ;;
    --clean) action=clean ;;
    --no-install) export OM_NO_INSTALL=1 ;;
    --no-build) build=0 ;;
    -h | --help)
      sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "no option \"$1\"; see --help" ;;
  esac
  shift
done
root=$(realpath -m -- "$root")
case "$root" in
  / | /etc | /etc/opensvc* | /var | /var/lib/opensvc* | /var/log/opensvc* | "$HOME" | "$repo")
    die "$root is no folder for a sample node; give another --root"
    ;;
esac
case "$root" in
  *[[:space:]]*) die "\"$root\" has white space, which a command line in a service cannot name" ;;
esac

say() { printf '\n== %s\n' "$*"; }

# running_pid: prints the pid of the omd that this script started on this root and that still
# runs. The pid alone proves nothing after a reboot: the process must also be an omd on this root.
running_pid() {
  local pid
  pid=$(cat "$root/quickstart.pid" 2> /dev/null) || return 1
  case "$pid" in
    '' | *[!0-9]*) return 1 ;;
  esac
  [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' '\n' < "/proc/$pid/cmdline" | {
    read -r program
    [ "${program##*/}" = omd ] && grep -qxF -- "$root"
  } || return 1
  echo "$pid"
}

# wait_until SECONDS COMMAND...: true as soon as the command is, false once the time is over.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

gone() { ! kill -0 "$1" 2> /dev/null; }
taken() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# free_port FIRST OTHER: the first free port from FIRST on that is not OTHER.
free_port() {
  local port
  for ((port = $1; port < $1 + 1000; port += 10)); do
    if [ "$port" -ne "$2" ] && ! taken "$port"; then
      echo "$port"
      return
    fi
  done
  die "no free port among $1, $(($1 + 10)) ... $(($1 + 990)) on 127.0.0.1"
}

# setting KEY: the value of a [listener] keyword in node.conf as this script wrote it.
setting() { sed -n "s/^$1 *= *//p" "$root/etc/node.conf" | tail -n 1; }

# choose_ports: writes free ports into node.conf, keeping those that are there and free.
choose_ports() {
  local packet grpc
  if [ ! -f "$root/etc/node.conf" ]; then
    (
      umask 077
      cat > "$root/etc/node.conf" << 'END'
# Written by deploy/quickstart.sh; changes are picked up while omd runs.
[listener]
# Only this machine may connect. The default, 0.0.0.0, is for real clusters.
addr = 127.0.0.1
port = 1214
grpc_port = 1216
END
    )
  fi
  packet=$(setting port)
  grpc=$(setting grpc_port)
  if taken "${packet:=1214}"; then
    local chosen
    chosen=$(free_port $((packet + 10)) "${grpc:-0}")
    echo "Port $packet is taken: the packet listener gets $chosen."
    sed -i "s/^port *=.*/port = $chosen/" "$root/etc/node.conf"
    packet=$chosen
  fi
  if taken "${grpc:=1216}"; then
    local chosen
    chosen=$(free_port $((grpc + 10)) "$packet")
    echo "Port $grpc is taken: gRPC over TCP gets $chosen."
    sed -i "s/^grpc_port *=.*/grpc_port = $chosen/" "$root/etc/node.conf"
  fi
}

make_root() {
  mkdir -p "$root"
  if [ ! -e "$root/$marker" ]; then
    [ -z "$(ls -A "$root")" ] || die "$root is not empty and was not made by this script"
    chmod 700 "$root"
    touch "$root/$marker"
  fi
  mkdir -p "$root/etc/sample.d" "$root/var" "$root/log" "$root/tmp"
}

# The sample: a program that writes the time into a file every five seconds, and nothing else.
make_sample() {
  [ ! -f "$root/etc/sample.conf" ] || return 0
  cat > "$root/etc/sample.d/clock" << 'END'
#!/bin/sh
# clock FILE: keeps the time of day in FILE until it is told to stop.
trap 'rm -f "$1"; exit 0' TERM INT
while :; do
  date > "$1"
  sleep 5 &
  wait $!
done
END
  chmod +x "$root/etc/sample.d/clock"
  cat > "$root/etc/sample.conf" << END
[DEFAULT]
id = $(cat /proc/sys/kernel/random/uuid)

# An app of type simple is one process: omd starts it, finds it again by its command line, and
# stops it with SIGTERM.
[app#1]
type = simple
start = $root/etc/sample.d/clock $root/var/sample.time
END
}

build_programs() {
  say "Building omd, omctl, omcrm and om-packet (a first build takes about ten minutes on two cores)"
  local configure=(cmake --preset release -S "$repo")
  if command -v ccache > /dev/null; then
    export CCACHE_DIR=${CCACHE_DIR:-$repo/build/ccache}
    configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  # Tests need more packages; a tree that tests/run.sh has configured keeps them.
  [ -f "$repo/build/release/CMakeCache.txt" ] || configure+=(-DOM_TESTS=OFF)
  mkdir -p "$repo/build"
  (cd "$repo" && "${configure[@]}") > "$repo/build/quickstart-configure.log" 2>&1 || {
    tail -n 30 "$repo/build/quickstart-configure.log" >&2
    die "configuring failed"
  }
  NINJA_STATUS='[%f/%t, %es] ' cmake --build "$repo/build/release" --parallel "$(nproc)" \
    --target omd omctl omcrm om-packet < /dev/null || die "the build failed"
}

answers() { "$bin/omctl" --root "$root" daemon status > /dev/null 2>&1; }
answers_or_died() { gone "$1" || answers; }

start_daemon() {
  say "Starting omd on $root"
  choose_ports
  # A session of its own: it outlives this terminal, and Ctrl-C here does not reach it.
  setsid "$bin/omd" --root "$root" < /dev/null >> "$root/log/omd.out" 2>&1 &
  local pid=$!
  echo "$pid" > "$root/quickstart.pid"
  disown
  if ! wait_until "$start_limit_s" answers_or_died "$pid" || gone "$pid"; then
    echo "The end of $root/log/omd.out:" >&2
    tail -n 20 "$root/log/omd.out" >&2
    kill "$pid" 2> /dev/null || true
    rm -f "$root/quickstart.pid"
    die "omd did not get ready within $start_limit_s s"
  fi
  echo "omd runs: pid $pid, packets on 127.0.0.1:$(setting port), gRPC on 127.0.0.1:$(setting grpc_port)"
}

show_status() {
  say "Status over gRPC: omctl daemon status"
  "$bin/omctl" --root "$root" daemon status
  say "Status over the legacy protocol, encrypted, over TCP: om-packet --server 127.0.0.1 --action daemon_status"
  local reply
  reply=$("$bin/om-packet" --root "$root" --server 127.0.0.1 --action daemon_status --pretty)
  # The whole document is long: its head shows what it is.
  printf '%s\n' "$reply" | sed -n '1,20p'
  echo "... ($(printf '%s\n' "$reply" | wc -l) lines)"
}

show_next() {
  cat << END

== What to try next
  PATH=$bin:\$PATH
  omctl --root $root daemon status
  omctl --root $root sample stop --wait       # and start, status, clear
  om-packet --root $root --server 127.0.0.1 --action set_service_monitor \\
    --option path=sample --option global_expect=started
  omctl --root $root daemon watch
  omctl --root $root node set --param listener.port --value $(($(setting port) + 100))
  om-packet --root $root --server 127.0.0.1 --action daemon_status --pretty
  om-packet --root $root --action daemon_blacklist_status --pretty
  omctl --root $root node logs --follow
  $repo/deploy/quickstart.sh --root $root --stop
END
}

do_start() {
  local pid
  # shellcheck source=deploy/packages.sh
  . "$repo/deploy/packages.sh"
  om_need build
  [ "$build" = 0 ] || build_programs
  for program in omd omctl omcrm om-packet; do
    [ -x "$bin/$program" ] || die "$bin/$program is not there; run without --no-build"
  done
  make_root
  make_sample
  if pid=$(running_pid); then
    say "omd already runs on $root: pid $pid"
  else
    start_daemon
    say "Starting the sample service: omctl sample start --wait"
    "$bin/omctl" --root "$root" sample start --wait
    wait_until "$start_limit_s" test -s "$root/var/sample.time" ||
      die "the sample service was ordered to start and did not; see $root/log/sample.log"
  fi
  show_status
  show_next
}

do_stop() {
  local pid
  if [ ! -e "$root/$marker" ]; then
    echo "Nothing to stop: $root was not made by this script."
    return
  fi
  if ! pid=$(running_pid); then
    echo "omd does not run on $root."
    rm -f "$root/quickstart.pid"
  else
    # Stopping the daemon leaves instances up, by design: the sample goes first.
    echo "Stopping the sample service."
    "$bin/omctl" --root "$root" sample stop --wait || true
    wait_until "$stop_limit_s" test ! -e "$root/var/sample.time" ||
      echo "quickstart: the sample service did not stop; see $root/log/sample.log" >&2
    echo "Stopping omd, pid $pid."
    kill -TERM "$pid"
    wait_until "$stop_limit_s" gone "$pid" || die "omd, pid $pid, still runs after $stop_limit_s s"
    rm -f "$root/quickstart.pid"
  fi
  stop_leftover
}

# After a daemon that was killed the sample may still run; its command line names this root.
stop_leftover() {
  local pid
  for pid in $(pgrep_exact "$root/etc/sample.d/clock"); do
    echo "Stopping the sample's process, pid $pid."
    kill -TERM "$pid" 2> /dev/null || true
    wait_until "$stop_limit_s" gone "$pid" || die "the sample's process, pid $pid, still runs"
  done
}

# pgrep_exact WORD: pids of this user's processes with WORD among their arguments.
pgrep_exact() {
  local dir
  for dir in /proc/[0-9]*; do
    [ -O "$dir" ] || continue
    if tr '\0' '\n' 2> /dev/null < "$dir/cmdline" | grep -qxF -- "$1"; then
      echo "${dir#/proc/}"
    fi
  done
}

case "$action" in
  start) do_start ;;
  stop) do_stop ;;
  clean)
    do_stop
    if [ -e "$root/$marker" ]; then
      rm -rf -- "$root"
      echo "Removed $root."
    fi
    ;;
esac
