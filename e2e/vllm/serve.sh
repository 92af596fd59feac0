#!/usr/bin/env bash
# serve.sh VERSION PORT TRACE_DIR [vllm arguments…]: a tiny Llama with made-up weights on 127.0.0.1:PORT, in the foreground
# (this very process becomes the server). Installs the version first where needed. Ready when GET /health answers 200: 25
# to 55 s on two free cores, up to three minutes on busy ones. The model is called "tiny"; the vocabulary
# has 512 token ids, 0 to 259 with text.
#
# The server's own profiler writes to TRACE_DIR, configured in the dialect of the version; NO_PROFILER=1 leaves it out.
# What it records: SHAPES, MEMORY, STACK, FLOPS, each 1 or 0 (0). Gzip is on. Up to 0.15 the frontend writes a trace too.
# Also read: OMP_NUM_THREADS (2), VLLM_CPU_OMP_THREADS_BIND, VLLM_CPU_KVCACHE_SPACE (GiB, 1), VLLM_CACHE_ROOT,
# TORCHDYNAMO_DISABLE (1). The rest of the environment (PYTHONPATH with plugins, VLLM_SERVER_DEV_MODE,
# VLLM_CUSTOM_SCOPES_FOR_PROFILING, VLLM_PROFILER_MAX_ITERS …) reaches the server as it is, but for the profiler variables
# that the knobs stand for. Add no --profiler-config: the second one replaces the first whole.
#
# To end it: stop the profiler, let requests end or hang up (it waits for them without end), SIGTERM to its pid.
set -euo pipefail

usage='usage: serve.sh VERSION PORT TRACE_DIR [vllm arguments…]'
version=${1:?$usage} port=${2:?$usage} trace_dir=${3:?$usage}
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$("$here/install.sh" "$version" | tail -n 1)

flag() { # NAME: 1 or 0, nothing else: vLLM up to 0.12 takes "False" for true
  case ${!1:-0} in
    0 | 1) echo "${!1:-0}" ;;
    *) echo "serve.sh: $1 must be 0 or 1, not '${!1}'" >&2; return 2 ;;
  esac
}
shapes=$(flag SHAPES) # a line each: one line would hide the failure of all but the last
memory=$(flag MEMORY)
stack=$(flag STACK)
flops=$(flag FLOPS)

bind=nobind profiler=()
unset VLLM_TORCH_PROFILER_DIR VLLM_TORCH_PROFILER_RECORD_SHAPES VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY \
  VLLM_TORCH_PROFILER_WITH_STACK VLLM_TORCH_PROFILER_WITH_FLOPS VLLM_TORCH_PROFILER_USE_GZIP
environment() {
  export VLLM_TORCH_PROFILER_DIR=$trace_dir
  export VLLM_TORCH_PROFILER_RECORD_SHAPES=$shapes VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY=$memory
  export VLLM_TORCH_PROFILER_WITH_STACK=$stack VLLM_TORCH_PROFILER_WITH_FLOPS=$flops
}
json() {
  local word=(false true)
  profiler=(--profiler-config "$(printf '{"profiler":"torch","torch_profiler_dir":"%s","torch_profiler_record_shapes":%s,"torch_profiler_with_memory":%s,"torch_profiler_with_stack":%s,"torch_profiler_with_flops":%s,"torch_profiler_use_gzip":true,"ignore_frontend":true}' \
    "$trace_dir" "${word[shapes]}" "${word[memory]}" "${word[stack]}" "${word[flops]}")")
}
case $version in
  0.11.*) bind=0-$(($(nproc) - 1)) dialect=environment ;; # "nobind" ends this one without a word
  0.12.* | 0.13.* | 0.14.* | 0.15.*) dialect=environment ;;
  *) dialect=json ;;
esac
if [[ ${NO_PROFILER:-0} != 1 ]]; then
  mkdir -p "$trace_dir"
  trace_dir=$(cd "$trace_dir" && pwd)
  $dialect
fi

# Without TORCHDYNAMO_DISABLE the first completion compiles its sampler: 6 to 28 s on 0.11 and 0.15, and needs g++.
export VLLM_CACHE_ROOT=${VLLM_CACHE_ROOT:-$venv/cache} TORCHDYNAMO_DISABLE=${TORCHDYNAMO_DISABLE:-1}
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1} OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
export VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-$bind}
exec "$venv/bin/vllm" serve "$here/tiny" --served-model-name tiny --load-format dummy --enforce-eager --dtype bfloat16 \
  --max-model-len 2048 --max-num-seqs 16 --host 127.0.0.1 --port "$port" "${profiler[@]}" "$@"
