"""Errors of the driver on their way through Tune: a full disk, a store that went away."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Halt(BaseException):
    """Carries an error out of Tune, which takes any `Exception` in a callback for one of the trial's, prints it, and
    tries the trial again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def halting(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """The function, which ends the whole sweep where it raises."""
    @functools.wraps(function)
    def guarded(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        try:
            return function(*given, **named)
        except Exception as error:
            raise Halt(error) from error

    return guarded
