"""The exceptions that end in one line: what is wrong with the user's input (exit code 2), and what went away (1)."""

import re


class InputError(ValueError):
    """Bad input, said in one line: what is wrong, where (file, line, key), and what would be right.

    `key` is the dotted config key at fault where there is one, so that whoever knows the files can say the line."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.key = key


class Absent(InputError):
    """Sound input that this machine cannot serve: a data set or weights that are not here. A plan goes on without."""


class Outage(Exception):
    """Something that is needed went away, or did not come up, while the input was sound: a cluster, a store. Said in
    one line; the command line adds that the same command goes on from there, and ends with exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


# Libraries whose errors say that a tracking store, its database or the way to it failed.
_STORE = ("mlflow", "sqlalchemy", "sqlite3", "requests", "urllib3")


def is_of_store(error: BaseException) -> bool:
    """Whether an exception is that of a tracking store."""
    return type(error).__module__.partition(".")[0] in _STORE


# What MLflow and SQLite say of a server that does not answer, and of a database that another process holds for long.
_AWAY = re.compile(r"API request to \S+ failed with (timeout )?exception|failed with error code 50[234]|"
                   r"database is locked")


def is_away(error: BaseException) -> bool:
    """Whether an exception says that a tracking store does not answer now, and may do so later."""
    if not is_of_store(error):
        return False
    silent = type(error).__name__ in ("ConnectionError", "ConnectTimeout", "ReadTimeout")
    return silent or bool(_AWAY.search(str(error)))


def chain_of(error: BaseException | None) -> list[BaseException]:
    """An exception and those that led to it, the last one first, as a traceback would show them."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def reason_of(error: BaseException) -> str:
    """What an exception says, in one line: the kind of its innermost cause, and the first line of that one's text. A
    database driver's error tells more than the statement around it, and a worker's more than the task's."""
    while (cause := next(filter(None, (getattr(error, name, None) for name in ("orig", "cause", "__cause__"))), None)):
        if not isinstance(cause, BaseException):
            break
        error = cause
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
