#!/bin/bash
# Installs what is missing of the given groups of packages.txt, or says whom to ask for what.
#   tools/packages.sh GROUP…          installs (as root, or with passwordless sudo)
#   tools/packages.sh --list GROUP…   prints the packages of the groups
set -euo pipefail
cd "$(dirname "$0")/.."

list() {  # the packages of the groups given
  awk -v groups=" $* " '
    { sub(/#.*/, ""); gsub(/[ \t]/, "") }
    /^\[.*\]$/ { wanted = index(groups, " " substr($0, 2, length($0) - 2) " ") > 0; next }
    wanted && $0 != "" && !seen[$0]++' packages.txt
}

if [[ ${1:-} == --list ]]; then
  shift
  list "$@"
  exit
fi

if ! command -v dpkg-query >/dev/null; then
  echo "hawser: this machine has no dpkg; assuming that what packages.txt lists ($*) is installed" >&2
  exit 0
fi
mapfile -t wanted < <(list "$@")
# dpkg-query fails when it does not know one of the names; what it knows is still printed.
installed=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
mapfile -t missing < <(
  awk 'NR == FNR { if ($2 == "installed") { sub(/:.*/, "", $1); have[$1] = 1 } next } !($1 in have)' \
    <(echo "$installed") <(printf '%s\n' "${wanted[@]}"))
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! sudo -n true 2>/dev/null; then
    {
      echo "hawser: these Debian packages are missing, and installing them needs an administrator. Ask for:"
      echo "  apt-get install --no-install-recommends ${missing[*]}"
    } >&2
    exit 1
  fi
  as_root=(sudo -n)
fi
echo "hawser: installing ${missing[*]}"
"${as_root[@]}" apt-get -qq update
# The wait is for an apt that somebody else runs at the same time (a fresh machine's unattended upgrade).
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"
