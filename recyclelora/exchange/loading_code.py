"""Code that loads each format of an export, to be run in its folder."""

from typing import Any


def snippet(name: str, model: dict[str, Any]) -> str:
    """The code for one format; `model` is the content of `model.json`."""
    height, width = model["window"]
    words = {"HEIGHT": str(height), "WIDTH": str(width), "ARCHITECTURE": model["backbone"]["timm"].partition(".")[0]}
    code = _SNIPPETS[name]
    for word, value in words.items():
        code = code.replace(word, value)
    return code


_READ = """import json
import torch

about = json.load(open("model.json"))
mean, std = (torch.tensor(about["input"][key]).view(3, 1, 1) for key in ("mean", "std"))
rgb = torch.randint(256, (3, HEIGHT, WIDTH))  # in the place of an image
images = ((rgb / 255 - mean) / std)[None]"""

_TORCH = """
scores = torch.export.load("segmentor.pt2").module()(images)
label = scores.argmax(1)  # (1, HEIGHT, WIDTH), numbers of about["classes"]"""

_ONNX = """
session = onnxruntime.InferenceSession("segmentor.onnx")
(scores,) = session.run(["scores"], {"images": images.numpy()})
label = scores.argmax(1)  # (1, HEIGHT, WIDTH), numbers of about["classes"]"""

_TIMM = """import timm
vit = timm.create_model("local-dir:timm", pretrained=True).eval()

import json
from safetensors.torch import load_file
from recyclelora.models.segmentor import HeadShape, build_segmentor

about = json.load(open("model.json"))
segmentor = build_segmentor(vit, num_classes=len(about["classes"]), head=HeadShape(**about["head"])).eval()
vit_alone = segmentor.load_state_dict(load_file("head.safetensors"), strict=False).missing_keys"""

_PEFT = """import json
import timm
from peft import PeftModel
from safetensors.torch import load_file

arguments = json.load(open("model.json"))["backbone"]["arguments"]
vit = timm.create_model("ARCHITECTURE", pretrained=True,
                        pretrained_cfg_overlay={"file": "pretrained.safetensors"}, **arguments)
vit.load_state_dict(load_file("peft/embeddings.safetensors"), strict=False)
vit = PeftModel.from_pretrained(vit, "peft")
vit = vit.merge_and_unload().eval()  # some of timm's attentions pass by an adapter that is not merged"""

_SNIPPETS = {"torch": _READ + _TORCH, "onnx": "import onnxruntime\n" + _READ + _ONNX, "timm": _TIMM, "peft": _PEFT}
