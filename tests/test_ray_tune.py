"""Ray Tune and Optuna around a toy trial: searches find the optimum, ASHA stops the bad, failures are told, and a
killed search goes on where it was."""

import errno
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from recyclelora.config import flatten
from recyclelora.errors import InputError, Outage, reason_of
from recyclelora.spaces.design import Knobs, label_of
from recyclelora.spaces.space import Space, expand
from recyclelora.spaces.space_file import read_space
from recyclelora.sweeps.capacity import Share, share_of, working_nodes
from recyclelora.sweeps.cluster import cluster, failures_told, run_on_cluster
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.jobs import Job
from recyclelora.sweeps.ray_tune import run_design, run_search
from recyclelora.trials.failures import Failure
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress
from tests import toy

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent

BASE = "config: {training.iterations: 9, evaluation.every: 1}\n"


@pytest.fixture(scope="module")
def share() -> Iterator[Share]:
    with cluster(None):
        yield share_of(working_nodes().values(), 0.5, 1.0)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.steps: dict[str, list[int]] = {}
        self.began: Counter[str] = Counter()
        self.retries: list[str] = []
        self.looks = 0

    def look_around(self) -> None:
        self.looks += 1

    def ready(self) -> bool:
        return True

    def claim(self, job: Job) -> bool:
        return True

    def started(self, job: Job) -> None:
        self.began[job.fingerprint] += 1

    def progressed(self, job: Job, progress: Progress) -> None:
        self.steps.setdefault(job.fingerprint, []).extend(iteration for iteration, _ in progress.history)

    def retried(self, job: Job, failure: Failure) -> None:
        self.retries.append(f"{failure.kind}: {failure.reason}")

    def refused(self, finding: str) -> None:
        self.retries.append(finding)

    def crowded(self, news: str) -> None:
        self.retries.append(news)

    def waiting(self, what: str) -> None:
        pass

    def ended(self, job: Job, record: Record) -> None:
        assert job.fingerprint not in self.records, "a trial ends once"
        self.records[job.fingerprint] = record


def job_of(space: Space, knobs: Knobs, seed: int = 0) -> Job:
    config = space.resolve(knobs, seed)
    return Job(label_of(knobs), knobs, f"{label_of(knobs)}-{seed}".replace(", ", "-"), flatten(config), {"seed": str(seed)})


def space_of(tmp_path: Path, text: str, goal: str = "maximize") -> Space:
    (tmp_path / "toy.yaml").write_text(f"{BASE}metric: {{name: miou/source, goal: {goal}}}\n{text}")
    return read_space(tmp_path / "toy.yaml")


def paths_of(tmp_path: Path) -> Paths:
    return Paths(tmp_path, tmp_path / "cache", None)


