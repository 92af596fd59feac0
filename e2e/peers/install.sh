#!/usr/bin/env bash
# install.sh: the tools that profjob's analysis is held against, in a venv of their own.
#
# Prints the venv as its last line; instant when it is there already. It lies under
# ${PROFJOB_E2E_CACHE:-~/.cache/profjob-e2e}, as the servers do (see ../vllm/install.sh).
# pins.txt: every package as it was when this last worked.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PROFJOB_E2E_CACHE:-$HOME/.cache/profjob-e2e}
venv=$cache/peers
want=$(sha256sum "$here/pins.txt" | cut -d' ' -f1)
complete() { [[ -f $venv/.complete && $(<"$venv/.complete") == "$want" ]]; }
if complete; then echo "$venv"; exit 0; fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if complete; then echo "$venv"; exit 0; fi
rm -rf "$venv"
log=$cache/peers.log
if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --no-deps -r "$here/pins.txt"; } >"$log" 2>&1 9>&-; then
  echo "install.sh: failed:" >&2
  tail -n 40 "$log" >&2
  exit 1
fi
echo "$want" >"$venv/.complete"
echo "$venv"
