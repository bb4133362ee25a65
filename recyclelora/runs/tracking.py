"""Tracks sweeps and trials in MLflow, which only this room imports: a parent run per sweep, a run per fingerprint.

Explicit run ids only: MLflow's fluent functions and autologging keep global state, and duplicate runs on resume."""

import hashlib
import logging
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from recyclelora.documents import check_name
from recyclelora.errors import InputError, reason_of
from recyclelora.runs.encoding import clean, encode
from recyclelora.runs.leases import Leases, Unshared, open_ledger
from recyclelora.runs.mlflow_urls import on_server
from recyclelora.runs.planned_cells import PlannedCell, dump_plan
from recyclelora.runs.reader import Reader
from recyclelora.runs.redaction import check_address, hide, redact
from recyclelora.runs.results_folder import one_at_a_time, prepare
from recyclelora.runs.run import LAYERS, Run, outcome_of, same
from recyclelora.runs.run_artifacts import Files
from recyclelora.runs.store import Store, connect, to_run
from recyclelora.spaces.statement import Statement, dump_statement
from recyclelora.trials.record import Flat, Record
from recyclelora.writing import whole_file

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow looks at this when it is imported
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow's own 7 retries hold a sweep up for four minutes; what a server misses is kept and sent later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

import mlflow.store.db.utils  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Experiment, Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

for _name in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # they repeat what is raised, with tracebacks
    logging.getLogger(_name).setLevel(logging.CRITICAL)

PARENT = "mlflow.parentRunId"  # the tag by which MLflow's pages nest runs
MAX_PARAM = 6000  # characters; MLflow cuts a longer value without a word
MAX_TAG = 5000
MAX_NAME = 250
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
             "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}  # MLflow's own: minutes before a dead server is called dead
FIXED = {"fingerprint", "kind", "owner", "seed", "sweep", "cell", PARENT, "run_id", "duplicates"}  # what a run is
_Item = TypeVar("_Item")


