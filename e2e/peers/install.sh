#!/usr/bin/env bash
# install.sh: the tools that profjob is held against, in a venv of their own.
#
# Prints the venv as its last line. Silent and instant when it is there already; several at once wait for each other.
# It lies beside those that ../vllm/install.sh makes, below ${PROFJOB_E2E_CACHE:-~/.cache/profjob-e2e}, with uv and its
# download cache.
#
# pins.txt: HolisticTraceAnalysis and what it imports; the notebook server that it also asks for stays out.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PROFJOB_E2E_CACHE:-$HOME/.cache/profjob-e2e}
uv_version=0.13.9
venv=$cache/peers
tools=$cache/uv-$uv_version

# The stamp holds what the venv was made from. Raise the number of the recipe when what this script does changes.
recipe=1
want=$({ echo "$recipe"; cat "$here/pins.txt"; } | sha256sum | cut -d' ' -f1)
complete() { [[ -f $venv/.complete && $(<"$venv/.complete") == "$want" ]]; }
if complete; then echo "$venv"; exit 0; fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if complete; then echo "$venv"; exit 0; fi

log=$venv.log
quietly() {
  "$@" >>"$log" 2>&1 9>&- && return
  local code=$?
  echo "install.sh: peers: failed ($code): $*" >&2
  tail -n 40 "$log" >&2
  exit 1
}
: >"$log"

if [[ ! -f $tools/.complete ]]; then
  rm -rf "$tools"
  quietly python3 -m venv "$tools"
  quietly "$tools/bin/pip" install --quiet "uv==$uv_version"
  touch "$tools/.complete"
fi
export UV_CACHE_DIR=$cache/uv-cache UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}

rm -rf "$venv"
quietly "$tools/bin/uv" venv --python 3.11 "$venv"
quietly "$tools/bin/uv" pip install --python "$venv/bin/python" --no-deps -r "$here/pins.txt"
quietly "$venv/bin/python" -c 'from hta.trace_analysis import TraceAnalysis'
echo "$want" >"$venv/.complete"
echo "$venv"
