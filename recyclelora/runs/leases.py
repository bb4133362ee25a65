"""Leases: which driver runs which trial, among those that share a tracking store.

MLflow has no locks. Two things in it can be done by one caller only: making an experiment of some name, and writing a
param of a run, which is never changed. So one run, the ledger, is kept in an experiment beside the trials' own, and a
lease is a param of the ledger: `<fingerprint>.<n>`, whose value names the holder, the n-th one of this trial. Nobody
can overwrite it, and of two that want to be the n-th one is refused.

A holder is a driver. Its heartbeat is a tag of the ledger, a number that it counts up every BEAT seconds for all its
leases together, and removes when it ends. A lease is dead when its holder has no heartbeat; when the holder is a
process of this machine that has ended, or another driver of this results folder, whose lock is ours; or when the
heartbeat did not change for LIMIT seconds *by the clock of whoever reads it*, counted from when that one first read it.
No two clocks are compared, so that they may differ as they like; only their rates must agree. The price: a driver that
died on another machine is waited for LIMIT seconds long. A driver that was suspended for longer than LIMIT finds out
before it writes: see `Leases.held`."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from recyclelora.errors import InputError

BEAT, LIMIT = 10.0, 60.0  # seconds
REFUSED, KNOWN = "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS"  # MLflow's codes


class Holder(NamedTuple):
    """A driver. `key` is its own, `owner` the id of its results folder, `machine` its running system and where its
    process numbers count, `started` when its process began, in the system's ticks."""

    key: str
    owner: str
    machine: str
    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}"


def this_driver(owner: str) -> Holder:
    return Holder(uuid.uuid4().hex, owner, _machine(), socket.gethostname(), os.getpid(), _start_of(os.getpid()))


