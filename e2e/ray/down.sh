#!/usr/bin/env bash
# down.sh LAB: ends what cluster.sh LAB has left; any number of times. cluster.sh does it by itself when it ends.
# down.sh --link LAB: prints the name of the interface by which this machine reaches the nodes of LAB.
set -euo pipefail

link_of() { echo "pjr$(printf %s "$1" | sha256sum | cut -c1-8)"; }
if [[ ${1:-} == --link ]]; then link_of "${2:?}"; exit; fi

lab=${1:?usage: down.sh LAB}
[[ -d $lab ]] || exit 0
lab=$(cd "$lab" && pwd)

ours() { # whether the process is the first one of the node, and no other that got its number
  local cmd
  cmd=$({ tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null) || return 1
  [[ $cmd == *"/node.sh $lab $2 " ]]
}
for node in head other; do
  pid=$(cat "$lab/$node.pid" 2>/dev/null) || continue
  for _ in {1..100}; do
    ours "$pid" "$node" || break
    kill -KILL "$pid" 2>/dev/null || true
    sleep 0.1
  done
  if ours "$pid" "$node"; then echo "down.sh: node $node (process $pid) does not end" >&2; exit 1; fi
  rm -f "$lab/$node.pid"
done
link=$(link_of "$lab")
for _ in {1..100}; do # it goes with the head's network, a moment later
  ip link show "$link" >/dev/null 2>&1 || exit 0
  ip link del "$link" 2>/dev/null || true
  sleep 0.1
done
echo "down.sh: the interface $link does not go" >&2
exit 1
