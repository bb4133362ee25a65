#!/usr/bin/env bash
# Run a sweep on the Ray cluster of workstations, on its head: bash sweep.sh [KEY=VALUE ...]
# Written by `recyclelora render` from profile.yaml: change that, and write this file again.
set -euo pipefail

cd /srv/recyclelora
export PATH=/srv/recyclelora/.venv/bin:"$PATH"
export DATA_ROOT=/srv/data
export RECYCLELORA_CACHE=/srv/results/cache
export RAY_ADDRESS=192.0.2.10:6379
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME"/.ray/auth_token
[ -s "$RAY_AUTH_TOKEN_PATH" ] || { echo "$RAY_AUTH_TOKEN_PATH: no such file; make a token: (umask 077; ray get-auth-token --generate >/dev/null)" >&2; exit 2; }
[ -z "$(find -L "$RAY_AUTH_TOKEN_PATH" -perm /077)" ] || { echo "$RAY_AUTH_TOKEN_PATH: others can read it; chmod 600" >&2; exit 2; }

SPACE="${SPACE:-search_spaces/default.yaml}"  # another one: SPACE=... in front of the command
exec recyclelora sweep "$SPACE" --results /srv/results --slots 4 resources.cpus=4 resources.gpus=1 "$@"
