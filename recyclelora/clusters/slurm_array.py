"""An array of Slurm jobs of one node each, none of which needs another one: for queues that never free several nodes at
once, and where jobs are taken away.

Each runs a share of the trials. What a trial leaves in the folder of trials is for all; the books of a share are kept
on its node and end with it. A last job finds the trials done, and keeps the books of the whole sweep."""

from recyclelora.clusters import shell
from recyclelora.clusters.site import Site
from recyclelora.clusters.slurm import NEEDS, SECTION, SETTINGS, Slurm, directives, ending, preamble

__all__ = ["HELP", "NEEDS", "SECTION", "SETTINGS", "render"]

HELP = "a Slurm centre where single nodes are free sooner than several"


def render(site: Site, own: Slurm) -> dict[str, str]:
    """The array, the job after it, and the script that submits both."""
    whole = shell.sweep_words(site, slots=site.slots_per_node)
    share = shell.sweep_words(site, slots=site.slots_per_node, results='"$part"')
    return {
        "array.sbatch": shell.script(
            "Run the share of a sweep that is this job's in its array; submit.sh submits it",
            preamble(site, own), _own_results(site),
            _run(f'{share} --part "$which/$SLURM_ARRAY_TASK_COUNT"'), ending(own),
            directives=directives(site, own, site.name, [*_ONE_NODE, f"--array=1-{site.nodes}"])),
        "gather.sbatch": shell.script(
            "Keep the books of a sweep whose trials are done, and run those that are not; submit.sh submits it",
            preamble(site, own), shell.login(site), _run(whole), ending(own),
            directives=directives(site, own, f"{site.name}-gather", _ONE_NODE)),
        "submit.sh": shell.script(
            "Submit the array and the job after it: bash submit.sh [KEY=VALUE ...]",
            ['here=$(dirname "${BASH_SOURCE[0]}")', "export SPACE=\"${SPACE:-" + site.space + '}"',
             'array=$(sbatch --parsable "$here/array.sbatch" "$@")',
             'echo "array job $array, and after it:"',
             'sbatch --dependency="afterany:$array" "$here/gather.sbatch" "$@"']),
    }


_ONE_NODE = ["--nodes=1", "--ntasks=1"]


def _own_results(site: Site) -> list[str]:
    trials = shell.path(f"{site.paths.results}/trials")
    return ["unset MLFLOW_TRACKING_URI  # one sweep has one driver there: the last job", "part=$(mktemp -d)",
            "trap 'rm -rf \"$part\"' EXIT  # the link below, not what it names",
            f'mkdir -p {trials}', f'ln -s {trials} "$part/trials"',
            "which=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))"]


def _run(sweep: str) -> list[str]:
    return ["told='' driver=''", "trap 'told=yes; kill -TERM \"$driver\" || true' TERM", f'{sweep} "$@" &', "driver=$!",
            "code=0", 'wait "$driver" || code=$?', 'if [ -n "$told" ]; then code=0; wait "$driver" || code=$?; fi']
