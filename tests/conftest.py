"""Shared fixtures: real weights, real images where they are to be had, and a results folder that outlives one test run
so that weights are downloaded once. And what makes a test say the same whoever runs it, when, and after which other."""

import os
import random
import signal
import threading
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before SciPy: its threads spin where cores are shared (10 x, measured)

import hypothesis
import numpy as np
import pytest
import torch

REPO = Path(__file__).resolve().parent.parent
DATA_ROOT, CACHE = (os.environ.get(name) for name in ("DATA_ROOT", "RECYCLELORA_CACHE"))
for name in list(os.environ):  # what a user or a CI service may have set; for the processes started here as well
    if name.startswith(("MLFLOW_", "RAY_")) or name in ("DATA_ROOT", "RECYCLELORA_CACHE", "COLUMNS", "LINES", "NO_COLOR",
                                                        "FORCE_COLOR", "TTY_COMPATIBLE", "GIT_DIR", "GIT_WORK_TREE",
                                                        "TERM", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
        del os.environ[name]
for name in ("NO_PROXY", "no_proxy"):  # servers of this machine are asked by themselves, whatever stands before others
    os.environ[name] = ",".join(filter(None, ("127.0.0.1,localhost", os.environ.get(name))))
# Processes started elsewhere run the code of this checkout too, whichever the environment was made for.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPO), os.environ.get("PYTHONPATH"))))

import recyclelora.verbs.console  # noqa: E402, F401, now: its width would stay that of a test which sets COLUMNS and imports it first

# The same examples each time, however long one takes and whatever was found in an earlier run.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, database=None,
                                     suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("same")


# A job in the background of a shell, or under nohup, ignores these; tests send them, also to the processes they start.
if threading.current_thread() is threading.main_thread():
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before a test and the fixtures made for it: what is drawn without a seed hangs on no other test, nor does the
    number of threads, which a trial sets."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    torch.set_num_threads(1)  # two contend with whatever else runs here: small steps then take ten times as long


@pytest.fixture(scope="session")
def cache() -> Path:
    """Pretrained weights, factorisations and rendered scenes."""
    folder = Path(CACHE or REPO / "results" / "cache").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def dinov2_small(cache: Path) -> Path:
    """Real DINOv2-S weights, timm's tensor names."""
    from recyclelora.models.pretrained_weights import resolve_weights

    return resolve_weights("dinov2_small", file=None, cache=cache).path


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The folder that holds `camvid/`: $DATA_ROOT, or `shared/data` beside the checkout."""
    for root in (DATA_ROOT, REPO.parent / "shared" / "data"):
        if root and (Path(root) / "camvid" / "train").is_dir():
            return Path(root)
    pytest.skip("CamVid is not here: set DATA_ROOT to the folder that holds camvid/")