class Tracker(Reader):
    """Sweeps and trials in one MLflow experiment. Any call may be repeated after a crash: nothing is written twice."""

    def __init__(self, client: MlflowClient, experiment_id: str, results: Path, owner: str, uri: str,
                 shared_as: str = "") -> None:
        """`shared_as`: the name of an experiment in a store that other drivers may write to as well."""
        super().__init__(Store(client, experiment_id, connect(uri)), Files(client), experiment_id, results, uri)
        self._client, self._owner, self._shared_as = client, owner, shared_as
        self._steps: dict[str, dict[str, int]] = {}  # run id -> metric -> last step in the store

    @classmethod
    def open(cls, results: Path, experiment: str = "recyclelora", uri: str | None = None) -> "Tracker":
        """Open the store, made on first use: the database and artifacts under `results`, or the server at `uri`.

        Raises InputError, within about ten seconds, for a folder or a store that cannot be used."""
        results = results.resolve()
        owner = prepare(results)
        where = check_address(uri) if uri else f"sqlite:///{results}/mlflow.db"
        with one_at_a_time(results), _impatient():
            try:
                if not uri:
                    _create_database(results)
                client = MlflowClient(tracking_uri=where)
                experiment_id = _open_experiment(client, experiment, results, own=not uri)
            except InputError:
                raise
            except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError, ValueError) as error:
                raise InputError(_complaint(where, error, given=bool(uri))) from None
        return cls(client, experiment_id, results, owner, where, experiment if uri else "")

    @property
    def address(self) -> str:
        """That of the store, without secrets."""
        return redact(self._uri)

    def ping(self) -> None:
        """A call of the store that changes nothing; raises what it raises."""
        self._client.get_experiment(self._experiment_id)

    @contextmanager
    def leasing(self) -> Iterator[Leases | Unshared]:
        """The leases of this driver, which end with the block. Raises InputError where somebody deleted their
        ledger."""
        if not self._shared_as:
            yield Unshared()
            return
        with Leases(self._client, open_ledger(self._client, self._shared_as), self._owner).kept() as leases:
            yield leases

    # sweeps

    def sweep_run(self, name: str, plan: Sequence[PlannedCell], *, method: str = "grid", space: str = "",
                  objective: str = "miou/target_mean", goal: str = "maximize", statement: str = "",
                  file: Path | None = None) -> str:
        """The id of the sweep's parent run, found or made, and marked as running. Its artifacts `plan.json`,
        `space.yaml` and `statement.json` become the ones given, and planned trials that other sweeps have run become
        members of this one.

        Raises InputError for a name that is not plain, and where the sweep of that name has another plan and is that
        of another `file`, which is still there: its table would become this one's."""
        check_name(name, "sweep")
        tags = {"kind": "sweep", "sweep": name, "owner": self._owner, "method": method, "objective": objective,
                "goal": goal, "space_sha256": hashlib.sha256(space.encode()).hexdigest()}
        with one_at_a_time(self._results):
            found = self._sweep_runs(name)
            if found and file is not None:
                self._check_file(found[0], name, plan, file)
            run = found[0] if found else self._create(name, tags)
        self._update(run, tags=tags | ({"space_file": str(file)} if file else {}))
        self._client.update_run(run.run_id, status="RUNNING")
        self._files.log_text(run.run_id, "plan.json", dump_plan(plan))
        if space:
            self._files.log_text(run.run_id, "space.yaml", space)
        if statement or found:  # one that states nothing any more takes its former statement back
            self._files.log_text(run.run_id, "statement.json", statement or dump_statement(Statement()))
        self.adopt(run.run_id, name, plan)
        return run.run_id

    def _check_file(self, run: Run, name: str, plan: Sequence[PlannedCell], file: Path) -> None:
        """The same file, moved or edited or copied as it is, goes on with its sweep."""
        former = Path(run.tags.get("space_file") or file)
        if not former.is_file() or former.samefile(file):
            return
        with suppress(InputError):
            if sorted(cell[:3] for cell in self.plan(name)) == sorted(cell[:3] for cell in plan):
                return
        raise InputError(f"{file}: its sweep would be called {name}, which is that of {former} already, with other "
                         "trials; rename one of the files, or choose another folder with --results")

    def adopt(self, parent: str, name: str, plan: Sequence[PlannedCell]) -> None:
        """Make the trials of the plan that the store has, whoever ran them, members of this sweep."""
        cells = {cell.fingerprint: cell.cell for cell in reversed(plan)}
        for fingerprint, runs in self._runs_of(cells).items():
            self._update(runs[0], tags=_membership(runs[0], name, cells[fingerprint], parent))

    def close_sweep(self, run_id: str, *, complete: bool = True) -> None:
        """Mark the sweep's parent run as finished, or as failed when some of its trials are still to do."""
        self._client.set_terminated(run_id, "FINISHED" if complete else "FAILED")

    # trials

    def trial_run(self, fingerprint: str, *, sweep_run_id: str | None, config: Flat, tags: Mapping[str, str]) -> str:
        """The id of the one run of this trial. A finished run is left as it is; any other is opened again, under the
        sweep that first had it. `tags` names at least `sweep` and `cell` where the trial belongs to a sweep."""
        check_name(fingerprint, "fingerprint")
        if "sweep" in tags:
            check_name(tags["sweep"], "sweep")
        born = {"seed": str(config.get("seed", "")), **tags, **({PARENT: sweep_run_id} if sweep_run_id else {}),
                "kind": "trial", "fingerprint": fingerprint, "owner": self._owner}
        with one_at_a_time(self._results):
            run = self._find(fingerprint)
            if run is None:
                name = f"{tags.get('cell') or fingerprint[:12]}, seed {born['seed']}"
                run = self._withdraw(self._create(name, born))
            elif outcome_of(run) != "finished":
                self._reopen(run)
            member = _membership(run, tags["sweep"], tags.get("cell", ""), sweep_run_id) if "sweep" in tags else {}
            if outcome_of(run) == "finished":
                self._update(run, tags=member)
            else:
                self._update(run, tags={**_free(tags), **member, "owner": self._owner}, params=config)
        return run.run_id

    def log_steps(self, run_id: str, history: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Log metrics of some iterations in their order, but for those the store already has for the iteration or for
        a later one."""
        last, now, points = dict(self._last_steps(run_id)), int(time.time() * 1000), []
        for iteration, metrics in history:
            fresh = {key: float(value) for key, value in metrics.items() if iteration > last.get(key, -1)}
            points += [Metric(key, value, now, iteration) for key, value in fresh.items()]
            last.update(dict.fromkeys(fresh, iteration))
        self._log_points(run_id, points)
        self._steps[run_id] = last

    def finish(self, run_id: str, record: Record, artifacts: Mapping[str, Path] | None = None,
               series: Mapping[str, Sequence[float]] | None = None) -> None:
        """Log the record, the files (name in the store -> file or folder) and the values per layer (see
        `add_metrics`), and close the run, in that order, so that a finished run is a whole one. A run that finished
        before keeps its first record. Raises ValueError for the record of another trial."""
        run = to_run(self._client.get_run(run_id))
        if record.fingerprint != run.tags.get("fingerprint"):
            raise ValueError(f"run {run_id} is of trial {run.tags.get('fingerprint')}, the record of "
                             f"{record.fingerprint}")
        if outcome_of(run) == "finished":
            return
        for name, path in (artifacts or {}).items():
            self._files.log(run_id, name, path)
        self._log_series(run, series or {})
        last = self._last_steps(run_id)
        fresh = {key: value for key, value in record.metrics.items() if not same(run.metrics.get(key), value)}
        step = max([record.iteration, *(last.get(key, 0) for key in fresh)])
        self._log_metrics(run_id, fresh, step, int(time.time() * 1000) + 1)  # later than any step, so it is the latest
        tags = {**_free(record.tags), "outcome": record.outcome, "iteration": str(record.iteration)}
        self._update(run, tags={**tags, "reason": record.reason} if record.reason else tags)
        self._client.set_terminated(run_id, "FAILED" if record.outcome == "failed" else "FINISHED")
        self._steps.pop(run_id, None)

    def add_metrics(self, run_id: str, metrics: Mapping[str, float], layers: Mapping[str, Sequence[float]],
                    tags: Mapping[str, str] | None = None) -> None:
        """Add numbers to a run that is closed already: `metrics`, and per name in `layers` (`<name>/<which>`) one
        value per layer, logged as metric `layer/<name>/<which>` with the layer's index as step. What the store has
        already is not written again; a number that differs becomes the latest one. `tags` say where they come from."""
        run = to_run(self._client.get_run(run_id))
        fresh = {key: value for key, value in metrics.items() if not same(run.metrics.get(key), value)}
        iteration = run.tags.get("iteration", "")
        step = max([int(iteration) if iteration.isdecimal() else 0,
                    *(point.step for key in fresh.keys() & run.metrics.keys() for point in self._points(run_id, key))])
        self._log_metrics(run_id, fresh, step, int(time.time() * 1000))
        self._log_series(run, layers)
        self._update(run, tags=_free(tags or {}))

    def log_artifact(self, run_id: str, name: str, path: Path) -> None:
        """Put a file or a folder into a run, in place of one of that name."""
        self._files.log(run_id, name, path)

    def close_orphans(self, alive: Collection[str] = ()) -> list[str]:
        """Mark as killed what this results folder left running: trials whose fingerprint is not in `alive`, and sweeps
        without a live trial. Other people's runs on a server are not touched. Returns the names of the runs."""
        running = self._store.tagged("owner", [self._owner], status="RUNNING")
        live = [run for run in running if run.tags.get("fingerprint") in alive]
        kept = {run.run_id for run in live} | {run.tags.get(PARENT, "") for run in live}
        orphans = [run for run in running if run.run_id not in kept]
        for run in orphans:
            self._client.set_terminated(run.run_id, "KILLED")
        return [run.name for run in orphans]

    # the store

    def _find(self, fingerprint: str) -> Run | None:
        runs = self._runs_of([fingerprint])
        return next(self._store.whole(runs[fingerprint][:1])) if runs else None

    def _create(self, name: str, tags: Mapping[str, str]) -> Run:
        run = to_run(self._client.create_run(self._experiment_id, run_name=clean(name, MAX_NAME),
                                             tags={key: clean(tags[key], MAX_TAG) for key in tags}))
        self._steps[run.run_id] = {}
        return run

    def _reopen(self, run: Run) -> None:
        self._steps.pop(run.run_id, None)  # another process may have logged to it since
        for key in {"outcome", "reason"} & set(run.tags):
            self._client.delete_tag(run.run_id, key)
        if run.status != "RUNNING":
            self._client.update_run(run.run_id, status="RUNNING")

    def _withdraw(self, made: Run) -> Run:
        """The run to use after `made` was created: where another machine was quicker, its run, and ours is deleted."""
        winner = self._find(made.tags["fingerprint"]) or made
        if winner.run_id != made.run_id:
            self._client.delete_run(made.run_id)
        return winner

    def _update(self, run: Run, *, tags: Mapping[str, str], params: Flat | None = None) -> None:
        """Set the tags that differ and the params that are missing (MLflow's params never change)."""
        encoded = {key: encode(value) for key, value in (params or {}).items() if key not in run.params}
        short = {key: value for key, value in encoded.items() if len(value) <= MAX_PARAM}
        if len(short) < len(encoded):
            tags = {**tags, "only_in_config_yaml": ", ".join(sorted(encoded.keys() - short.keys()))}
        cleaned = {key: clean(value, MAX_TAG) for key, value in tags.items()}
        changed = [RunTag(key, value) for key, value in cleaned.items() if run.tags.get(key) != value]
        for some in _chunks([Param(key, value) for key, value in short.items()]):
            self._client.log_batch(run.run_id, params=some)
        if len(changed) == 1:
            self._client.set_tag(run.run_id, changed[0].key, changed[0].value)  # one commit; a batch of one makes three
            return
        for tagged in _chunks(changed):
            self._client.log_batch(run.run_id, tags=tagged)

    def _last_steps(self, run_id: str) -> dict[str, int]:
        """Metric -> its last step; read from the store once for a run that this process did not create."""
        if run_id not in self._steps:
            keys = self._client.get_run(run_id).data.metrics
            self._steps[run_id] = {key: max((point.step for point in self._points(run_id, key)), default=-1)
                                   for key in keys}
        return self._steps[run_id]

    def _points(self, run_id: str, key: str) -> list[Metric]:
        return sorted(self._client.get_metric_history(run_id, key), key=lambda point: int(point.timestamp))

    def _log_series(self, run: Run, series: Mapping[str, Sequence[float]]) -> None:
        now, points = int(time.time() * 1000), []
        for key, values in ((LAYERS + name, values) for name, values in series.items()):
            known = {point.step: point.value for point in self._points(run.run_id, key)} if key in run.metrics else {}
            points += [Metric(key, float(value), now, step) for step, value in enumerate(values)
                       if not same(known.get(step), value)]
        self._log_points(run.run_id, points)

    def _log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int, timestamp: int) -> None:
        self._log_points(run_id, [Metric(key, float(value), timestamp, step) for key, value in metrics.items()])

    def _log_points(self, run_id: str, points: list[Metric]) -> None:
        for some in _chunks(points, size=500):
            self._client.log_batch(run_id, metrics=some)


