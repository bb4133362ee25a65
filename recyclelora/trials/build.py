"""A Config and the paths of this machine -> the parts of a trial: data, model, identity. With `trial`, `sweep` and the
command line the only code that sees a whole Config."""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from recyclelora.adapters import AdapterError
from recyclelora.config import Backbone, Config, fingerprint
from recyclelora.data.datasets import DomainData, LabelledImages, count_of, open_domain
from recyclelora.data.evaluation_sizes import size_of
from recyclelora.data.loader import Concatenation, concat
from recyclelora.data.transforms import Recipe, check_recipe
from recyclelora.errors import InputError
from recyclelora.methods import Method
from recyclelora.models.catalogue import BACKBONES, find_backbone
from recyclelora.models.pretrained_weights import Weights, resolve_weights
from recyclelora.models.segmentor import HeadShape, Segmentor, build_segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.training.execution import compile_blocks, recompute_activations
from recyclelora.trials.paths import Paths

TrainImages = int | tuple[int | None, ...] | None  # see config.Data


class Domains(NamedTuple):
    """The data of a trial: `train` and `source_val` from the source domains, `targets` by domain name."""

    train: LabelledImages
    source_val: LabelledImages
    targets: dict[str, DomainData]


class Identity(NamedTuple):
    """What a trial is: its fingerprint and what went into it."""

    fingerprint: str
    weights: Weights
    data_fingerprint: str

    @property
    def tags(self) -> dict[str, str]:
        """What two machines compare to know whether they have the same trial."""
        return {"fingerprint": self.fingerprint, "weights_sha256": self.weights.sha256,
                "data_fingerprint": self.data_fingerprint}


def open_domains(config: Config, paths: Paths) -> Domains:
    """Open source and target domains. Raises InputError with the key at fault."""
    data, evaluation = config.data, config.evaluation
    try:
        train = _open_sources(data.sources, "train", data.train_images, paths)
        source_val = _open_sources(data.sources, "val", evaluation.images, paths)
    except InputError as error:
        raise type(error)(f"data.source: {error}", key="data.source") from None
    try:
        return Domains(train, source_val, {domain: _open(domain, evaluation.split, evaluation.images, paths)
                                           for domain in data.targets})
    except InputError as error:
        raise type(error)(f"data.targets: {error}", key="data.targets") from None


def _open_sources(names: tuple[str, ...], split: str, limit: TrainImages, paths: Paths) -> LabelledImages:
    """One source as it is, several one after the other. Their val splits are scored as one domain, pixels counted
    together; a number is a limit to each."""
    limits = limit if isinstance(limit, tuple) else (limit,) * len(names)
    parts = [_open(name, split, most, paths) for name, most in zip(names, limits, strict=True)]
    return parts[0] if len(parts) == 1 else concat(parts, "+".join(names) if split == "val" else "")


@functools.lru_cache(maxsize=16)  # a plan asks for the same 25,000 files once for each trial
def _open(domain: str, split: str, limit: int | None, paths: Paths) -> DomainData:
    return open_domain(domain, split, root=paths.data_root, cache=paths.cache, limit=limit)


def source_val_tag(domains: Domains) -> str:
    """How many images the source's val split has, and how many of them are trained on: sets without an official val
    split hold out part of train, and keep it out only where `data.train_images` leaves it out."""
    pairs = zip(parts_of(domains.train), parts_of(domains.source_val), strict=True)
    seen = sum(len(set(train.names) & set(val.names)) for train, val in pairs if val.held_out)
    return f"{len(domains.source_val)} images, {seen} of them trained on"


def images_tag(domains: Domains) -> str:
    """How many images of each domain are trained on and scored, and of how many of the split: `trained on gtav 12,403
    of 24,966; source val gtav 500; cityscapes val 10 of 500`."""
    def count(data: LabelledImages) -> str:
        return ", ".join(f"{part.domain} {count_of(len(part), part.official)}" for part in parts_of(data))

    targets = (f"{name} {part.split} {count_of(len(part), part.official)}" for name, part in domains.targets.items())
    return "; ".join([f"trained on {count(domains.train)}", f"source val {count(domains.source_val)}", *targets])


def parts_of(data: LabelledImages) -> tuple[DomainData, ...]:
    """The domains that the data are made of."""
    if isinstance(data, Concatenation):
        return data.parts
    assert isinstance(data, DomainData)
    return (data,)


def all_parts(domains: Domains) -> Iterator[DomainData]:
    """The domains of a trial in the order of its settings: those trained on, their val splits, the targets."""
    for whole in (domains.train, domains.source_val, *domains.targets.values()):
        yield from parts_of(whole)


def identify(config: Config, paths: Paths) -> Identity:
    """Fingerprint of a trial; resolves the weights (downloading them once) and reads the data's fingerprints."""
    weights = find_weights(config, paths.cache)
    data = _data_fingerprints(config.data.sources, config.data.targets, config.data.train_images,
                              config.evaluation.images, config.evaluation.split, paths)
    name = fingerprint(config, weights_sha256=weights.sha256, data=data)
    return Identity(name, weights, _short_digest(data))


def find_weights(config: Config, cache: Path) -> Weights:
    """The backbone's pretrained weights, downloaded and converted where need be."""
    return _weights(config.backbone.name, Path(config.backbone.weights) if config.backbone.weights else None, cache)


@functools.lru_cache(maxsize=64)
def _weights(name: str, file: Path | None, cache: Path) -> Weights:
    return resolve_weights(name, file=file, cache=cache)


