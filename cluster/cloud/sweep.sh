#!/usr/bin/env bash
# Run a sweep on the Ray cluster of cloud, in the container on its head: bash sweep.sh [KEY=VALUE ...]
# Written by `recyclelora render` from profile.yaml: change that, and write this file again.
set -euo pipefail

cd /opt/recyclelora
export PATH=/opt/recyclelora/.venv/bin:"$PATH"
export DATA_ROOT=/mnt/shared/data
export RECYCLELORA_CACHE=/mnt/shared/results/cache
export RAY_ADDRESS=127.0.0.1:6379
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME"/.ray/auth_token
[ -s "$RAY_AUTH_TOKEN_PATH" ] || { echo "$RAY_AUTH_TOKEN_PATH: no such file; make a token: (umask 077; ray get-auth-token --generate >/dev/null)" >&2; exit 2; }
[ -z "$(find -L "$RAY_AUTH_TOKEN_PATH" -perm /077)" ] || { echo "$RAY_AUTH_TOKEN_PATH: others can read it; chmod 600" >&2; exit 2; }

export MLFLOW_TRACKING_URI=https://mlflow.example
LOGIN="$HOME"/.recyclelora/mlflow_login
[ -s "$LOGIN" ] || { echo "$LOGIN: no such file; write MLFLOW_TRACKING_USERNAME=... and MLFLOW_TRACKING_PASSWORD=... into it" >&2; exit 2; }
[ -z "$(find -L "$LOGIN" -perm /077)" ] || { echo "$LOGIN: others can read it; chmod 600" >&2; exit 2; }
set -a
# shellcheck disable=SC1090
. "$LOGIN"
set +a

SPACE="${SPACE:-search_spaces/default.yaml}"  # another one: SPACE=... in front of the command
exec recyclelora sweep "$SPACE" --results /mnt/shared/results --slots 16 resources.cpus=8 resources.gpus=0.5 "$@"
