#!/usr/bin/env bash
# serve.sh LAB VERSION PORT [vllm arguments…]: the tiny model of ../vllm on both nodes of the cluster that cluster.sh LAB
# keeps, one tensor parallel rank each, in the foreground. The API server runs on the head: http://10.77.0.2:PORT from
# here. Ready when GET /health answers 200: one to three minutes on two cores. No profiler of the server's own.
#
# The environment reaches the API server and the engine core; that of the workers is cluster.sh's, though vLLM copies its
# own variables there. VLLM_USE_RAY_V2_EXECUTOR_BACKEND=0 chooses the older executor where there are two (0.32).
set -euo pipefail

usage='usage: serve.sh LAB VERSION PORT [vllm arguments…]'
lab=${1:?$usage} version=${2:?$usage} port=${3:?$usage}
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$("$here/install.sh" "$version" | tail -n 1)
bind=nobind
if [[ $version == 0.11.* ]]; then # "nobind" ends this one without a word; a part a rank
  bind="0-$(($(nproc) - 1))|0-$(($(nproc) - 1))"
fi

export PYTHONPATH=$here/platform${PYTHONPATH:+:$PYTHONPATH} RAY_ADDRESS=10.77.0.2:6379 VLLM_HOST_IP=10.77.0.2 GLOO_SOCKET_IFNAME=eth0
export RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=/mnt TMPDIR=/mnt/tmp VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1
export VLLM_CPU_KVCACHE_SPACE=1 OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=$bind VLLM_CACHE_ROOT=$venv/cache TORCHDYNAMO_DISABLE=1
exec "$here/on.sh" "$lab" head "$venv/bin/vllm" serve "$here/../vllm/tiny" --served-model-name tiny --load-format dummy \
  --enforce-eager --dtype bfloat16 --max-model-len 2048 --max-num-seqs 16 --host 0.0.0.0 --port "$port" \
  --distributed-executor-backend ray --tensor-parallel-size 2 "$@"