def _free(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags without those that say which run it is: a record that was read or computed elsewhere never changes
    them."""
    return {key: value for key, value in tags.items() if key not in FIXED}


def _membership(run: Run, sweep: str, cell: str, parent: str | None) -> dict[str, str]:
    """Tags of a trial that serves this sweep. The first sweep that it serves is also its home."""
    home = {"sweep": sweep, "cell": cell, **({PARENT: parent} if parent else {})}
    return {f"sweep.{sweep}": cell, **({} if "sweep" in run.tags else home)}


def _complaint(uri: str, error: Exception, *, given: bool) -> str:
    text = hide(str(error).partition("\n")[0], uri)
    silence = re.search(r"Caused by (\w+)", text)
    reason = f"no answer, {silence[1]}" if silence else hide(reason_of(error), uri)
    advice = ("start the server or correct MLFLOW_TRACKING_URI, or unset it to keep the runs in the results folder"
              if given else "repair it, or choose another results folder")
    return f"MLflow store {redact(uri)}: cannot be used ({reason}); {advice}"


def _create_database(results: Path) -> None:
    """Make the database under another name first: it takes seconds, and one under its own name is always complete."""
    if (results / "mlflow.db").exists():
        return
    with (tempfile.TemporaryDirectory(dir=results, prefix="new-store-") as folder,
          whole_file(results / "mlflow.db") as whole):
        MlflowClient(tracking_uri=f"sqlite:///{folder}/made.db")
        with (closing(sqlite3.connect(f"{folder}/made.db")) as made,
              closing(sqlite3.connect(whole)) as copy):  # MLflow keeps its connection to the first
            made.backup(copy)


def _open_experiment(client: MlflowClient, name: str, results: Path, *, own: bool) -> str:
    """The id of the experiment, made on first use. On a server its files go where the server keeps files."""
    place = results / "artifacts"
    far = on_server(client.tracking_uri)
    experiment = client.get_experiment_by_name(name) or _make_experiment(client, name, None if far else place)
    if experiment.lifecycle_stage != "active":
        raise InputError(f"MLflow experiment {name!r}: is deleted in {redact(client.tracking_uri)}; "
                         "restore it there, or choose another name")
    former = Path(unquote(urlsplit(experiment.artifact_location).path))
    if own and former.resolve() != place:
        raise InputError(f"results folder {results}: was moved, and its database names files in {former}; "
                         "move it back, or make its former place a link to it")
    if "mlflow.experimentKind" not in experiment.tags:  # or MLflow's pages open on language models' traces
        client.set_experiment_tag(experiment.experiment_id, "mlflow.experimentKind", "custom_model_development")
    return str(experiment.experiment_id)


def _make_experiment(client: MlflowClient, name: str, place: Path | None) -> Experiment:
    try:
        return client.get_experiment(client.create_experiment(name, place.as_uri() if place else None))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or (made := client.get_experiment_by_name(name)) is None:
            raise
        return made  # another machine was quicker


@contextmanager
def _impatient() -> Iterator[None]:
    """While a store is opened: few retries, and no log lines about migrations."""
    environment, retries = {name: os.environ.get(name) for name in IMPATIENT}, mlflow.store.db.utils.MAX_RETRY_COUNT
    loggers = {name: logging.getLogger(name).level for name in ("mlflow", "alembic", "urllib3")}
    os.environ.update(IMPATIENT)
    mlflow.store.db.utils.MAX_RETRY_COUNT = 2  # of 10: 102 s for a database that is not there
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, value in environment.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
        mlflow.store.db.utils.MAX_RETRY_COUNT = retries
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)


def _chunks(items: list[_Item], size: int = 100) -> Iterator[list[_Item]]:
    return (items[start:start + size] for start in range(0, len(items), size))
