#!/usr/bin/env bash
# down.sh LAB: ends what cluster.sh LAB has left; any number of times. cluster.sh does it by itself when it ends.
# down.sh --link LAB: prints the name of the interface by which this machine reaches the nodes of LAB.
# down.sh --stale: removes such interfaces, where no node of any lab is there any more.
set -euo pipefail

prefix=pjr
link_of() { echo "$prefix$(printf %s "$1" | sha256sum | cut -c1-8)"; }
gone() { # LINK: it goes with the head's network, a moment after the head
  for _ in {1..100}; do
    ip link show "$1" >/dev/null 2>&1 || return 0
    ip link del "$1" 2>/dev/null || true
    sleep 0.1
  done
  echo "down.sh: the interface $1 does not go" >&2
  return 1
}
if [[ ${1:-} == --link ]]; then link_of "${2:?}"; exit; fi
if [[ ${1:-} == --stale ]]; then
  command -v pgrep >/dev/null || exit 0 # who cannot tell leaves them
  pgrep -f '/node\.sh .+ (head|other)$' >/dev/null && exit 0
  for link in $(ip -o link show type veth | grep -o "\b$prefix[0-9a-f]*" | sort -u); do gone "$link"; done
  exit
fi

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
gone "$(link_of "$lab")"
