#!/usr/bin/env bash
# Submit the array and the job after it: bash submit.sh [KEY=VALUE ...]
# Written by `recyclelora render` from profile.yaml: change that, and write this file again.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
export SPACE="${SPACE:-search_spaces/default.yaml}"
array=$(sbatch --parsable "$here/array.sbatch" "$@")
echo "array job $array, and after it:"
sbatch --dependency="afterany:$array" "$here/gather.sbatch" "$@"
