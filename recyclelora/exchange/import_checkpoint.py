"""Turns a checkpoint of the authors' RecycleLoRA code, of SoMA or of Rein into a folder like that of a trial.

recyclelora: adapters on the pretrained weights where these are at hand, so that they can be analysed; else merged.
rein: its tokens on the pretrained weights, which are the file's own where it holds them.
soma, plain: a backbone of its own with the adapters merged in, and no adapter: the same function, exactly."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from recyclelora.adapters import AdapterError
from recyclelora.adapters.tensor_files import write_tensors
from recyclelora.data.labels import SPACES, LabelSpace
from recyclelora.documents import Plain, dump
from recyclelora.errors import Absent, InputError
from recyclelora.exchange.dinov2_names import backbone_of, from_dinov2, image_side
from recyclelora.exchange.foreign_adapters import transplant_recyclelora, transplant_rein
from recyclelora.exchange.layouts import Layout, read_layout
from recyclelora.exchange.merged_adapters import merge_qkv, merge_recyclelora, merge_soma
from recyclelora.exchange.mmdet_names import shape_of
from recyclelora.exchange.pickles import Checkpoint, read_checkpoint
from recyclelora.models.catalogue import BACKBONES, find_backbone
from recyclelora.models.pretrained_weights import resolve_weights
from recyclelora.models.segmentor import HeadShape
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.settings import Settings
from recyclelora.trials.artifacts import BACKBONE, CONFIG, misfits, save_model
from recyclelora.trials.build import Identity, put_head
from recyclelora.writing import whole_folder, write_text

SIDE, PATCH = 512, 16  # of files without a backbone: what the three codes train with


class Given(NamedTuple):
    """Facts given with the file. None: taken from the file, the cache or the hub."""

    backbone: str | None = None
    weights: Path | None = None
    alpha: float | None = None
    crop: int | None = None


class Imported(NamedTuple):
    """`notes`: what was found, chosen or assumed, a line each."""

    layout: str
    backbone: str
    notes: list[str]


class _Work(NamedTuple):
    checkpoint: Checkpoint
    layout: Layout
    given: Given
    cache: Path
    folder: Path  # where it is written
    name: str
    patch: int
    side: int
    shape: HeadShape
    space: LabelSpace
    notes: list[str]


def import_checkpoint(file: Path, out: Path, given: Given, cache: Path) -> Imported:
    """Read `file` and write the folder `out`, which must not hold anything yet. Raises InputError, and then leaves
    `out` as it was."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already and not empty; choose another folder with --out")
    if given.alpha is not None and not 0 < given.alpha < math.inf:
        raise InputError(f"--alpha {given.alpha}: must be a number above 0")
    if given.backbone is not None:
        find_backbone(given.backbone)
    checkpoint = read_checkpoint(file)
    layout = read_layout(checkpoint)
    try:
        with whole_folder(out) as unfinished:
            work = _measure(checkpoint, layout, given, cache, unfinished)
            _write(work, out)
    except (AdapterError, InputError) as error:
        raise InputError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from None
    return Imported(layout.name, work.name, work.notes)


def _measure(checkpoint: Checkpoint, layout: Layout, given: Given, cache: Path, folder: Path) -> _Work:
    if given.alpha is not None and layout.name not in ("recyclelora", "soma"):
        raise InputError(f"--alpha means nothing for a {layout.name} checkpoint; leave it out")
    shape, classes = shape_of(layout.head)
    tokens = layout.adapters.get("reins.learnable_tokens_a")
    if tokens is not None and "transformer_module.queries_embedder.weight" not in layout.head:
        shape = HeadShape(**{**vars(shape), "queries": tokens.shape[1]})
    name, patch, side = _backbone(layout, given)
    notes = [f"not verified: {checkpoint.doubt}"] if checkpoint.doubt else []
    if "pos_embed" not in layout.vit:
        notes.append(f"holds no backbone; it is taken for {name} on patches of {patch} pixels, trained on images of "
                     f"{side}x{side}: --backbone and --crop say otherwise")
    return _Work(checkpoint, layout, given, cache, folder, name, patch, side, shape, _space_of(classes), notes)


