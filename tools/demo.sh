#!/bin/bash
# Debian's rping, unmodified: a server and a client on 127.0.0.1, ten pings by SEND, RDMA READ and RDMA WRITE, verified.
#   tools/demo.sh [BUILD_DIR]
set -uo pipefail
cd "$(dirname "$0")/.."
hawser=${1:-build/release}/bin/hawser
output=$(mktemp -d)
server=

finish() {
  [[ -n $server ]] && kill "$server" 2>/dev/null
  rm -rf "$output"
}
trap finish EXIT
fail() {
  echo "demo: $1" >&2
  cat "$output/server" >&2
  exit 1
}
listens() { "$hawser" ids --json 2>/dev/null | grep -q '"LISTEN"'; }

show() { echo "\$ hawser run -- $*"; }

show rping -s -a 127.0.0.1 -v -V -C 10
"$hawser" run -- rping -s -a 127.0.0.1 -v -V -C 10 >"$output/server" 2>&1 &
server=$!
for ((tries = 0; tries < 3000; ++tries)); do
  listens && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.01
done
kill -0 "$server" 2>/dev/null || { wait "$server"; fail "the server ended with status $?"; }
listens || fail "the server does not listen"
"$hawser" ids

show rping -c -a 127.0.0.1 -v -V -C 10
timeout 60 "$hawser" run -- rping -c -a 127.0.0.1 -v -V -C 10
client_status=$?
timeout 30 tail --pid="$server" -f /dev/null || fail "the server did not end"
wait "$server"
server_status=$?
server=
echo "client: exit status $client_status, server: exit status $server_status"
[[ $client_status -eq 0 && $server_status -eq 0 ]] || fail "an exit status is not 0; the server said:"
