"""The checks before the first trial, made on this machine and on every node of a cluster that was joined; and the same
ones on a node that joins later, by its first worker before its first trial."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from recyclelora.config import Config
from recyclelora.costs.largest_trial import largest_of
from recyclelora.errors import Outage, reason_of
from recyclelora.preflight import judge, measure
from recyclelora.preflight.clocks import CHECK as CLOCK
from recyclelora.preflight.finding import Answers, Expected, Finding, Need, Question
from recyclelora.preflight.shared_folder import probing
from recyclelora.runs.redaction import redact
from recyclelora.sweeps.capacity import working_nodes
from recyclelora.sweeps.jobs import Job
from recyclelora.sweeps.options import Options
from recyclelora.trials.device import gpu_fault
from recyclelora.trials.paths import Paths

PATIENCE = 120.0  # seconds: a node with a cold disk imports torch in a minute
HERE = "driver"


class Gate(NamedTuple):
    """Goes to every worker: it lets trials begin on the nodes that passed, and has others checked first."""

    asked: Question
    here: Answers
    passed: frozenset[str]  # ids of nodes

    def findings(self) -> tuple[str, list[Finding]]:
        """On a worker: the id of its node, and what stops trials there."""
        node = ray.get_runtime_context().get_node_id()
        if node in self.passed:
            return node, []
        began = time.time()
        reference = self._time_elsewhere()
        clock = {CLOCK.name: [reference - (time.time() - began), reference] if reference else [began, began]}
        there = {**measure(self.asked), CLOCK.name: [began, began]}
        return node, [finding for finding in judge(self.asked, {**self.here, **clock}, there, _name_of(node))
                      if finding.stops]

    def _time_elsewhere(self) -> float | None:
        """The time on a node whose clock was compared with the driver's; None where none answers."""
        for node in self.passed:
            with suppress(ray.exceptions.RayError):
                return float(ray.get(_on(node, ray.remote(num_cpus=0)(_now)).remote(), timeout=PATIENCE))
        return None


def findings_here(gate: Gate | None) -> tuple[str, list[Finding]]:
    """On a worker: the id of its node, and what stops the trial there, a GPU that cannot be used among it."""
    node = ray.get_runtime_context().get_node_id()
    if fault := gpu_fault() if ray.get_gpu_ids() else "":
        return node, [Finding("gpu", _name_of(node), fault)]
    return gate.findings() if gate else (node, [])


def question_of(configs: Sequence[Config], jobs: Sequence[Job], paths: Paths, options: Options,
                gpus: float = 0.0) -> Question:
    """What is asked before these trials, one of `jobs` for each weights file and data set. `gpus`: what a trial
    gets."""
    kinds = {(job.tags["weights_sha256"], job.tags["data_fingerprint"]): Expected(dict(job.config), job.expected)
             for job in jobs}
    need = largest_of(configs) if configs else Need()
    return Question(paths, tuple(kinds.values()), Need(need.memory, need.disk, gpus),
                    redact(options.store) if options.store else "",
                    cluster=redact(options.address) if options.address else "")


@contextmanager
def checked(asked: Question, console: Console) -> Iterator[Gate]:
    """Check everything and print what is found, a line each. Yields the gate of the workers; the probe in RESULTS stays
    for those of later nodes until the block ends. Raises Outage where a finding stops the sweep."""
    with probing(asked) as probed:
        gate, found = examine(probed)
        for finding in found:
            console.print(str(finding), style="red" if finding.stops else "yellow", highlight=False, markup=False)
        if stops := [finding for finding in found if finding.stops]:
            raise Outage(f"{len(stops)} finding{'s' if len(stops) > 1 else ''} before the first trial, nothing was "
                         "run; `recyclelora doctor` makes these checks alone")
        yield gate


def examine(asked: Question) -> tuple[Gate, list[Finding]]:
    """The findings on this machine and, where a cluster was joined, on its nodes."""
    here = measure(asked)
    found = list(judge(asked, here, here, HERE))
    nodes = list(working_nodes())
    if asked.cluster:
        found += examine_nodes(asked, here, nodes)
    return Gate(asked, here, frozenset(nodes)), found


def examine_nodes(asked: Question, here: Answers, nodes: Sequence[str]) -> Iterator[Finding]:
    """Have each node measure, all at once, and judge the answers as they come."""
    sent = time.time()
    task = ray.remote(num_cpus=0, max_retries=0)(measure)
    waiting = {_on(node, task).remote(asked): node for node in nodes}
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=max(0.0, sent + PATIENCE - time.time()))
        if not ready:
            break
        name = _name_of(waiting.pop(ready[0]))
        clock = {CLOCK.name: [sent, time.time()]}
        try:
            yield from judge(asked, {**here, **clock}, ray.get(ready[0]), name)
        except ray.exceptions.RayError as error:
            yield Finding("node", name, f"cannot be examined ({reason_of(error)}); this package must be there too")
    yield from (Finding("node", _name_of(node), f"did not answer in {PATIENCE:.0f} s") for node in waiting.values())


def _now() -> float:  # Ray takes no built-in function
    return time.time()


def _on(node: str, task: Any) -> Any:
    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))


def _name_of(node: str) -> str:
    """Its host and the start of its id: several nodes may be on one host."""
    host = next((known["NodeManagerHostname"] for known in ray.nodes() if known["NodeID"] == node), "node")
    return f"{host} ({node[:8]})"