def _backbone(layout: Layout, given: Given) -> tuple[str, int, int]:
    """Name, patch size and image side of the ViT in the file, or of the one that its adapters need."""
    if "pos_embed" in layout.vit:
        if given.crop is not None:
            raise InputError("--crop means nothing: the file's position embedding says the size; leave it out")
        vit = merge_qkv(from_dinov2(layout.vit))
        name = backbone_of(vit)
        if given.backbone not in (None, name):
            raise InputError(f"holds a {name} by depth and width, not the {given.backbone} of --backbone; leave it out")
        return (name, *image_side(vit))
    side = given.crop or SIDE
    if side % PATCH:
        raise InputError(f"--crop {side}: not a multiple of the patch size {PATCH}")
    if given.backbone is not None:
        return given.backbone, PATCH, side
    width = next((tensor.shape[-1] for name, tensor in layout.adapters.items()
                  if name.endswith(("tokens_b", "attn.q.lora_A.weight"))), 0)
    fitting = [name for name, row in BACKBONES.items() if row.width == width and name.startswith("dinov2")]
    if not fitting:
        raise InputError("holds no backbone, and its adapters do not say which it was; give --backbone")
    return fitting[0], PATCH, side


def _space_of(classes: int) -> LabelSpace:
    for space in SPACES.values():
        if len(space.classes) == classes:
            return space
    raise InputError(f"a head for {classes} classes; known label spaces: " + ", ".join(
        f"{space.name} ({len(space.classes)})" for space in SPACES.values()))


def _write(work: _Work, out: Path) -> None:
    pretrained = _pretrained(work)
    if pretrained is None or work.layout.name in ("soma", "plain"):
        _store(_merged(work, pretrained), work.folder / BACKBONE)
        pretrained = work.folder / BACKBONE
        vit = _build(work, pretrained)
        adapter: dict[str, Plain] = {"adapter.method": "frozen"}
    else:
        vit = _build(work, pretrained)
        adapter = _adapt(work, vit)
    own = pretrained.parent == work.folder
    keys: dict[str, Plain] = {"backbone.name": work.name, "backbone.patch_size": work.patch, "backbone.weights": str(
        (out if own else pretrained.parent).resolve() / pretrained.name), **adapter, **_head_keys(work.shape),
        **_window_keys(work.side)}
    _save(work, vit, keys, pretrained)


def _build(work: _Work, weights: Path) -> nn.Module:
    return build_backbone(work.name, patch_size=work.patch, image_size=(work.side, work.side), weights=weights)


def _pretrained(work: _Work) -> Path | None:
    """The pretrained weights as safetensors in timm's names; None where none are needed or to be had."""
    layout, given, own = work.layout, work.given, work.folder / BACKBONE
    if layout.name != "recyclelora" and "pos_embed" in layout.vit:
        if given.weights is not None:
            raise InputError(f"--weights means nothing for a {layout.name} checkpoint that holds its whole backbone; "
                             "leave it out")
        if layout.name != "rein":
            return None
        _store(from_dinov2(layout.vit), own)
        return own
    if given.weights is not None and given.weights.suffix != ".safetensors":
        _store(from_dinov2(read_checkpoint(given.weights).tensors), own)
        return own
    try:
        return resolve_weights(work.name, file=given.weights, cache=work.cache).path
    except Absent as absent:
        if layout.name != "recyclelora":
            raise InputError(f"holds adapters without a backbone, so that the pretrained weights are needed: give "
                             f"--weights FILE ({absent})") from None
        work.notes.append("the pretrained weights are not here, so the adapters are merged into the backbone and "
                          "cannot be analysed, and its weights are taken for residuals, which a file written in eval "
                          "mode (best_*.pth) does not hold; --weights FILE would settle both")
        return None


