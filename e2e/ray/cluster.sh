#!/usr/bin/env bash
# cluster.sh LAB VERSION: two machines on one, and a Ray cluster on them that vLLM VERSION can use, in the foreground.
#
# Prints "ready" once both nodes are in the cluster (half a minute on two cores). Ends, and takes everything with it, when
# its standard input ends, by a signal, or when something fails:
#
#   sleep 600 | ./cluster.sh /tmp/lab 0.32.0
#
# The nodes are called head (10.77.0.2) and other (10.77.0.3); the machine itself is 10.77.0.1 and reaches both. Each has
# its own network, processes, host name, /dev/shm, and /mnt, which is LAB/NODE here. What a node writes goes there: Ray's
# files, temporary ones, and whatever else is told to use /mnt. No node sees the other's.
#
# The environment is that of the raylets and so of every Ray worker: put PYTHONPATH and the like here.
#
# A node is one process that reads this standard input as well. When it ends the kernel ends all that the node runs: no
# process is left even after a SIGKILL of this script, once its input has ended. What may be left then is the interface by
# which this machine reached the nodes: down.sh LAB removes it, and so does the next cluster.sh, whatever its LAB.
set -euo pipefail

usage='usage: cluster.sh LAB VERSION'
lab=${1:?$usage} version=${2:?$usage}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$("$here/install.sh" "$version" | tail -n 1)
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)
log=$lab/cluster.log

fail() { echo "cluster.sh: $*" >&2; tail -n 30 "$log" >&2; exit 1; }

[[ $(id -u) == 0 ]] || { echo "cluster.sh: nodes need root" >&2; exit 1; }
"$here/down.sh" --stale
[[ -z $(ip -4 route show 10.77.0.0/24) ]] || { echo "cluster.sh: the network 10.77.0.0/24 is in use: another cluster?" >&2; exit 1; }
: >"$log"
rm -f "$lab"/*.pid
trap '"$here/down.sh" "$lab"' EXIT
trap 'exit 143' TERM INT HUP

exec 3<&0 # bash gives background processes /dev/null instead
for node in head other; do
  mkdir -p "$lab/$node"
  unshare --net --mount --uts --ipc --pid --fork "$here/node.sh" "$lab" "$node" <&3 >>"$log" 2>&1 &
done
exec </dev/null
for _ in {1..100}; do
  [[ -s $lab/head.pid && -s $lab/other.pid ]] && break
  sleep 0.1
done
[[ -s $lab/head.pid && -s $lab/other.pid ]] || fail "no nodes"
head=$(<"$lab/head.pid") other=$(<"$lab/other.pid")

# The bridge is the head's own eth0, so that the firewall of this machine has no part in what the nodes say to each other.
link=$("$here/down.sh" --link "$lab")
in_node() { nsenter --target "$1" --net -- "${@:2}"; }
{
  in_node "$head" ip link add eth0 type bridge
  ip link add "$link" type veth peer name port0 netns "$head"
  in_node "$head" ip link add port1 type veth peer name eth0 netns "$other"
  for port in port0 port1; do in_node "$head" ip link set "$port" master eth0 up; done
  in_node "$head" ip addr add 10.77.0.2/24 dev eth0
  in_node "$other" ip addr add 10.77.0.3/24 dev eth0
  ip addr add 10.77.0.1/24 dev "$link"
  ip link set "$link" up
  for pid in "$head" "$other"; do
    in_node "$pid" ip link set lo up
    in_node "$pid" ip link set eth0 up
    in_node "$pid" ip route add default via 10.77.0.1 # Ray finds its own address by a route to somewhere
  done
} >>"$log" 2>&1 || fail "no network between the nodes"

export PYTHONPATH=$here/platform${PYTHONPATH:+:$PYTHONPATH}
export RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=/mnt TMPDIR=/mnt/tmp
export VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
export GLOO_SOCKET_IFNAME=eth0 # else it times out
start() { # NODE ADDRESS arguments…
  local common=(--node-ip-address="$2" --num-cpus=2 --num-gpus=1 --object-store-memory=300000000 --disable-usage-stats)
  VLLM_HOST_IP=$2 "$here/on.sh" "$lab" "$1" "$venv/bin/ray" start "${common[@]}" "${@:3}" >>"$log" 2>&1 || fail "Ray does not start on $1"
}
start head 10.77.0.2 --head --port=6379 --dashboard-host=0.0.0.0 --dashboard-port=8265
start other 10.77.0.3 --address=10.77.0.2:6379
echo ready
cat <&3 >/dev/null & # bash takes a signal while it waits, not while it runs something
wait $!
