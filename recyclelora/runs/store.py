"""Reads the runs of an MLflow store: from a database by a few read-only queries, from a server by MLflow's search.

MLflow's search takes 4 to 7 ms per run. The queries touch the latest value of each metric only, so that neither time
nor memory grows with the points that were logged."""

import math
import sqlite3
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import FromClause, Select, column, create_engine, inspect, make_url, select, table
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from recyclelora.documents import check_name
from recyclelora.runs.run import Run, age

PAGE = 1000  # runs that MLflow's search returns at most; it stops there without a word
FEW = 50  # values that are looked up one by one, 15 ms each through MLflow; for more, all runs are read, 4 ms each
CHUNK = 500  # runs whose values are in memory at once; SQL Server takes 2,100 values in a query, sqlite 32,766
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # that MLflow takes
FAILURES = (SQLAlchemyError, sqlite3.Error)
DELETED = 2  # mlflow.entities.ViewType.DELETED_ONLY

RUNS = table("runs", *map(column, ("run_uuid", "name", "status", "start_time", "artifact_uri", "experiment_id",
                                   "lifecycle_stage")))
TAGS = table("tags", column("run_uuid"), column("key"), column("value"))
PARAMS = table("params", column("run_uuid"), column("key"), column("value"))
METRICS = table("latest_metrics", column("run_uuid"), column("key"), column("value"), column("is_nan"))


class Store:
    """The runs of one experiment. `client` is an MlflowClient. With an `engine` the database is read, and `client` is
    asked only when that fails: only a writer can roll back what a killed one left half done."""

    def __init__(self, client: Any, experiment_id: str, engine: Engine | None) -> None:
        self._client, self._experiment_id, self._engine = client, experiment_id, engine

    def tagged(self, key: str, values: Collection[str] | None = None, *, status: str = "",
               deleted: bool = False) -> list[Run]:
        """The runs that carry a tag, oldest first; with `values`, only where it has one of these, with `status`, only
        those in it. Deleted runs alone, or none of them. From a database, without params and metrics."""
        found = None
        if self._engine is not None:
            try:
                with self._engine.connect() as connection:
                    found = list(self._read_tagged(connection, key, values, status, deleted))
            except FAILURES:
                pass
        if found is None:
            found = self._ask_tagged(key, values, status, deleted)
        return sorted(found, key=age)

    def whole(self, runs: Iterable[Run]) -> Iterator[Run]:
        """The same runs with their params and metrics."""
        if self._engine is None:
            yield from runs  # a search brings them along
            return
        for some in _chunks(runs):
            try:
                with self._engine.connect() as connection:
                    details = list(_read_details(connection, some))
            except FAILURES:
                details = [to_run(self._client.get_run(run.run_id)) for run in some]
            yield from details

    def place_of(self, run_id: str) -> str:
        """The address of a run's files."""
        if self._engine is not None:
            try:
                with self._engine.connect() as connection:
                    for row in _read(connection, select(RUNS.c.artifact_uri).where(RUNS.c.run_uuid == run_id)):
                        return str(row[0])
            except FAILURES:
                pass
        return str(self._client.get_run(run_id).info.artifact_uri)

    def _read_tagged(self, connection: Connection, key: str, values: Collection[str] | None, status: str,
                     deleted: bool) -> Iterator[Run]:
        statement = (select(RUNS.c.run_uuid, RUNS.c.name, RUNS.c.status, RUNS.c.start_time, RUNS.c.artifact_uri,
                            TAGS.c.value)
                     .join_from(TAGS, RUNS, TAGS.c.run_uuid == RUNS.c.run_uuid)
                     .where(TAGS.c.key == key, RUNS.c.experiment_id == int(self._experiment_id),
                            RUNS.c.lifecycle_stage == ("deleted" if deleted else "active")))
        if status:
            statement = statement.where(RUNS.c.status == status)
        if values is not None and len(values) <= FEW:
            statement = statement.where(TAGS.c.value.in_(sorted(values)))
        wanted = None if values is None else set(values)
        rows = (row[:-1] for row in _read(connection, statement) if wanted is None or row[-1] in wanted)
        for some in _chunks(rows):
            tags = _read_values(connection, TAGS, [row[0] for row in some])
            for run_id, name, state, start, files in some:
                own = tags[run_id]
                yield Run(run_id, name or own.get("mlflow.runName", ""), state, start, files, own, {}, {})

    def _ask_tagged(self, key: str, values: Collection[str] | None, status: str, deleted: bool) -> list[Run]:
        conditions = [f"tags.`{key}` LIKE '%'"]
        if values is not None and len(values) <= FEW:
            conditions = [f"tags.`{key}` = '{check_name(value, key)}'" for value in values]
        also = f" AND attributes.status = '{status}'" if status else ""
        found = {run.run_id: run for condition in conditions for run in self._search(condition + also, deleted)}
        return [run for run in found.values() if values is None or run.tags[key] in values]

    def _search(self, condition: str, deleted: bool) -> Iterator[Run]:
        token, view = None, {"run_view_type": DELETED} if deleted else {}
        while True:
            page = self._client.search_runs([self._experiment_id], condition, max_results=PAGE, page_token=token,
                                            order_by=["attributes.start_time ASC"], **view)
            yield from map(to_run, page)
            token = page.token
            if not token:
                return