@functools.lru_cache(maxsize=64)
def _data_fingerprints(sources: tuple[str, ...], targets: tuple[str, ...], train: TrainImages, images: int | None,
                       split: str, paths: Paths) -> dict[str, str]:
    opened = {"train": _open_sources(sources, "train", train, paths),
              "source_val": _open_sources(sources, "val", images, paths)}
    opened |= {f"target/{target}": _open(target, split, images, paths) for target in targets}
    return {role: data.fingerprint() for role, data in opened.items()}


@functools.lru_cache(maxsize=8)
def _verify(backbone: Backbone, weights: Path, image_size: tuple[int, int]) -> None:
    """Load the weights once, strictly: a wrong file is refused before any trial starts."""
    build_backbone(backbone.name, patch_size=backbone.patch_size, image_size=image_size, weights=weights,
                   resize=backbone.resize)


def _short_digest(data: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def check(config: Config, paths: Paths) -> dict[str, int]:
    """Everything about a config that needs more than the config to judge: backbone, domains, sizes, ranks.

    Returns the number of adapted layers and of adapter parameters. Raises InputError with the `key` at fault."""
    patch = config.backbone.patch_size or find_backbone(config.backbone.name).patch_size
    for key, size in (("data.crop", config.data.crop), ("evaluation.window", config.evaluation.window)):
        if any(side % patch for side in size):
            raise InputError(f"{key}: {list(size)} must be multiples of the patch size {patch}", key=key)
    try:
        check_recipe(recipe(config))
    except InputError as error:
        raise InputError(f"data.scales: {error}", key="data.scales") from None
    for domain in (config.data.source, *config.data.targets):
        size_of(config.evaluation.size, domain)
    domains = open_domains(config, paths)  # before the weights, which may have to be downloaded
    if len(domains.train) < config.data.batch_size:
        raise InputError(f"data.train_images: {len(domains.train)} images make no batch of {config.data.batch_size}",
                         key="data.train_images")
    _verify(config.backbone, find_weights(config, paths.cache).path, config.data.crop)
    return _count(config.backbone, config.adapter, config.head.width)


def count_parameters(config: Config) -> dict[str, int]:
    """The number of adapted `layers` and of `adapter` parameters, without weights or data. Raises InputError with the
    `key` at fault."""
    find_backbone(config.backbone.name)
    return _count(config.backbone, config.adapter, config.head.width)


@functools.lru_cache(maxsize=256)
def _count(backbone: Backbone, adapter: Method, head_width: int = 256) -> dict[str, int]:
    """Adapts the backbone on the meta device: no weights, no arithmetic, the same checks and counts."""
    side = 8 * (backbone.patch_size or BACKBONES[backbone.name].patch_size)
    with torch.device("meta"):
        vit = build_backbone(backbone.name, patch_size=backbone.patch_size, image_size=(side, side), weights=None)
    layers = attach(vit, adapter, cache=None, seed=0, head_width=head_width)
    return {"layers": layers, "adapter": sum(p.numel() for p in vit.parameters() if p.requires_grad)}


def attach(vit: torch.nn.Module, adapter: Method, *, cache: Path | None, seed: int, head_width: int) -> int:
    """Put the configured adapters on a frozen backbone; returns the number of adapted layers. `head_width` is the width
    of the head's queries, for methods that make them. Raises InputError."""
    try:
        return adapter.attach(vit, cache=cache, seed=seed, head_width=head_width)
    except AdapterError as error:
        blamed = next((key for word, key in adapter.KEYS.items() if word in str(error)), "method")
        raise InputError(f"adapter: {error}", key=f"adapter.{blamed}") from None


def build(config: Config, weights: Path, cache: Path, num_classes: int) -> Segmentor:
    """The segmentor of a trial: pretrained frozen backbone, adapters, and a head initialised from the seed."""
    vit = build_backbone(config.backbone.name, patch_size=config.backbone.patch_size, image_size=config.data.crop,
                         weights=weights, resize=config.backbone.resize)
    attach(vit, config.adapter, cache=cache, seed=config.seed, head_width=config.head.width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # the head's initialisation
        return put_head(vit, config, num_classes)


def put_head(vit: torch.nn.Module, config: Config, num_classes: int) -> Segmentor:
    """A fresh head on an adapted ViT, drawn from torch's seed."""
    return build_segmentor(vit, num_classes=num_classes, head=head_shape(config), queries=config.adapter.queries(vit),
                           merge=config.adapter.merged)


def arrange(segmentor: Segmentor, config: Config, device: torch.device) -> None:
    """Have the ViT's blocks run as configured, on the device that they are on. Raises InputError."""
    if config.resources.activation_checkpointing:
        recompute_activations(segmentor.vit)
    if config.training.compile:
        compile_blocks(segmentor.vit, device)


def head_shape(config: Config) -> HeadShape:
    """The configured head in the models' terms."""
    head = config.head
    return HeadShape(
        hidden=head.width, queries=head.queries, pixel_layers=head.pixel_layers, pixel_ffn=head.pixel_ffn,
        decoder_layers=head.decoder_layers, decoder_ffn=head.decoder_ffn, heads=head.attention_heads,
        points=head.points, start=head.start)


def recipe(config: Config) -> Recipe:
    """The configured augmentation in the data's terms."""
    data = config.data
    return Recipe(data.crop, data.scales, data.resize, data.base, data.pad, data.label_resize)
