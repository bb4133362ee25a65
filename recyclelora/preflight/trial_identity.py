"""Every node finds the weights and the data of the trials, and computes the same fingerprints from them. Without
trials, the weights in the cache and the names of the data sets are compared."""

from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.models.sources import sha256_of
from recyclelora.preflight.finding import Answer, Check, Faults, Question
from recyclelora.settings import Settings
from recyclelora.trials import build
from recyclelora.trials.delivery import other_trial


def measure(asked: Question) -> Answer:
    if not asked.cluster:  # the only machine planned the trials itself
        return {"trials": [], "weights": {}, "sets": []}
    trials = [_identify(trial.config, asked) for trial in asked.trials]
    return {"trials": trials, "weights": {} if trials else _weights(asked.paths.cache / "weights"),
            "sets": _folders(asked.paths.data_root)}


def _identify(config: dict, asked: Question) -> dict[str, str]:  # type: ignore[type-arg]
    try:
        return build.identify(Settings(dict(config)).resolve(), asked.paths).tags
    except InputError as error:
        return {"error": str(error)}


def _weights(folder: Path) -> dict[str, str]:
    """sha256 by name of file."""
    return {path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))}


def _folders(root: Path | None) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root and root.is_dir() else []


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    found = zip(asked.trials, there["trials"], strict=False)
    said = dict.fromkeys(answer.get("error") or other_trial(trial.tags, answer) for trial, answer in found)
    yield from ((text, True) for text in said if text)
    differing = [name for name in here["weights"] if here["weights"][name] != there["weights"].get(name)]
    if differing:
        yield (f"{', '.join(differing)} in {asked.paths.cache / 'weights'}: missing, or another file than the "
               "driver's"), True
    if missing := sorted(set(here["sets"]) - set(there["sets"])):
        yield f"{asked.paths.data_root} has no {', '.join(missing)}, which it has for the driver", bool(asked.trials)


CHECK = Check("weights and data", measure, judge)
