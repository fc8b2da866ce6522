#!/usr/bin/env bash
# The Debian 12 packages that the project needs, in groups, and how missing ones get installed.
#
# Sourced by the other scripts, which call `om_need GROUP...`; run by hand, it does the same:
#   deploy/packages.sh build test      install what is missing of these groups
#   deploy/packages.sh --list runtime  print a group, one package a line
#
# Only dpkg's database is read when nothing is missing: a second run needs no network.

# Compiles omd, omctl, omcrm and om-packet. cmake's find_package(gRPC) also asks for c-ares and
# re2, which libgrpc++-dev brings.
om_packages_build=(
  cmake ninja-build clang-14 lld-14 ccache pkg-config
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libabsl-dev
  libgoogle-glog-dev libasio-dev nlohmann-json3-dev libcli11-dev zlib1g-dev libssl-dev
)

# Runs the tests, the sanitizer presets among them: their runtimes are in libclang-rt-14-dev.
om_packages_test=(
  libgtest-dev libgmock-dev libclang-rt-14-dev
  python3 python3-grpcio python3-protobuf python3-cryptography openssl
)

# What .ci/run adds: format, static analysis, readable sanitizer stacks, changed files.
om_packages_ci=(clang-format-14 clang-tidy-14 llvm-14 git)

# Counts instructions: tests/bench/change_cost.py.
om_packages_bench=(valgrind)

# What the programs link at run time; the container image has these and nothing to compile with.
om_packages_runtime=(
  libgrpc++1.51 libgrpc29 libprotobuf32 libabsl20220623 libgoogle-glog0v6 libssl3 zlib1g
)

# What the image has beside that.
om_packages_image=(tini)

# Builds and runs the container image on a base made here.
om_packages_container=(buildah debootstrap)

# om_packages GROUP: prints its packages, one a line.
om_packages() {
  case "$1" in
    build) printf '%s\n' "${om_packages_build[@]}" ;;
    test) printf '%s\n' "${om_packages_test[@]}" ;;
    ci)
      printf '%s\n' "${om_packages_ci[@]}"
      # Debian's npm is hundreds of packages: asked for only where nothing else brought an npm.
      command -v npm > /dev/null || echo npm
      ;;
    bench) printf '%s\n' "${om_packages_bench[@]}" ;;
    runtime) printf '%s\n' "${om_packages_runtime[@]}" ;;
    image) printf '%s\n' "${om_packages_image[@]}" ;;
    container) printf '%s\n' "${om_packages_container[@]}" ;;
    *)
      echo "packages.sh: no group \"$1\"; there are: build test ci bench runtime image container" >&2
      return 2
      ;;
  esac
}

# om_missing GROUP...: prints the packages of the groups that are not installed, one a line.
om_missing() {
  local group package status wanted
  declare -A installed=()
  while read -r status package; do
    [ "$status" != installed ] || installed[$package]=1
  done <<< "$(dpkg-query -W -f '${db:Status-Status} ${Package}\n')"
  for group in "$@"; do
    wanted=$(om_packages "$group") || return 2
    for package in $wanted; do
      [ -n "${installed[$package]:-}" ] || echo "$package"
    done
  done
}

# om_need GROUP...: installs what is missing. Exits 3 with the list where it may not install.
om_need() {
  local group missing
  if ! command -v dpkg-query > /dev/null; then
    echo "This is not a Debian system: the packages of Debian 12 are needed:" >&2
    for group in "$@"; do om_packages "$group" | sed 's/^/  /' >&2; done
    exit 3
  fi
  missing=$(om_missing "$@") || exit 2
  [ -n "$missing" ] || return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo -n)
  fi
  if [ "${OM_NO_INSTALL:-0}" = 1 ] ||
    { [ ${#as_root[@]} -gt 0 ] && ! sudo -n true 2> /dev/null; }; then
    {
      echo "These Debian packages are missing and this user may not install them:"
      printf '%s\n' "$missing" | sed 's/^/  /'
      # shellcheck disable=SC2086  # Package names are words.
      echo "As root: apt-get install --no-install-recommends" $missing
    } >&2
    exit 3
  fi

  # shellcheck disable=SC2086  # Package names are words.
  echo "Installing $(printf '%s\n' "$missing" | wc -l) Debian packages:" $missing
  # A fresh machine has no package lists; a machine with stale ones may meet versions that are gone.
  # shellcheck disable=SC2086
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends $missing; } < /dev/null; then
    {
      echo "apt-get could not install what is missing:"
      printf '%s\n' "$missing" | sed 's/^/  /'
    } >&2
    exit 3
  fi
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  case "${1:-}" in
    --list) shift; for group in "$@"; do om_packages "$group"; done ;;
    '' | -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" ;;
    *) om_need "$@" ;;
  esac
fi
