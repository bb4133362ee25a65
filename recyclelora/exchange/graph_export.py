"""A segmentor as a graph that runs without this package: torch.export's `.pt2`, and ONNX."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from recyclelora.models.segmentor import Segmentor

INPUT, OUTPUT = "images", "scores"
ONE_FILE = 1_500_000_000  # bytes of weights; protobuf, hence ONNX, ends at 2 GiB, and torch splits from 1.5 GiB on


class _Scores(nn.Module):
    def __init__(self, segmentor: Segmentor) -> None:
        super().__init__()
        self.segmentor = segmentor

    def forward(self, images: Tensor) -> Tensor:
        return self.segmentor.scores(images)


def trace(segmentor: Segmentor, size: tuple[int, int]) -> ExportedProgram:
    """The graph of `segmentor.scores` on the CPU in float32: normalised images (B, 3, *size) of any B >= 1 -> scores
    (B, classes, *size). Holds the weights as they are now, so merge the adapters first; holds no path of this
    machine, no example images, and nothing that asks for gradients."""
    example = torch.zeros(2, 3, *size)
    with torch.no_grad():
        program = torch.export.export(_Scores(segmentor).eval(), (example,), dynamic_shapes=({0: Dim("batch")},))
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            for key in ("stack_trace", "from_node"):  # both name the files that were traced
                node.meta.pop(key, None)
    for name, tensor in program.state_dict.items():
        if isinstance(tensor, nn.Parameter):  # the same values, to be run without a graph of gradients
            program.state_dict[name] = nn.Parameter(tensor.detach(), requires_grad=False)
    program.example_inputs = None
    return program


def save_program(program: ExportedProgram, path: Path) -> None:
    """Write a `.pt2`, for `torch.export.load(path).module()`."""
    torch.export.save(program, path)


def save_onnx(program: ExportedProgram, path: Path, *, one_file: int = ONE_FILE) -> None:
    """Write an ONNX model with input `images` and output `scores`, its first axis named `batch`: one file, or, with
    more than `one_file` bytes of weights, those in `<path>.data` beside it. Needs the package onnxscript."""
    with _quiet():
        made = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT],
                                 dynamic_shapes={INPUT: {0: "batch"}}, verbose=False)
    assert made is not None
    for node in made.model.graph.all_nodes():
        node.metadata_props.clear()  # how torch got there: a third of a small file
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    made.save(path, external_data=size > one_file)


def run_program(path: Path, images: Tensor) -> Tensor:
    """Scores from a `.pt2` file."""
    scores: Tensor = torch.export.load(path).module()(images)
    return scores


def run_onnx(path: Path, images: Tensor) -> Tensor:
    """Scores from an ONNX file, on the CPU. Needs the package onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the optimiser's word on each operator that it leaves alone."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
