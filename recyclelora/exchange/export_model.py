"""Exports a trained model in formats of other programs. The files are written into a new folder, read again as their
users would, and compared with the model; only then does the folder get its name."""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recyclelora.adapters import adapted_layers, save_peft
from recyclelora.adapters.tensor_files import write_tensors
from recyclelora.config import Config
from recyclelora.data.evaluation_sizes import size_of
from recyclelora.documents import dump, nearest
from recyclelora.errors import InputError
from recyclelora.exchange import graph_export, timm_files
from recyclelora.exchange.model_card import Facts, write_card
from recyclelora.exchange.output_folder import ABOUT, FORMAT, replacing
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.pretrained_weights import Weights, sha256_of
from recyclelora.trials.artifacts import CONFIG, HEAD, Model
from recyclelora.trials.build import head_shape
from recyclelora.trials.record import Record
from recyclelora.trials.stated import UNKNOWN, known_settings

FORMATS = ("peft", "timm", "torch", "onnx")
PROGRAM, ONNX, CARD, PEFT, TIMM = "segmentor.pt2", "segmentor.onnx", "README.md", "peft", "timm"

# How far each format's output may be from the model's, relative to the largest value of that. 4e-5 is the most that was
# measured; scores get more room, as Mask2Former's attention masks make a step of a rounding where a mask is near 0.5.
TOLERANCES = {"merge": 1e-4, "peft": 1e-4, "timm": 0.0, "torch": 1e-3, "onnx": 1e-3}


class Export(NamedTuple):
    """`differences`: by format, the largest difference from the model's own output relative to its largest value; None
    where the package that reads the format is not installed. `merge`: that of merging the adapters."""

    folder: Path
    formats: tuple[str, ...]
    differences: dict[str, float | None]
    sizes: dict[str, int]  # file -> bytes


def choose_formats(asked: Sequence[str], lacks: Mapping[str, str]) -> tuple[str, ...]:
    """The formats asked for, in a fixed order; "all" means all but those in `lacks` (format: why not). Raises
    InputError for an unknown one, for one that cannot hold the model, and for ONNX without the package that writes
    it."""
    for name in asked:
        if name not in (*FORMATS, "all"):
            raise InputError(f"--to {name}: unknown format{nearest(name, (*FORMATS, 'all'))}")
        if name in lacks:
            raise InputError(f"--to {name}: {lacks[name]}")
    chosen = tuple(name for name in FORMATS
                   if name in asked or ("all" in asked and name not in lacks))
    if "onnx" in chosen and importlib.util.find_spec("onnxscript") is None:
        raise InputError("--to onnx: needs a package that is not installed: pip install onnxscript onnxruntime")
    return chosen


def export_model(model: Model, weights: Weights, record: Record | None, tags: dict[str, str], formats: Sequence[str],
                 out: Path) -> Export:
    """Write `out` anew with the given formats, what goes with each, `model.json` and a model card.

    `record` and `tags` are what is known of the run. Raises InputError, and leaves `out` as it was, where `out` is
    something else than an earlier export, and where a format does not give the model's output."""
    with replacing(out) as folder:
        settings = {key: value for key, value in known_settings(model.config, model.stated).items()
                    if not key.startswith("resources.") and key != "backbone.weights"}  # what is this machine's alone
        (folder / CONFIG).write_text(dump(settings))
        differences = _write_formats(model, weights, formats, folder)
        _check(differences)
        facts = Facts(model=_about(model, weights), config=settings, formats=tuple(formats),
                      differences=differences, record=record, tags=tags, sizes=_sizes(folder))
        (folder / CARD).write_text(write_card(facts))
        files = {name: {"bytes": size, "sha256": sha256_of(folder / name)} for name, size in _sizes(folder).items()}
        content = {"export": FORMAT, **facts.model, "differences": differences, "files": files}
        (folder / ABOUT).write_text(json.dumps(content, indent=1) + "\n")
        sizes = _sizes(folder)
    return Export(out, tuple(formats), differences, sizes)


