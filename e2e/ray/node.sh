#!/usr/bin/env bash
# node.sh LAB NODE: the first process of a node, run by cluster.sh in namespaces of its own. Lives until its standard input ends.
set -euo pipefail

lab=$1 node=$2
read -r pid _ </proc/self/stat # as the machine sees it: /proc is still the machine's
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o size=2g tmpfs /dev/shm
mount --bind "$lab/$node" /mnt
mkdir -p /mnt/tmp
printf '127.0.0.1 localhost\n10.77.0.2 head\n10.77.0.3 other\n' >/mnt/hosts
mount --bind /mnt/hosts /etc/hosts
hostname "$node"
echo "$pid" >"$lab/$node.pid.new"
mv "$lab/$node.pid.new" "$lab/$node.pid"
while read -r _; do :; done
