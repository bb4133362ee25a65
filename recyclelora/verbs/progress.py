"""Progress of hashing the data: their identity needs it, and the first time it takes minutes."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from threading import Timer
from typing import TypeVar

from recyclelora.config import Config
from recyclelora.data.datasets import DomainData
from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import ERRORS, watched

PATIENCE = 2.0  # seconds of silence
Item = TypeVar("Item")


def hash_data(configs: Iterable[Config], paths: Paths) -> None:
    """Hash the data of these trials once, under a progress bar, so that their fingerprints find it done. Stops quietly
    at the first error: making the trials meets it again, and reports it with file and line."""
    from recyclelora.trials.build import all_parts, check, open_domains

    with suppress(InputError):
        for config in configs:
            check(config, paths)
            for data in all_parts(open_domains(config, paths)):
                fingerprint_of(data, paths)


def fingerprint_of(data: DomainData, paths: Paths) -> str:
    """The fingerprint of a domain. Raises InputError as it does."""
    what = f"hashing {data.domain} {data.split}"
    return data.fingerprint(partial(announced, total=len(data), what=what, note=f"remembered in {paths.cache}"))


def announced(items: Iterable[Item], total: int, what: str, note: str) -> Iterator[Item]:
    """The items under a progress bar; without a terminal, one line of news if they take longer than PATIENCE."""
    done = 0
    if ERRORS.is_terminal:
        yield from watched(items, total, f"{what}, once")
        return
    timer = Timer(PATIENCE, lambda: ERRORS.print(f"{what}: {done:,} of {total:,}; {note}", highlight=False,
                                                 markup=False))
    timer.daemon = True
    timer.start()
    try:
        for done, item in enumerate(items, 1):  # noqa: B007 (the timer reads it)
            yield item
    finally:
        timer.cancel()