def test_a_design_runs_every_job_once_and_tells_each_step(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: grid\nseeds: [0, 1]\nparameters:\n  training.lr: {values: [1e-4, 1e-3, 1e-2]}\n")
    jobs = [job_of(space, planned.knobs, planned.config.seed) for planned in expand(space)]
    heard = Heard()
    run_design(jobs, heard, paths_of(tmp_path), share, space=space, name="toy", trial=toy.run)
    assert {name: record.outcome for name, record in heard.records.items()} == {job.fingerprint: "finished" for job in jobs}
    assert all(steps == list(range(1, 10)) for steps in heard.steps.values())
    assert heard.records["lr=0.001-0"].metrics["miou/source"] == pytest.approx(1.0)


def test_failures_are_told_and_do_not_stop_the_others(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: grid\nparameters:\n  adapter.init: {values: [rrqr, svd, kaiming]}\n"
                               "  training.weight_decay: {values: [0.9], when: {adapter.init: kaiming}}\n")
    heard = Heard()
    jobs = [job_of(space, planned.knobs) for planned in expand(space)]
    run_design(jobs, heard, paths_of(tmp_path), share, space=space, name="failing", trial=toy.run)
    assert {job.knobs["adapter.init"]: heard.records[job.fingerprint].outcome for job in jobs} == {
        "rrqr": "finished", "svd": "failed", "kaiming": "finished"}
    assert heard.records["init=svd-0"].reason == "diverged at iteration 3: nan"
    assert heard.began["init=svd-0"] == 1, "divergence is an outcome: it would only happen again"
    assert len(heard.retries) == 1 and "the worker fell over" in heard.retries[0]


def test_each_kind_of_failure_is_told_and_tried_as_often_as_may_help(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: cells\ncells: {one: {}}\nseeds: [1, 2, 3, 4, 5, 6, 0]\n")
    heard = Heard()
    jobs = [job_of(space, planned.knobs, planned.config.seed) for planned in expand(space)]
    for job in jobs:
        job.config.update({"resources.hung_after": 3.0, "resources.time_limit": 0.5 / 3600 if job.tags["seed"] == "5" else None})
    two = share._replace(cpus=share.cpus * share.slots / 2, slots=2)  # each has half of the node
    run_design(jobs, heard, paths_of(tmp_path), two, space=space, name="falling", trial=toy.fall, retries=2)
    told = {record.config["seed"]: (record.tags["failure"], len((tmp_path / f"tries-{record.config['seed']}").read_text()))
            for record in heard.records.values()}
    assert told == {0: ("out of memory", 3), 1: ("disk", 3), 2: ("bug", 2), 3: ("lost", 3), 4: ("hung", 2), 5: ("too long", 1),
                    6: ("bad input", 1)}
    crowded = [line for line in heard.retries if "from now on" in line]
    assert len(crowded) == 1 and crowded[0].startswith("out of memory where 2 trials share a node; from now on at most 1, with ")
    by_seed = {record.config["seed"]: record for record in heard.records.values()}
    assert "toy.py" in by_seed[4].reason and by_seed[4].reason.endswith("in fall")
    assert by_seed[2].tags["failure_trace"] and by_seed[2].reason == "ZeroDivisionError: division by zero"
    traceback = (paths_of(tmp_path).trial(by_seed[2].fingerprint) / "error.txt").read_text()
    assert "toy.py" in traceback and traceback.endswith("ZeroDivisionError: division by zero\n")
    assert not [*tmp_path.rglob("hung.txt")] or (paths_of(tmp_path).trial(by_seed[4].fingerprint) / "hung.txt").exists()


def test_a_trial_that_keeps_crashing_is_given_up_with_its_reason(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: grid\nparameters:\n  training.weight_decay: {values: [0.9]}\n")
    heard = Heard()
    run_design([job_of(space, {"training.weight_decay": 0.9})], heard, paths_of(tmp_path), share, space=space,
               name="crashing", trial=toy.run, retries=0)
    record = heard.records["weight_decay=0.9-0"]
    assert record.outcome == "failed" and "the worker fell over" in record.reason


ONE_BY_ONE = Share(1.0, 0.0, 1)  # what happens must not hang on which worker was faster


def test_asha_stops_the_bad_and_spares_the_best(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: random\nrun_cap: 6\nparameters:\n  training.lr: {values: [1e-3, 9e-4, 1e-6, 2e-6, "
                               "3e-6, 5e-6]}\nearly_terminate: {type: asha, min_iter: 2, eta: 2}\n")
    heard = Heard()
    jobs = sorted((job_of(space, planned.knobs) for planned in expand(space)), key=lambda job: -rate_of(job))
    run_design(jobs, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="asha", trial=toy.run)
    outcomes = {rate_of(job): heard.records[job.fingerprint] for job in jobs}
    assert outcomes[1e-3].outcome == "finished"
    for rate in (1e-6, 2e-6, 3e-6, 5e-6):
        record = outcomes[rate]
        assert (record.outcome, record.iteration) == ("pruned", 2), "worse than the better half, at the first rung"
        assert record.reason == "stopped early at iteration 2"


def test_asha_side_by_side_keeps_what_leads(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: random\nrun_cap: 4\nparameters:\n  training.lr: {values: [1e-3, 1e-4, 1e-5, 1e-6]}\n"
                               "early_terminate: {type: asha, min_iter: 2, eta: 2}\n")
    heard = Heard()
    jobs = [job_of(space, planned.knobs) for planned in expand(space)]
    run_design(jobs, heard, paths_of(tmp_path), share, space=space, name="asha", trial=toy.run)
    outcomes = {rate_of(job): heard.records[job.fingerprint] for job in jobs}
    assert outcomes[1e-3].outcome == "finished", "whoever reaches a rung first"
    assert all(2 <= record.iteration < 9 for record in outcomes.values() if record.outcome == "pruned")
    assert {record.outcome for record in outcomes.values()} <= {"finished", "pruned"}


class Modest(Heard):
    """A listener that leaves some jobs to others."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted, self.asked = wanted, 0

    def claim(self, job: Job) -> bool:
        self.asked += 1
        return self.asked > 3 - self.wanted


@pytest.mark.parametrize("wanted", [0, 1])
def test_what_may_not_be_claimed_is_not_run(tmp_path: Path, share: Share, wanted: int) -> None:
    space = space_of(tmp_path, "method: grid\nparameters:\n  training.lr: {values: [1e-4, 1e-3, 1e-2]}\n")
    heard = Modest(wanted)
    run_design([job_of(space, planned.knobs) for planned in expand(space)], heard, paths_of(tmp_path), share, space=space,
               name="modest", trial=toy.run)
    assert (heard.asked, len(heard.records), len(heard.began)) == (3, wanted, wanted)


def rate_of(job: Job) -> float:
    return float(job.knobs["training.lr"])  # type: ignore[arg-type]


SEARCH = "method: tpe\nrun_cap: 25\nparameters:\n  training.lr: {min: 1e-6, max: 1e-0, distribution: log_uniform}\n"


class Proposals:
    """Resolves knobs to jobs, and knows the records of those that have been run."""

    def __init__(self, space: Space) -> None:
        self.space, self.known = space, dict[str, Record]()
        self.asked: list[float] = []

    def __call__(self, knobs: Knobs) -> tuple[Job, Record | None]:
        job = job_of(self.space, knobs)
        self.asked.append(knobs["training.lr"])  # type: ignore[arg-type]
        return job, self.known.get(job.fingerprint)


def test_tpe_finds_the_optimum_and_its_study_persists(tmp_path: Path, share: Share) -> None:
    space, study = space_of(tmp_path, SEARCH), tmp_path / "studies" / "toy.journal"
    heard, propose = Heard(), Proposals(space)
    run_search(propose, 15, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="toy", study=study, trial=toy.run)
    assert len(heard.records) == 15
    storage = JournalStorage(JournalFileBackend(str(study)))
    loaded = optuna.load_study(study_name="toy", storage=storage)
    assert [trial.state.name for trial in loaded.trials] == ["COMPLETE"] * 15

    interrupted = loaded.ask({"training.lr": optuna.distributions.FloatDistribution(1e-6, 1.0, log=True)})
    run_search(propose, 10, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="toy", study=study, trial=toy.run)
    assert propose.asked[15] == interrupted.params["training.lr"], "what was under way comes first"
    assert len(heard.records) == 25
    best = max(record.metrics["miou/source"] for record in heard.records.values())
    assert best > 0.97, "within a factor 1.3 of the best rate, of six decades"


def test_a_proposal_that_was_run_before_is_answered_and_not_run(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: tpe\nrun_cap: 4\nparameters:\n  adapter.init: {values: [rrqr, kaiming]}\n"
                               "  training.lr: {values: [1e-3, 1e-2]}\n")
    heard, propose = Heard(), Proposals(space)
    original = heard.ended

    def ended(job: Job, record: Record) -> None:
        original(job, record)
        propose.known[job.fingerprint] = record

    heard.ended = ended  # type: ignore[method-assign]
    run_search(propose, 9, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="small",
               study=tmp_path / "small.journal", trial=toy.run)
    assert len(heard.records) == 4, "there are only four points; the search ends when it finds nothing new"
    assert set(heard.began.values()) == {1}


def test_a_cluster_that_does_not_answer_is_one_line() -> None:
    code = "from recyclelora.sweeps.cluster import cluster\nwith cluster('127.0.0.1:1'): pass"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "InputError: RAY_ADDRESS=127.0.0.1:1: nothing listens there (Connection refused)" in result.stderr


# goals


def test_a_search_that_minimises_finds_the_smallest(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, SEARCH.replace("run_cap: 25", "run_cap: 20"), goal="minimize")
    heard, propose, study = Heard(), Proposals(space), tmp_path / "low.journal"
    run_search(propose, 20, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="low", study=study, trial=toy.run_error)
    loaded = optuna.load_study(study_name="low", storage=JournalStorage(JournalFileBackend(str(study))))
    errors = {name: record.metrics["miou/source"] for name, record in heard.records.items()}
    assert loaded.direction == optuna.study.StudyDirection.MINIMIZE
    assert loaded.best_value == pytest.approx(min(errors.values())) and min(errors.values()) < 0.05 < max(errors.values())
    board = Board("low", "miou/source", 20, space.goal)
    for name, record in heard.records.items():
        board.start(name, name)
        board.end(name, record)
    assert board.best is not None and board.best[0] == min(errors.values())


def test_asha_stops_the_larger_half_where_the_goal_is_to_minimise(tmp_path: Path, share: Share) -> None:
    space = space_of(tmp_path, "method: random\nrun_cap: 6\nparameters:\n  training.lr: {values: [1e-3, 9e-4, 1e-6, 2e-6, "
                               "3e-6, 5e-6]}\nearly_terminate: {type: asha, min_iter: 2, eta: 2}\n", goal="minimize")
    heard = Heard()
    jobs = sorted((job_of(space, planned.knobs) for planned in expand(space)), key=lambda job: -rate_of(job))
    run_design(jobs, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="asha-low", trial=toy.run_error)
    outcomes = {rate_of(job): heard.records[job.fingerprint] for job in jobs}
    assert outcomes[1e-3].outcome == "finished", "the smallest error"
    for rate in (1e-6, 2e-6, 3e-6, 5e-6):
        assert (outcomes[rate].outcome, outcomes[rate].iteration) == ("pruned", 2)
    assert max(record.metrics["miou/source"] for record in outcomes.values() if record.outcome == "finished") < min(
        record.metrics["miou/source"] for record in outcomes.values() if record.outcome == "pruned")


def test_a_trial_that_only_has_to_be_evaluated_is_not_stopped_early(tmp_path: Path, share: Share) -> None:
    """The rung is at the last iteration: the worse trial ends there as well, and only its evaluation is left."""
    space = space_of(tmp_path, "method: random\nrun_cap: 2\nparameters:\n  training.lr: {values: [1e-3, 1e-6]}\n"
                               "early_terminate: {type: asha, min_iter: 9, eta: 2}\n")
    heard = Heard()
    jobs = sorted((job_of(space, planned.knobs) for planned in expand(space)), key=lambda job: -rate_of(job))
    run_design(jobs, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="asha-last", trial=toy.run)
    assert [heard.records[job.fingerprint].outcome for job in jobs] == ["finished", "finished"]


@pytest.mark.parametrize(("eta", "stopped"), [(2, {3}), (4, {2, 3})])
def test_asha_keeps_the_share_that_eta_says(tmp_path: Path, share: Share, eta: int, stopped: set[int]) -> None:
    """Four trials one after the other: the third best, the best, the second, the worst. Each goes on if it is in the
    best half, or quarter, of those before it."""
    space = space_of(tmp_path, "method: random\nrun_cap: 4\nparameters:\n  training.lr: {values: [1e-6, 1e-3, 1e-5, 2e-4]}\n"
                               f"early_terminate: {{type: asha, min_iter: 8, eta: {eta}}}\n")
    heard, rates = Heard(), (1e-5, 1e-3, 2e-4, 1e-6)
    jobs = sorted((job_of(space, planned.knobs) for planned in expand(space)), key=lambda job: rates.index(rate_of(job)))
    run_design(jobs, heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name=f"eta-{eta}", trial=toy.run)
    assert {place for place, job in enumerate(jobs) if heard.records[job.fingerprint].outcome == "pruned"} == stopped


# what goes wrong around the jobs


def test_bad_input_on_a_worker_fails_the_trial_once(tmp_path: Path, share: Share) -> None:
    space, heard = space_of(tmp_path, "method: grid\nparameters:\n  training.lr: {values: [1e-3]}\n"), Heard()
    run_design([job_of(space, {"training.lr": 1e-3})], heard, paths_of(tmp_path), ONE_BY_ONE, space=space, name="bad",
               trial=toy.refuse)
    record = heard.records["lr=0.001-0"]
    assert (record.outcome, record.reason) == ("failed", "no such image") and not heard.retries


class Full(Heard):
    """A listener whose disk is full from the third step on."""

    def progressed(self, job: Job, progress: Progress) -> None:
        super().progressed(job, progress)
        if progress.done == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_error_of_the_listener_ends_the_sweep_and_is_no_failure_of_the_trial(tmp_path: Path, share: Share,
                                                                                capfd: pytest.CaptureFixture[str]) -> None:
    space = space_of(tmp_path, "method: grid\nparameters:\n  training.lr: {values: [1e-4, 1e-3, 1e-2]}\n")
    heard = Full()
    with pytest.raises(OSError, match="No space left on device"):
        run_design([job_of(space, planned.knobs) for planned in expand(space)], heard, paths_of(tmp_path), ONE_BY_ONE,
                   space=space, name="full", trial=toy.run)
    assert not heard.records and not heard.retries, "the trial did nothing wrong"
    assert "Traceback" not in "".join(capfd.readouterr())


def test_an_error_of_the_proposals_ends_the_search(tmp_path: Path, share: Share, capfd: pytest.CaptureFixture[str]) -> None:
    def propose(knobs: Knobs) -> tuple[Job, Record | None]:
        raise sqlite3.OperationalError("database or disk is full")

    space = space_of(tmp_path, SEARCH)
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        run_search(propose, 3, Heard(), paths_of(tmp_path), ONE_BY_ONE, space=space, name="torn",
                   study=tmp_path / "torn.journal", trial=toy.run)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_function_that_fails_on_the_cluster_is_told_in_a_line(share: Share) -> None:
    one, two, three = run_on_cluster(toy.fail, [("value",), ("exit",), ("none",)], ONE_BY_ONE)
    assert one == "it failed on the cluster (ValueError: two lines)"
    assert str(two).startswith("the worker died (WorkerCrashedError")
    assert three == "none"
    with pytest.raises(InputError, match="^bad input$"):
        run_on_cluster(toy.fail, [("input",)], ONE_BY_ONE)


@pytest.mark.parametrize("error", [error for error in vars(ray.exceptions).values()
                                   if isinstance(error, type) and issubclass(error, ray.exceptions.RayError)],
                         ids=lambda error: error.__name__)
def test_every_error_of_ray_is_told_in_a_line(error: type[Exception]) -> None:
    made = error.__new__(error)  # their constructors differ, and want addresses of actors and objects
    made.__class__ = type(error.__name__, (error,), {"__str__": lambda self: "first\nsecond"})
    assert reason_of(made) == f"{error.__name__}: first"
    with pytest.raises(Outage) as caught, failures_told():
        raise made
    assert str(caught.value) == f"the Ray cluster failed ({error.__name__}: first)"


def test_a_node_that_dies_under_a_task_is_told_in_a_line(tmp_path: Path) -> None:
    """In a process of its own: two nodes on this machine, one of which goes while it runs the task."""
    code = """
import sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from recyclelora.sweeps.capacity import Share
from recyclelora.sweeps.cluster import cluster, run_on_cluster
from tests import toy

def remove() -> None:
    while not mark.exists():
        time.sleep(0.1)
    made.remove_node(node, allow_graceful=False)

mark = Path(sys.argv[1])
made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
node = made.add_node(num_cpus=4)
threading.Thread(target=remove, daemon=True).start()
with cluster(made.address):
    print(run_on_cluster(toy.wait, [(str(mark),)], Share(2.0, 0.0, 1)))
made.shutdown()
"""
    (tmp_path / "dying.py").write_text(code)
    done = subprocess.run([sys.executable, str(tmp_path / "dying.py"), str(tmp_path / "mark")], capture_output=True, text=True,
                          timeout=900, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\['(it failed on the cluster|the worker died) \(\w+", done.stdout, re.MULTILINE), done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", [Exception("The current node timed out during startup"), RuntimeError("no room"),
                                   OSError(28, "No space left on device"), TimeoutError(), AssertionError("session")])
def test_a_ray_that_does_not_start_here_is_told_in_a_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**given: object) -> None:
        raise error

    monkeypatch.setattr("ray.init", fail)  # what a machine too slow for it makes of it
    monkeypatch.setattr("ray.shutdown", lambda: None)  # the one that the other tests run on
    with pytest.raises(Outage, match=rf"^Ray did not start on this machine \({type(error).__name__}"), cluster(None):
        pass
    with pytest.raises(InputError, match=r"^RAY_ADDRESS=auto: no Ray cluster answers there"), cluster("auto"):
        pass
