#!/usr/bin/env bash
# on.sh LAB NODE COMMAND…: runs a command on a node of the cluster that cluster.sh LAB keeps, with this environment.
set -euo pipefail

usage='usage: on.sh LAB NODE COMMAND…'
lab=${1:?$usage} node=${2:?$usage}
shift 2
: "${1:?$usage}"
pid=$(<"$lab/$node.pid")
exec nsenter --target "$pid" --net --mount --uts --ipc --pid -- env -C /mnt "$@"
