"""Shared fixtures: real weights, real images where they are to be had, and a results folder that outlives one test run
so that weights are downloaded once."""

import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before SciPy: its threads spin where cores are shared (10 x, measured)

import pytest
import torch

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)  # two contend with whatever else runs here: small steps then take ten times as long


@pytest.fixture(scope="session")
def cache() -> Path:
    """Pretrained weights, factorisations and rendered scenes."""
    folder = Path(os.environ.get("RECYCLELORA_CACHE") or REPO / "results" / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def dinov2_small(cache: Path) -> Path:
    """Real DINOv2-S weights, timm's tensor names."""
    from recyclelora.models.weights import resolve_weights

    return resolve_weights("dinov2_small", file=None, cache=cache).path


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The folder that holds `camvid/`: $DATA_ROOT, or `shared/data` beside the checkout."""
    for root in (os.environ.get("DATA_ROOT"), REPO.parent / "shared" / "data"):
        if root and (Path(root) / "camvid" / "train").is_dir():
            return Path(root)
    pytest.skip("CamVid is not here: set DATA_ROOT to the folder that holds camvid/")