def connect(uri: str) -> Engine | None:
    """The database at `uri`, to be read only; None where there is none, or none with the tables that are known."""
    try:
        address = make_url(uri)
        if address.get_backend_name() not in DATABASES:
            return None
        if address.get_backend_name() == "sqlite":
            engine = _open_file(Path(address.database or ":memory:"))
        else:
            engine = create_engine(address, poolclass=NullPool).execution_options(postgresql_readonly=True)
        here = inspect(engine)
        for known in (RUNS, TAGS, PARAMS, METRICS):
            if not set(known.c.keys()) <= {one["name"] for one in here.get_columns(known.name)}:
                return None
        return engine
    except (SQLAlchemyError, ImportError):
        return None


def _open_file(path: Path) -> Engine:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True, timeout=60),
                         poolclass=NullPool)


def _read(connection: Connection, statement: Select[Any]) -> list[tuple[Any, ...]]:
    """All rows at once: a query left open keeps sqlite's writers waiting. As the driver has them: SQLAlchemy's own rows
    take as long as the query."""
    return list(connection.execute(statement).cursor.fetchall())


def _read_values(connection: Connection, place: FromClause, run_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Run id -> key -> value. Ten thousand runs share one copy of each key."""
    values: dict[str, dict[str, Any]] = {run_id: {} for run_id in run_ids}
    rows = _read(connection, select(place).where(place.c.run_uuid.in_(run_ids)))
    if place is METRICS:
        for run_id, key, value, is_nan in rows:
            values[run_id][sys.intern(key)] = math.nan if is_nan else value
    else:
        for run_id, key, value in rows:
            values[run_id][sys.intern(key)] = value
    return values


def _read_details(connection: Connection, runs: list[Run]) -> Iterator[Run]:
    run_ids = [run.run_id for run in runs]
    params, metrics = _read_values(connection, PARAMS, run_ids), _read_values(connection, METRICS, run_ids)
    return (run._replace(params=params[run.run_id], metrics=metrics[run.run_id]) for run in runs)


def to_run(run: Any) -> Run:
    """From an mlflow.entities.Run."""
    return Run(run.info.run_id, run.info.run_name, run.info.status, run.info.start_time, run.info.artifact_uri,
               run.data.tags, run.data.params, run.data.metrics)


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    some: list[Any] = []
    for item in items:
        some.append(item)
        if len(some) == CHUNK:
            yield some
            some = []
    if some:
        yield some
