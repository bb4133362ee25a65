"""The exported graphs against the segmentor: other processes, other batch sizes, nothing of this machine inside."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.export import ExportedProgram

from recyclelora.adapters import merge
from recyclelora.exchange.graph_export import run_onnx, save_onnx, save_program, trace
from recyclelora.models.segmentor import Segmentor
from tests.narrow import perturb
from tests.tiny import CLASSES, CROP, tiny_segmentor

ROOT = Path(__file__).resolve().parent.parent


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *CROP, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def segmentor() -> Segmentor:
    made = tiny_segmentor()
    perturb(made.vit, std=0.02)
    merge(made.vit)
    perturb(made.head, std=0.05)  # so that masks lie on both sides of 0.5
    return made.eval()


@pytest.fixture(scope="module")
def program(segmentor: Segmentor) -> Iterator[ExportedProgram]:
    before = {name: parameter.requires_grad for name, parameter in segmentor.named_parameters()}
    yield trace(segmentor, CROP)
    assert before == {name: parameter.requires_grad for name, parameter in segmentor.named_parameters()}


def assert_same_scores(found: Tensor, expected: Tensor) -> None:
    """Within 1e-5 of the largest score. Often bit for bit, but not in every run: the cause was not looked into, and is
    no more than rounding by its size."""
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.max()))
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.999


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_program_gives_the_segmentors_scores(segmentor: Segmentor, program: ExportedProgram, count: int) -> None:
    found = program.module()(images(count))
    assert found.shape == (count, CLASSES, *CROP) and not found.requires_grad
    assert_same_scores(found, segmentor.scores(images(count)))


def test_another_size_is_refused_and_not_guessed(program: ExportedProgram) -> None:
    with pytest.raises(Exception, match="shape|size"):
        program.module()(torch.zeros(1, 3, CROP[0] + 8, CROP[1]))


@pytest.mark.slow
def test_a_process_without_this_package_runs_it(segmentor: Segmentor, program: ExportedProgram, tmp_path: Path) -> None:
    save_program(program, tmp_path / "segmentor.pt2")
    save_file({"images": images(3), "scores": segmentor.scores(images(3))}, tmp_path / "expected.safetensors")
    code = ("import sys\nfor name in ('recyclelora', 'timm', 'transformers'): sys.modules[name] = None\n"
            "import torch\nfrom safetensors.torch import load_file\ntorch.set_num_threads(1)\n"
            "expected = load_file('expected.safetensors')\n"
            "found = torch.export.load('segmentor.pt2').module()(expected['images'])\n"
            "torch.testing.assert_close(found, expected['scores'], rtol=0, atol=1e-5 * float(expected['scores'].max()))\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_path_of_this_machine_is_inside(program: ExportedProgram, tmp_path: Path) -> None:
    save_program(program, tmp_path / "segmentor.pt2")
    content = (tmp_path / "segmentor.pt2").read_bytes()
    assert str(ROOT).encode() not in content and b"site-packages" not in content
    with zipfile.ZipFile(tmp_path / "segmentor.pt2") as archive:  # in so many numbers three bytes may look like a name
        texts = [name for name in archive.namelist() if not re.search(r"/(weight|tensor)_\d+$", name)]
        assert any(name.endswith("models/model.json") for name in texts) and len(texts) < 20
        assert not [name for name in texts if b".py" in archive.read(name)]


@pytest.mark.slow
def test_onnx_runtime_gives_the_scores_from_one_file_or_two(segmentor: Segmentor, program: ExportedProgram,
                                                           tmp_path: Path) -> None:
    save_onnx(program, tmp_path / "one.onnx")
    save_onnx(program, tmp_path / "two.onnx", one_file=1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.onnx", "two.onnx", "two.onnx.data"]
    for name in ("one.onnx", "two.onnx"):
        for count in (1, 3):
            assert_same_scores(run_onnx(tmp_path / name, images(count)), segmentor.scores(images(count)))
    onnx.checker.check_model(tmp_path / "one.onnx", full_check=True)
    onnx.checker.check_model(tmp_path / "two.onnx")
    graph = onnx.load(tmp_path / "one.onnx").graph
    assert [(value.name, value.type.tensor_type.shape.dim[0].dim_param) for value in (*graph.input, *graph.output)] == [
        ("images", "batch"), ("scores", "batch")]
    del graph.initializer[:]
    assert b".py" not in graph.SerializeToString()
