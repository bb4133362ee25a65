"""What is known of how a model was made: every setting where a trial of ours trained it, and of an imported one those
that its import states. A default of the program is no fact about a model that somebody else trained."""

from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError, safe_open

from recyclelora.config import Config, flatten
from recyclelora.documents import Plain
from recyclelora.settings import Settings

LAYOUT = "source_layout"  # in the header of an imported model's files: the code that wrote its checkpoint
UNKNOWN = "unknown"

Stated = frozenset[str] | None  # the keys that are known; None: all


def stated_by(settings: Settings, header: Collection[str]) -> Stated:
    """For a model's config file and the header of its head."""
    return frozenset(settings.values) if LAYOUT in header else None


def is_imported(head: Path) -> bool:
    """Whether the head in a model's folder came from a checkpoint of another code; False where there is none."""
    try:
        with safe_open(head, framework="np") as file:  # without torch
            return LAYOUT in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def known_settings(config: Config, stated: Stated) -> dict[str, Plain]:
    """The flat config, without what nobody stated."""
    return {key: value for key, value in flatten(config).items() if stated is None or key in stated}


def trained_on(config: Config, stated: Stated) -> str:
    """`trained on gtav`, or `source unknown`."""
    known = known_settings(config, stated)
    return f"trained on {known['data.source']}" if "data.source" in known else f"source {UNKNOWN}"
