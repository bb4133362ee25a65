"""A weight matrix -> an adapter. Needs torch, scipy, safetensors and filelock only: this folder can be taken alone,
with `recyclelora/writing.py`.

Nothing is loaded before it is asked for, so that readers of settings get the names of `init_names` without torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recyclelora.adapters.library import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        library = import_module("recyclelora.adapters.library")
        if name in library.__all__:
            return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(import_module("recyclelora.adapters.library").__all__)