def _write_formats(model: Model, weights: Weights, formats: Sequence[str], folder: Path) -> dict[str, float | None]:
    """Write each format and compare it with the model."""
    vit, images = model.segmentor.vit, _images(model.config)
    differences: dict[str, float | None] = {}
    adapters, adapted = adapted_layers(vit), timm_files.last_features(vit, images)
    if "peft" in formats:
        save_peft(vit, folder / PEFT)
        timm_files.save_embeddings(vit, folder / PEFT / timm_files.EMBEDDINGS)
    about = _header(model, weights)
    with model.segmentor.merged():
        features = timm_files.last_features(vit, images)
        if adapters:
            differences["merge"] = _difference(features, adapted)
        if "peft" in formats:
            differences["peft"] = _if_installed("peft", lambda: _difference(
                timm_files.last_features(_read_peft(model, weights, folder), images), adapted))
        if "timm" in formats:
            timm_files.save_timm(vit, folder / TIMM, about)
            read = timm_files.read_timm(folder / TIMM)
            differences["timm"] = _difference(timm_files.last_features(read, images), features)
        if "torch" in formats or "onnx" in formats:
            differences |= _write_graphs(model, images, formats, folder)
    head = {name: tensor for name, tensor in model.segmentor.state_dict().items() if not name.startswith("vit.")}
    write_tensors(head, folder / HEAD, about)
    return differences


def _write_graphs(model: Model, images: Tensor, formats: Sequence[str], folder: Path) -> dict[str, float | None]:
    differences: dict[str, float | None] = {}
    scores = model.segmentor.scores(images)
    program = graph_export.trace(model.segmentor, model.config.evaluation.window)
    if "torch" in formats:
        graph_export.save_program(program, folder / PROGRAM)
        differences["torch"] = _difference(graph_export.run_program(folder / PROGRAM, images), scores)
    if "onnx" in formats:
        graph_export.save_onnx(program, folder / ONNX)
        differences["onnx"] = _if_installed("onnxruntime", lambda: _difference(
            graph_export.run_onnx(folder / ONNX, images), scores))
    return differences


def _read_peft(model: Model, weights: Weights, folder: Path) -> torch.nn.Module:
    architecture = BACKBONES[model.config.backbone.name].timm_name.partition(".")[0]
    arguments = timm_files.build_arguments(model.segmentor.vit)
    return timm_files.read_peft(folder / PEFT, weights.path, architecture, arguments)


def _images(config: Config) -> Tensor:
    """Two normalised images of the window's size to compare outputs on: always the same noise, over large patches."""
    height, width = config.evaluation.window
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(2, 3, 5, 7, generator=generator)
    fine = torch.randn(2, 3, height, width, generator=generator)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") + 0.3 * fine


def _if_installed(package: str, measure: Callable[[], float]) -> float | None:
    return measure() if importlib.util.find_spec(package) is not None else None


def _difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value; infinite where either is not finite."""
    difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
    return difference if difference == difference else float("inf")


def _check(differences: dict[str, float | None]) -> None:
    for name, difference in differences.items():
        if difference is not None and difference > TOLERANCES[name]:
            raise InputError(f"export: {name} differs from the model by {difference:.1e} of its largest output, more "
                             f"than the {TOLERANCES[name]:.0e} that rounding explains; nothing was written")


def _header(model: Model, weights: Weights) -> dict[str, str]:
    return {"origin": json.dumps({
        "backbone": model.config.backbone.name, "weights_sha256": weights.sha256, "fingerprint": model.fingerprint,
        "label_space": model.space.name}, sort_keys=True)}


def _about(model: Model, weights: Weights) -> dict[str, Any]:
    """Facts that a user of the files needs who does not have this package."""
    row, config = BACKBONES[model.config.backbone.name], model.config
    height, width = config.evaluation.window
    return {
        "fingerprint": model.fingerprint,
        "backbone": {"name": config.backbone.name, "timm": row.timm_name, "licence": row.licence,
                     "weights_sha256": weights.sha256, "weights_source": weights.source,
                     "arguments": timm_files.build_arguments(model.segmentor.vit)},
        "head": asdict(head_shape(config)),
        "input": {"name": graph_export.INPUT, "shape": ["batch", 3, height, width], "channels": "RGB",
                  "mean": list(row.mean), "std": list(row.std)},
        "output": {"name": graph_export.OUTPUT, "shape": ["batch", len(model.space.classes), height, width]},
        "window": [height, width], "stride": list(config.evaluation.stride),
        "size": _fitted(config) if "evaluation.size" in known_settings(config, model.stated) else UNKNOWN,
        "label_space": model.space.name, "classes": list(model.space.classes),
        "palette": [list(colour) for colour in model.space.palette],
    }


def _fitted(config: Config) -> Any:
    """What images are fitted inside: None, (height, width), or one of these for each target by its name."""
    size = config.evaluation.size
    if isinstance(size, str):
        return {domain: _plainly(size_of(size, domain)) for domain in config.data.targets}
    return _plainly(size)


def _plainly(size: tuple[int, int] | None) -> list[int] | None:
    return None if size is None else list(size)


def _sizes(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*"))
            if path.is_file()}
