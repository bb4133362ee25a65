"""Reads sweeps from a store: their plans and statements, the records and files of their trials, the addresses of
pages."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from recyclelora.documents import check_name
from recyclelora.errors import InputError
from recyclelora.runs import mlflow_urls
from recyclelora.runs.planned_cells import PlannedCell, parse_plan
from recyclelora.runs.redaction import redact
from recyclelora.runs.run import (
    Decoded,
    DeletedRun,
    Run,
    Sweep,
    by_fingerprint,
    outcome_of,
    to_deleted,
    to_record,
    to_sweep,
)
from recyclelora.runs.run_artifacts import Files
from recyclelora.runs.store import Store
from recyclelora.spaces.statement import Statement, parse_statement
from recyclelora.trials.record import Record


class Reader:
    """The reading half of a tracker; it changes nothing. `uri` is the store's address, `results` its folder here."""

    def __init__(self, store: Store, files: Files, experiment_id: str, results: Path, uri: str) -> None:
        self._store, self._files, self._experiment_id = store, files, experiment_id
        self._results, self._uri = results, uri

    # sweeps

    def sweeps(self) -> list[Sweep]:
        """The sweeps of the store, by name."""
        oldest: dict[str, Run] = {}
        for run in self._sweep_runs():
            oldest.setdefault(run.tags["sweep"], run)
        return [to_sweep(run) for _, run in sorted(oldest.items())]

    def sweep(self, name: str) -> Sweep:
        """One sweep. Raises InputError when the store has none of that name."""
        return to_sweep(self._parent(name))

    def plan(self, name: str) -> list[PlannedCell]:
        """The cells of a sweep in their order, empty for a search. Raises InputError for an unknown sweep."""
        run = self._parent(name)
        try:
            return parse_plan(self._files.read_text(run.run_id, run.files, "plan.json") or "")
        except (OSError, ValueError):
            raise InputError(_damage(name, run, "plan.json is missing or damaged")) from None

    def statement(self, name: str) -> Statement:
        """The statement of the sweep's experiment, empty where there is none. Raises InputError for an unknown
        sweep."""
        run = self._parent(name)
        try:
            text = self._files.read_text(run.run_id, run.files, "statement.json")
            return Statement() if text is None else parse_statement(text)
        except (OSError, ValueError):
            raise InputError(_damage(name, run, "statement.json is damaged")) from None

    def space_sha256(self, name: str) -> str:
        """The sha256 of the file that the sweep was last started from. Raises InputError for an unknown sweep."""
        return self._parent(name).tags.get("space_sha256", "")

    # records

    def records(self, name: str) -> list[Record]:
        """The records of a sweep's closed trials, in the order of its plan, for a search in the order they started.
        Of several runs with one fingerprint the oldest finished is taken, and tag `duplicates` names the others."""
        plan = list(dict.fromkeys(cell.fingerprint for cell in self.plan(name)))
        runs = by_fingerprint(_trials(self._store.tagged(f"sweep.{name}")))
        return self._read_records([runs[fingerprint] for fingerprint in plan or runs if fingerprint in runs])

    def finished(self, fingerprints: Collection[str]) -> dict[str, Record]:
        """The records of those trials that came to an end, finished or pruned, whichever sweep ran them."""
        runs = [group for group in self._runs_of(fingerprints).values() if outcome_of(group[0]) != "failed"]
        return {record.fingerprint: record for record in self._read_records(runs)}

    def ended(self, fingerprints: Collection[str]) -> dict[str, Record]:
        """The records of those trials that ended, in whatever way and whichever sweep ran them."""
        return {record.fingerprint: record
                for record in self._read_records([*self._runs_of(fingerprints).values()])}

    def deleted(self, name: str) -> list[DeletedRun]:
        """The trials of a sweep whose runs somebody deleted in MLflow's pages, oldest run first."""
        self._parent(name)
        return [to_deleted(run, name) for run in _trials(self._store.tagged(f"sweep.{name}", deleted=True))]

    def artifact(self, run_id: str, name: str, folder: Path) -> Path | None:
        """A copy in `folder` of a run's file or folder; None where the run has none of that name."""
        return self._files.fetch(run_id, self._store.place_of(run_id), name, folder)

    # pages

    def ui_command(self, host: str = "127.0.0.1", port: int = 5000) -> list[str]:
        """Arguments that start MLflow's own pages on this store. Raises InputError where a server shows them already,
        or where the address holds a password, which does not belong into a process list."""
        return mlflow_urls.command(self._uri, self._results / "artifacts", host, port)

    def run_url(self, run_id: str, port: int = 5000) -> str:
        """The address of a run's page, on the server or on the pages that `ui_command` starts at `port`."""
        return mlflow_urls.address(self._uri, self._experiment_id, [run_id], port)

    def runs_url(self, run_ids: Sequence[str], port: int = 5000) -> str:
        """The address of the page that shows these runs: one run's own, or the comparison of several."""
        return mlflow_urls.address(self._uri, self._experiment_id, run_ids, port)

    # runs

    def _parent(self, name: str) -> Run:
        """The parent run of a sweep."""
        check_name(name, "sweep")
        found = self._sweep_runs(name)
        if not found:
            known = ", ".join(sweep.name for sweep in self.sweeps()) or "none yet"
            raise InputError(f"sweep {name!r}: not in {redact(self._uri)}; it has: {known}")
        return found[0]

    def _sweep_runs(self, name: str = "") -> list[Run]:
        runs = self._store.tagged("goal")  # which trials do not carry: `kind` would be compared ten thousand times
        return [run for run in runs if run.tags.get("kind") == "sweep" and name in ("", run.tags["sweep"])]

    def _runs_of(self, fingerprints: Collection[str]) -> dict[str, list[Run]]:
        """The runs of each trial that has any, in each list the one that counts first."""
        return by_fingerprint(_trials(self._store.tagged("fingerprint", set(fingerprints))))

    def _read_records(self, groups: Sequence[Sequence[Run]]) -> list[Record]:
        """The record of each trial that ended; a group holds a trial's runs, the one that counts first."""
        ended = [(group, outcome) for group in groups if (outcome := outcome_of(group[0])) is not None]
        decoded = Decoded()
        return [to_record(run, outcome, group[1:], decoded) for run, (group, outcome)
                in zip(self._store.whole(group[0] for group, _ in ended), ended, strict=True)]


def _trials(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.tags.get("kind") == "trial"]


def _damage(name: str, run: Run, what: str) -> str:
    return (f"sweep {name!r}: its {what} (run {run.run_id}); start the sweep again, which rewrites it and keeps every "
            "finished trial")
