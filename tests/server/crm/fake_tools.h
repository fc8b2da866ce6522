// Programs of the host as scripts that keep what they are told: they go to <root>/bin, and keep it
// in <root>/net and <root>/engine.
#ifndef OM_TESTS_SERVER_CRM_FAKE_TOOLS_H_
#define OM_TESTS_SERVER_CRM_FAKE_TOOLS_H_

namespace om {

// docker or podman, by its name. A container is a file with its state; its label and image are
// files beside it.
inline constexpr char kFakeEngine[] = R"SH(#!/bin/sh
dir=$(dirname "$0")/../engine
tool=$(basename "$0")
mkdir -p "$dir/c" "$dir/images"
[ -e "$dir/dead" ] && { echo "Cannot connect to the engine" >&2; exit 1; }
if [ "$1" = --config ]; then cp "$2/config.json" "$dir/login"; shift 2; fi
case "$1 $2" in
"container inspect")
  name=$3
  if [ ! -e "$dir/c/$name" ]; then
    echo '[]'
    if [ "$tool" = podman ]; then echo "Error: no such container $name" >&2
    else echo "Error: No such container: $name" >&2; fi
    exit 1
  fi
  read state < "$dir/c/$name"
  # One state a line: the next question sees the next of them.
  if [ "$(wc -l < "$dir/c/$name")" -gt 1 ]; then
    tail -n +2 "$dir/c/$name" > "$dir/rest"; mv "$dir/rest" "$dir/c/$name"
  fi
  running=false; [ "$state" = running ] && running=true
  code=0; [ "$state" = exited ] && code=7
  printf '[{"State":{"Status":"%s","Running":%s,"ExitCode":%s},' "$state" $running $code
  printf '"Config":{"Image":"%s","Labels":{"com.opensvc.id":"%s"},"Tty":false},' \
    "$(cat "$dir/image.$name")" "$(cat "$dir/label.$name")"
  printf '"HostConfig":{"Privileged":false}}]\n'
  exit 0 ;;
"image inspect") [ -e "$dir/images/$3" ]; exit ;;
esac
echo "$tool $*" >> "$dir/journal"
for last; do :; done
case "$1" in
pull) [ -e "$dir/nopull" ] && { echo "manifest unknown" >&2; exit 1; }
      [ "$2" = --authfile ] && cp "$3" "$dir/login"
      : > "$dir/images/$last" ;;
run)
  env > "$dir/environment"
  detached=; remove=
  while [ $# -gt 0 ]; do
    case "$1" in
    --name) name=$2 ;;
    -d) detached=1 ;;
    --rm) remove=1 ;;
    --label) case "$2" in com.opensvc.id=*) label=${2#com.opensvc.id=} ;; esac ;;
    nginx:*) image=$1 ;;
    esac
    shift
  done
  if [ -e "$dir/runfails" ]; then echo "port is taken" >&2; else [ -n "$detached" ] || exit 0; fi
  echo "$image" > "$dir/image.$name"
  echo "$label" > "$dir/label.$name"
  [ -n "$remove" ] && : > "$dir/remove.$name"
  if [ -e "$dir/afterrun" ]; then cat "$dir/afterrun" > "$dir/c/$name"
  else echo running > "$dir/c/$name"; fi
  [ ! -e "$dir/runfails" ]
  exit ;;
start|unpause) echo running > "$dir/c/$last" ;;
stop) [ -e "$dir/stuck" ] && exit 0
      [ -e "$dir/stopfails" ] && { echo "no answer" >&2; exit 1; }
      if [ -e "$dir/remove.$last" ]; then rm "$dir/c/$last"; else echo exited > "$dir/c/$last"; fi ;;
rm) rm "$dir/c/$last" ;;
esac
)SH";

// ip, with interfaces eth0 (192.0.2.1/24) and eth1, and what is added to them: a file an address.
inline constexpr char kFakeIp[] = R"(#!/bin/sh
dir=$(dirname "$0")/../net
mkdir -p "$dir"
[ -e "$dir/hang" ] && exec sleep 1000
show() {
  flags='"UP"'
  [ -e "$dir/$1.nocarrier" ] && flags='"UP","NO-CARRIER"'
  [ -e "$dir/$1.isdown" ] && flags='"BROADCAST"'
  printf '{"ifname":"%s","flags":[%s],"addr_info":[' "$1" "$flags"
  sep=
  if [ "$1" = eth0 ]; then
    printf '{"family":"inet","local":"192.0.2.1","prefixlen":24}'
    sep=,
  fi
  for file in "$dir/$1".addr.*; do
    [ -e "$file" ] || continue
    more=
    if [ -s "$dir/tentative" ]; then
      more=',"tentative":true'
      tail -n +2 "$dir/tentative" > "$dir/rest"; mv "$dir/rest" "$dir/tentative"
    fi
    [ -e "$dir/dadfailed" ] && more=',"tentative":true,"dadfailed":true'
    read local prefix < "$file"
    printf '%s{"local":"%s","prefixlen":%s%s}' "$sep" "$local" "$prefix" "$more"
    sep=,
  done
  printf ']}'
}
if [ "$1" = -j ]; then
  printf '['; show eth0; printf ',{},'; show eth1; printf ']\n'
  exit 0
fi
echo "$*" >> "$dir/journal"
case "$1 $2" in
"link set") rm -f "$dir/$4.isdown" ;;
"addr add") [ -e "$dir/refuse" ] && { echo "RTNETLINK answers: refused" >&2; exit 2; }
            echo "${3%/*} ${3#*/}" > "$dir/$5.addr.${3%/*}" ;;
"addr del") [ -e "$dir/sticky" ] || rm "$dir/$5.addr.${3%/*}" ;;
esac
)";
// ping: answers for the addresses in a file, and keeps what it was asked.
inline constexpr char kFakePing[] = R"(#!/bin/sh
dir=$(dirname "$0")/../net
echo "$*" >> "$dir/pings"
for last; do :; done
grep -qx "$last" "$dir/answering" 2>/dev/null
)";

}  // namespace om

#endif  // OM_TESTS_SERVER_CRM_FAKE_TOOLS_H_
