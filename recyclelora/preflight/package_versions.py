"""Every node has the same versions of Python and of the packages that this one rests on."""

import platform
from importlib.metadata import PackageNotFoundError, version

from recyclelora.preflight.finding import Answer, Check, Faults, Question

PACKAGES = ("torch", "torchvision", "timm", "transformers", "ray", "mlflow", "optuna", "scikit-learn", "numpy", "scipy",
            "pillow", "pydantic", "pyyaml", "safetensors", "onnx", "filelock", "rich", "matplotlib", "jinja2")


def version_of(package: str) -> str:
    """Its version, "" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def measure(asked: Question) -> Answer:
    return {"python": platform.python_version(), **{package: version_of(package) for package in PACKAGES}}


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    differing = [f"{name} {there[name] or 'none'} (driver: {here[name] or 'none'})"
                 for name in here if here[name] != there[name]]
    if differing:
        yield f"{', '.join(differing)}; install requirements.lock on every node", True


CHECK = Check("packages", measure, judge)
