"""One Slurm job of several nodes, which are a Ray cluster together: for queues that free whole groups of nodes.

`ray symmetric-run` runs on all nodes. What is around it here mends what it leaves open: it exits with 0 when Ray did
not start, waits for 30 s only, and ends every Ray of the user on its nodes, so that the nodes must be ours alone. Where
the head ends, a worker that was about to join goes on trying for minutes: srun's --wait ends it."""

from recyclelora.clusters import shell
from recyclelora.clusters.names import Command, Word
from recyclelora.clusters.site import Site
from recyclelora.fields import Natural, Positive, settings

HELP = "a Slurm centre whose queue gives several nodes at once"
SECTION = "slurm"
NEEDS = {"ray.token_file": "without a token, every user of the centre could run code as you"}


@settings
class Slurm:
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    before: tuple[Command, ...] = ()  # commands that a job begins with, such as module load cuda
    interface: Word | None = None  # of the network between the nodes, such as ib0; None: the first one
    requeues: Natural = 20  # how often a job that ran out of time is queued again
    start_seconds: Positive = 600  # until all nodes have joined: a shared environment is slow when it is cold
    notice_seconds: Positive = 300  # before its end, a job is told to save and stop


SETTINGS = Slurm


def render(site: Site, own: Slurm) -> dict[str, str]:
    """The job, for sbatch."""
    return {"sweep.sbatch": shell.script(
        f"Run a sweep on {site.nodes} nodes: sbatch sweep.sbatch [KEY=VALUE ...]",
        preamble(site, own), shell.login(site),
        _addresses(own), _run(site, own), ending(own),
        directives=directives(site, own, site.name, [f"--nodes={site.nodes}", "--ntasks-per-node=1", "--exclusive"]))}


def directives(site: Site, own: Slurm, name: str, more: list[str]) -> list[str]:
    """The lines for sbatch. SIGTERM goes to the script alone, which passes it on to the driver."""
    chosen = [f"--{key}={value}" for key in ("partition", "account", "qos", "constraint")
              if (value := getattr(own, key))]
    gpus = [f"--gpus-per-node={site.node.gpus}"] if site.node.gpus else []
    options = [f"--job-name={name}", *chosen, *more, f"--cpus-per-task={site.node.cpus}", *gpus,
               f"--mem={site.node.memory_gb}G", f"--time={site.hours}:00:00", f"--signal=B:TERM@{own.notice_seconds}",
               "--requeue", "--open-mode=append"]
    return [f"#SBATCH {option}" for option in options]


def preamble(site: Site, own: Slurm) -> list[str]:
    """The environment of a job, and the token of its Ray. Slurm hands over what the user's shell holds, an address of
    another cluster too."""
    return ["unset RAY_ADDRESS", *own.before, *shell.environment(site), *shell.token(site), shell.space(site)]


def ending(own: Slurm) -> list[str]:
    """$code is the exit code of the sweep; $told says that the job was told to stop, as it is before its time is up: it
    goes on in a new one, from the checkpoints."""
    return ['if [ -n "$told" ] && [ "$code" != 0 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt '
            f'{own.requeues} ]; then', '  exec scontrol requeue "$SLURM_JOB_ID"', "fi", 'exit "$code"']


def _addresses(own: Slurm) -> list[str]:
    """The head is the node on which this script runs."""
    find = (f"ip=$(ip -4 -o addr show dev {own.interface} | awk '{{ split($4, part, \"/\"); print part[1]; exit }}')"
            if own.interface else "read -r ip _ < <(hostname -I)")
    return [find, 'case "$ip" in "" | 127.*) echo "$(hostname): no address that other nodes reach; name the interface '
            'in the profile" >&2; exit 2 ;; esac', "port=$((20000 + SLURM_JOB_ID % 10000))  # one for each job",
            'work=$(mktemp -d)  # on this node, as is the driver', "trap 'rm -rf \"$work\"' EXIT"]


def _run(site: Site, own: Slurm) -> list[str]:
    sweep = shell.sweep_words(site, slots=site.slots)
    return [
        f"export WORK=\"$work\" ADDRESS=\"$ip:$port\" SPACE RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT={own.start_seconds}",
        "# shellcheck disable=SC2016  # for the shell on the head",
        "drive='RAY_ADDRESS=$ADDRESS " + sweep + ' "$@" & echo "$!" >"$WORK/driver"; code=0; wait "$!" || code=$?; '
        "echo \"$code\" >\"$WORK/code\"; exit \"$code\"'",
        "told='' step=''",
        "trap 'told=yes; kill -TERM \"$(cat \"$work/driver\")\" 2>/dev/null || kill -TERM \"$step\" || true' TERM",
        'srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \\',
        '  --export=ALL --wait=60 ray symmetric-run --address "$ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \\',
        f'  --num-cpus={site.node.cpus} --num-gpus={site.node.gpus} -- bash -c "$drive" sweep "$@" &',
        "step=$!",
        'wait "$step" || true',
        '[ -z "$told" ] || wait "$step" || true',
        'if ! code=$(cat "$work/code" 2>/dev/null); then',
        '  code=1',
        '  [ -n "$told" ] || echo "the sweep did not run: Ray did not start on all nodes; its output is above" >&2',
        "fi"]
