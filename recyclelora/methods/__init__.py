"""The adapter methods: one module each, named as the value of `adapter.method`. To add one, write its module and add
its name to `NAMES`; nothing else in the program names a method."""

from importlib import import_module

from recyclelora.methods.method import Method

NAMES = ("recyclelora", "frozen", "rein")  # the first is the default


def _find(name: str) -> type[Method]:
    module = import_module(f"{__name__}.{name}")
    found = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Method)
             and each.__module__ == module.__name__]
    (method,) = found  # the one that the module defines
    assert method.method == name, f"{module.__name__}: its class says method: {method.method}"
    return method


METHODS: dict[str, type[Method]] = {name: _find(name) for name in NAMES}
DEFAULT = NAMES[0]
