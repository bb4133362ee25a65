"""How a sweep is run: nothing here changes the result of a trial."""

from collections.abc import Sequence
from typing import NamedTuple

from recyclelora.sweeps.jobs import Part


class Options(NamedTuple):
    """`address`: of a Ray cluster that is joined, None for a private one. `store`: of the MLflow server, None for the
    store in the results folder. `retries`: how often a trial is tried again at most. `only`: the cells that are run
    now, all if empty. `part`: the share of the trials that is run now. `slots`: the most trials side by side.
    `notify`: the address of a webhook (see `Webhook`). `store_wait`: for how many seconds the tracking store
    may not answer while nothing else is left to do."""

    address: str | None = None
    store: str | None = None
    retries: int = 2
    only: Sequence[str] = ()
    part: Part | None = None
    slots: int | None = None
    notify: str | None = None
    store_wait: int = 600