def _adapt(work: _Work, vit: nn.Module) -> dict[str, Plain]:
    if work.layout.name == "rein":
        linked = transplant_rein(vit, work.layout, work.shape.hidden)
        _, tokens, rank = work.layout.adapters["reins.learnable_tokens_a"].shape
        return {"adapter.method": "rein", "adapter.tokens": tokens, "adapter.rank": rank, "adapter.link": linked}
    layers, found = transplant_recyclelora(vit, work.layout, work.given.alpha or _written_alpha(work) or 1.0)
    if work.given.alpha not in (None, found.alpha):
        raise InputError(f"--alpha {work.given.alpha:g}: its weights say {found.alpha:g}; leave it out")
    first = next(iter(layers.values()))
    main, sub = len(first.main.a), len(first.sub.a)
    kind = "merged weights" if found.merged else "residuals"
    work.notes.extend([f"alpha {found.alpha:g}, ranks {main} and {sub} on {len(layers)} layers",
                       f"its frozen weights are {kind} of the pretrained ones; a residual built anew differs from "
                       f"the file's by {found.difference:.1g} at most"])
    return {"adapter.method": "recyclelora", "adapter.init": "rrqr", "adapter.scaling": "shared",
            "adapter.main.rank": main, "adapter.sub.rank": sub,
            "adapter.alpha": found.alpha, "adapter.skip_blocks": min(int(name.split(".")[1]) for name in layers),
            "adapter.roles": list(dict.fromkeys(name.rpartition(".")[2] for name in layers))}


def _merged(work: _Work, pretrained: Path | None) -> dict[str, Tensor]:
    """One plain ViT in timm's names with the adapters in its weights."""
    layout, alpha = work.layout, work.given.alpha or _written_alpha(work)
    if layout.name == "recyclelora":
        return merge_recyclelora(from_dinov2(layout.vit), layout.adapters, alpha or 1.0)
    if layout.name == "plain":
        return merge_qkv(from_dinov2(layout.vit))
    base = {} if pretrained is None else _build(work, pretrained).state_dict()
    ranks = [len(tensor) for name, tensor in layout.adapters.items() if name.endswith(".lora_A.weight")]
    work.notes.append(f"alpha {alpha or min(ranks):g}, {'as given' if alpha else 'taken to be the rank, as published'}"
                      + (", on the pretrained weights, as SoMA's own merge script does" if base else ""))
    return merge_soma(base, from_dinov2(layout.vit), layout.adapters, alpha or min(ranks))


def _written_alpha(work: _Work) -> float | None:
    found = re.search(r"lora_alpha\s*=\s*(\d+(?:\.\d*)?)", work.checkpoint.settings)
    return float(found[1]) if found else None


def _head_keys(shape: HeadShape) -> dict[str, Plain]:
    return {"head.width": shape.hidden, "head.queries": shape.queries, "head.pixel_layers": shape.pixel_layers,
            "head.pixel_ffn": shape.pixel_ffn, "head.decoder_layers": shape.decoder_layers,
            "head.decoder_ffn": shape.decoder_ffn, "head.attention_heads": shape.heads}


def _window_keys(side: int) -> dict[str, Plain]:
    """As the three codes test: windows of the size trained on, two thirds apart (341 for 512, 683 for 1024), and
    MMSegmentation's mean IoU."""
    stride = round(side * 2 / 3)
    return {"data.crop": [side, side], "evaluation.window": [side, side], "evaluation.stride": [stride, stride],
            "evaluation.absent_classes": "zero"}


def _save(work: _Work, vit: nn.Module, keys: dict[str, Plain], pretrained: Path) -> None:
    checkpoint, layout = work.checkpoint, work.layout
    config = Settings(keys).resolve()
    segmentor = put_head(vit, config, len(work.space.classes))
    if wrong := misfits(layout.head, segmentor.head.state_dict()):
        raise InputError(f"{len(wrong)} tensors of its head are missing, too many or of another size, the first "
                         f"{wrong[0]}; supported is mmdet's Mask2Former on 3 levels")
    segmentor.head.load_state_dict(layout.head)
    text = (f"# Imported from {checkpoint.path.name} (layout {layout.name}, sha256 {checkpoint.sha256}).\n"
            "# What is not given here is not known: how it was trained, and on what.\n")
    write_text(work.folder / CONFIG, (text + dump(keys)))
    identity = Identity(f"import-{checkpoint.sha256[:12]}",
                        resolve_weights(work.name, file=pretrained, cache=work.cache), "")
    save_model(segmentor, work.folder, config, identity, work.space, {
        "source_layout": layout.name, "source_sha256": checkpoint.sha256, "source_file": checkpoint.path.name})


def _store(tensors: Mapping[str, Tensor], path: Path) -> None:
    write_tensors({name: tensor.detach().float().contiguous().clone() for name, tensor in tensors.items()}, path)