def seconds() -> float:
    """A clock that nobody sets, and that counts while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leases:
    """The leases of this driver, and what it knows of the others'. `client` is an MlflowClient. Every call may raise
    what it raises."""

    def __init__(self, client: Any, ledger: str, owner: str, *, beat: float = BEAT, limit: float = LIMIT) -> None:
        self._client, self._ledger, self._pause, self._limit = client, ledger, beat, limit
        self._self = this_driver(owner)
        self._mine: dict[str, int] = {}  # fingerprint -> which holder of it this driver is
        self._lost: set[str] = set()
        self._seen: dict[str, tuple[str, float]] = {}  # a holder's key -> its heartbeat, and when it was first read
        self._beats, self._last = 0, seconds()
        self._lock, self._ended = threading.Lock(), threading.Event()

    def claim(self, fingerprint: str) -> Holder | None:
        """None where this driver holds the lease of a trial now, or the driver that holds it."""
        # A param may be written again with its own value: who held a trial before looks first which number is next.
        number, ledger = 1, self._client.get_run(self._ledger) if fingerprint in self._lost else None
        while fingerprint not in self._mine:
            if ledger is not None:
                number, holder = _newest(ledger.data.params, fingerprint)
                if holder is not None and self._lives(holder, ledger.data.tags):
                    return holder
                number += 1
            if self._write(f"{fingerprint}.{number}"):
                self._mine[fingerprint] = number
                self._lost.discard(fingerprint)
            else:
                ledger = self._client.get_run(self._ledger)
        return None

    def held(self, fingerprint: str) -> bool:
        """Whether a claimed lease is still this driver's: false after a pause longer than the limit in which another
        one took it over. Ask before anything is written for a trial."""
        if seconds() - self._last > self._limit:
            self.beat()
        return fingerprint not in self._lost

    def beat(self) -> None:
        """Count up the heartbeat; after a pause that was too long, look what was taken over."""
        with self._lock:
            began = seconds()
            late = began - self._last > self._limit
            self._beats += 1
            self._client.set_tag(self._ledger, _beat_of(self._self), str(self._beats))
            if late:
                params = self._client.get_run(self._ledger).data.params
                for fingerprint, number in list(self._mine.items()):
                    if _newest(params, fingerprint)[0] != number:
                        self._lost.add(fingerprint)
                        del self._mine[fingerprint]
            self._last = began

    @contextmanager
    def kept(self) -> Iterator["Leases"]:
        """The heartbeat goes on until the block ends; then all leases are free."""
        self.beat()
        thread = threading.Thread(target=self._keep, daemon=True, name="heartbeat")
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join(self._pause)
            with suppress(Exception):  # a server that went away: the limit frees them
                self._client.delete_tag(self._ledger, _beat_of(self._self))

    def _keep(self) -> None:
        while not self._ended.wait(self._pause):
            with suppress(Exception):  # whoever writes for a trial meets the same error, and raises it
                self.beat()

    def _write(self, name: str) -> bool:
        """Whether the param could be written: nobody else was quicker."""
        try:
            self._client.log_param(self._ledger, name, json.dumps(self._self._asdict()))
        except Exception as error:
            if getattr(error, "error_code", "") != REFUSED:
                raise
            return False
        return True

    def _lives(self, holder: Holder, tags: Mapping[str, str]) -> bool:
        beat = tags.get(_beat_of(holder))
        if beat is None or holder.owner == self._self.owner:
            return False
        if holder.machine == self._self.machine and _start_of(holder.pid) != holder.started:
            return False
        now = seconds()
        last, since = self._seen.setdefault(holder.key, (beat, now))
        if last != beat:
            self._seen[holder.key] = (beat, now)
            return True
        return now - since < self._limit


class Unshared:
    """The leases of a store that no other driver writes to: the one in a results folder, which has a lock."""

    def claim(self, fingerprint: str) -> Holder | None:
        return None

    def held(self, fingerprint: str) -> bool:
        return True


def open_ledger(client: Any, experiment: str, patience: float = 10.0) -> str:
    """The id of the ledger beside an experiment, made on first use. Who made its experiment makes it and says so in a
    tag; the others wait for that. Should that one have died in between, whoever waited longest makes it, and what the
    tag says some seconds later is the ledger. Raises InputError where somebody deleted it."""
    name = f"{experiment}.leases"
    try:
        place = client.create_experiment(name)
    except Exception as error:
        if getattr(error, "error_code", "") != KNOWN:
            raise
        found = client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise InputError(f"MLflow experiment {name!r}: is deleted; restore it, or choose another name") from None
        place, deadline = found.experiment_id, time.monotonic() + patience
        while "ledger" not in found.tags and time.monotonic() < deadline:
            time.sleep(0.2)
            found = client.get_experiment(place)
        if "ledger" in found.tags:
            return str(found.tags["ledger"])
        _make_ledger(client, place)
        time.sleep(patience / 5)
        return str(client.get_experiment(place).tags["ledger"])
    return _make_ledger(client, place)


def _make_ledger(client: Any, place: str) -> str:
    made = str(client.create_run(place, run_name="ledger", tags={"kind": "ledger"}).info.run_id)
    client.set_terminated(made)  # it takes params all the same, and does not look as if something ran
    client.set_experiment_tag(place, "ledger", made)
    return made


def _newest(params: Mapping[str, str], fingerprint: str) -> tuple[int, Holder | None]:
    """The newest holder of a trial and its number; 0 and None where there was none."""
    number = 0
    while f"{fingerprint}.{number + 1}" in params:
        number += 1
    return number, Holder(**json.loads(params[f"{fingerprint}.{number}"])) if number else None


def _beat_of(holder: Holder) -> str:
    return f"beat.{holder.key}"


def _machine() -> str:
    """The system since it was booted, and the namespace of process numbers: containers of a host have their own."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return uuid.uuid4().hex  # nobody's: whether its processes live is not known


def _start_of(pid: int) -> str:
    """When a process began, "" where there is none of this number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
