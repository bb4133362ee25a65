"""Every setting, once. Defaults are the paper's (GTAV -> Cityscapes, BDD100K, Mapillary with DINOv2-L); a YAML file and
dotted overrides (`adapter.main.rank=8`) hold the differences. A resolved `Config` has no value left to be guessed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import Field, model_validator

from recyclelora.documents import Plain
from recyclelora.errors import InputError
from recyclelora.fields import (
    Above0,
    Bool,
    Int,
    Name,
    Natural,
    Needs,
    NotNegative,
    Positive,
    Real,
    Size,
    Text,
    complete,
    fill,
    is_,
    is_not,
    settings,
)
from recyclelora.methods import DEFAULT, METHODS, Method

NUMERICS = 2  # raise it with any change that alters a trained number: it is part of every trial's identity

Selection = Literal["last", "source_val", "oracle"]

if TYPE_CHECKING:
    Adapter = Method
else:  # the settings of one of the methods, by the value of `method`
    Adapter = Annotated[Union[tuple(METHODS.values())], Field(discriminator="method")]  # noqa: UP007

@settings
class Backbone:
    name: Name = "dinov2_large"
    patch_size: Positive | None = 16  # None keeps the checkpoint's own (14 for DINOv2)
    resize: Literal["plain", "flexible"] = "plain"  # of patches and positions: as the authors, or as FlexiViT and timm
    weights: Text | None = None  # a safetensors file; None looks in the cache, hub and registry


@settings
class Head:
    """Mask2Former, by default at the paper's size."""

    width: Positive = 256
    queries: Positive = 100
    pixel_layers: Positive = 6
    pixel_ffn: Positive = 1024
    decoder_layers: Annotated[Int, Field(ge=2)] = 9
    decoder_ffn: Positive = 2048
    attention_heads: Positive = 8
    points: Positive = 12544  # sampled for the mask losses and the matching cost
    start: Literal["mmdet", "transformers"] = "mmdet"  # whose rules the weights start by; the released code's: mmdet

    @model_validator(mode="after")
    def _check(self) -> "Head":
        if self.width % self.attention_heads or self.width % 32:
            raise InputError(f"{self.width} must be a multiple of 32 (group norm) and of head.attention_heads",
                             key="width")
        return self


@settings
class Data:
    source: Name = "gtav"  # one domain, or several joined by + and sampled by their size: gtav+synthia+urbansyn
    targets: tuple[Name, ...] = ("cityscapes", "bdd100k", "mapillary")
    # None: all; otherwise a fixed subset. Of several sources, a list with a number or null for each
    train_images: Positive | tuple[Positive | None, ...] | None = None
    crop: Size = (512, 512)
    # edges: the shorter edge becomes tenths of the crop's, the longer one at most 4 crops; ratio: any scale of the base
    resize: Literal["edges", "ratio"] = "edges"
    base: Size | None = None  # of ratio: images are fitted inside it, times the scale; None: inside their own size
    scales: tuple[Above0, Above0] = (0.5, 2.0)  # for edges in steps of a tenth
    # of labels: the pixel nearest to the new one's centre, or that of cv2 and with it of mmcv's pipelines
    label_resize: Literal["nearest", "cv2"] = "nearest"
    pad: Literal["black", "mean"] = "black"  # around small images: black before the flip, or the mean after everything
    batch_size: Positive = 4

    NEEDS: ClassVar = (Needs("data.base", "data.resize", is_not("ratio")),)

    @model_validator(mode="after")
    def _check(self) -> "Data":
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise InputError("name each target domain once, and at least one", key="targets")
        if self.scales[0] > self.scales[1]:
            raise InputError(f"{list(self.scales)}: the first is above the second; swap them", key="scales")
        complete(self, "data.", self.NEEDS, {})
        if not all(self.sources) or len(set(self.sources)) < len(self.sources):
            raise InputError(f"{self.source!r}: join the names of different domains by one +", key="source")
        self._check_train_images()
        return self

    def _check_train_images(self) -> None:
        given, num_sources = self.train_images, len(self.sources)
        if isinstance(given, int) and num_sources > 1:
            raise InputError(f"{given}: a list with a number or null for each of {self.source} is needed",
                             key="train_images")
        if isinstance(given, tuple):
            if num_sources == 1 or len(given) != num_sources:
                need = "a number" if num_sources == 1 else f"{num_sources} entries"
                raise InputError(f"{list(given)}: {need} for data.source {self.source} is needed", key="train_images")
            if set(given) == {None}:
                fill(self, "train_images", None)  # one config, one fingerprint

    @property
    def sources(self) -> tuple[str, ...]:
        """The domains trained on."""
        return tuple(self.source.split("+"))


@settings
class Training:
    """AdamW, polynomial learning rate, cosine-annealed weight decay (the authors' code)."""

    iterations: Positive = 40000
    lr: Above0 = 1e-4
    weight_decay: NotNegative = 0.05
    weight_decay_end: NotNegative = 1e-5
    power: NotNegative = 0.9
    schedule: Literal["plain", "mmengine"] = "plain"  # mmengine, as the released code: each span one iteration shorter
    warmup: Natural = 0
    warmup_start: Annotated[Above0, Field(le=1)] | None = None  # share of the rate; None: 1e-2, or no warm-up
    decay_queries: Bool = True  # weight decay of the head's query features; SoMA: false
    clip: Above0 | None = None  # gradient norm
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    accumulate: Positive = 1  # parts in which a batch goes through the model, one after the other
    compile: Bool = False  # the blocks of the ViT, by torch.compile
    ema_start: Positive | None = None  # the iteration from which the weights are averaged; the average is evaluated
    ema_momentum: Annotated[Above0, Field(lt=1)] | None = None  # None: 0.0002, meaningless without ema_start
    start: Name | None = None  # fingerprint of a finished trial in the same results: its weights are the first ones

    NEEDS: ClassVar = (Needs("training.warmup_start", "training.warmup", is_(0)),
                       Needs("training.ema_momentum", "training.ema_start", is_(None)))

    @model_validator(mode="after")
    def _check(self) -> "Training":
        if self.warmup >= self.iterations:
            raise InputError(f"{self.warmup} must be less than training.iterations ({self.iterations})", key="warmup")
        if self.ema_start is not None and self.ema_start > self.iterations:
            raise InputError(f"{self.ema_start} is after training.iterations ({self.iterations}): nothing is averaged",
                             key="ema_start")
        complete(self, "training.", self.NEEDS, {"training.warmup_start": 1e-2, "training.ema_momentum": 2e-4})
        return self


@settings
class Evaluation:
    """Sliding windows (the authors' code). `every` iterations the source's val split is scored."""

    # Images are fitted inside, ratio kept; None: as they are; a name: each domain as in a publication (data/sizes)
    size: Size | Literal["full", "half", "full-1024"] | None = None
    window: Size = (512, 512)
    stride: Size = (341, 341)
    scales: tuple[Above0, ...] = (1.0,)  # times that size; class probabilities are averaged over them
    flip: Bool = False  # average over the mirrored image too, at each scale
    split: Literal["val", "test"] = "val"  # of the target domains
    images: Positive | None = None  # per domain; None: all
    every: Positive = 4000  # the last iteration is always scored
    selection: Selection = "last"
    # A class that is predicted and that no label of a domain holds: left out of the mean, or 0 (MMSegmentation)
    absent_classes: Literal["skip", "zero"] = "skip"

    @model_validator(mode="after")
    def _check(self) -> "Evaluation":
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise InputError(f"{self.stride} is above evaluation.window {self.window}: pixels would be skipped",
                             key="stride")
        if not self.scales or len(set(self.scales)) < len(self.scales):
            raise InputError("name each scale once, and at least one", key="scales")
        return self


@settings
class Resources:
    """What one trial gets. No part of its identity: the same trial elsewhere is the same trial."""

    cpus: Above0 = 1.0
    gpus: Annotated[Real, Field(ge=0, le=1)] = 1.0  # per trial, may be a fraction; without any on one machine: its CPUs
    workers: Natural | None = None  # data loader processes; None: one for each cpu beside a GPU, none without
    activation_checkpointing: Bool = False  # less memory, more time: the blocks are run twice
    checkpoint_every: Positive = 1000
    hung_after: Above0 | None = None  # seconds without a report; None: 20 times its longest interval, at least 1800
    time_limit: Above0 | None = None  # hours that a trial may train in a sweep


@settings
class Config:
    seed: Natural = 0
    backbone: Backbone = Field(default_factory=Backbone)
    adapter: Adapter = Field(default_factory=METHODS[DEFAULT])
    head: Head = Field(default_factory=Head)
    data: Data = Field(default_factory=Data)
    training: Training = Field(default_factory=Training)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    resources: Resources = Field(default_factory=Resources)

    @model_validator(mode="after")
    def _check(self) -> "Config":
        if self.data.batch_size % self.training.accumulate:
            raise InputError(f"{self.training.accumulate} does not divide data.batch_size ({self.data.batch_size})",
                             key="training.accumulate")
        try:
            self.adapter.check_head(self.head.queries)
        except InputError as error:
            raise InputError(error.args[0], key=f"adapter.{error.key}") from None
        return self


def needs(method: str) -> tuple[Needs, ...]:
    """The settings that mean nothing beside certain values of others, with one adapter method."""
    return (*Data.NEEDS, *Training.NEEDS, *(METHODS[method].NEEDS if method in METHODS else ()))


_NOT_IDENTITY = ("backbone.weights", "resources.")  # the weights count by their sha256


def flatten(config: object, prefix: str = "") -> dict[str, Plain]:
    """Dotted key -> plain value, in the order of declaration; the one form in which a config leaves the program."""
    flat: dict[str, Plain] = {}
    for item in fields(config):  # type: ignore[arg-type]
        value = getattr(config, item.name)
        if is_dataclass(value):
            flat.update(flatten(value, f"{prefix}{item.name}."))
        else:
            flat[prefix + item.name] = list(value) if isinstance(value, tuple) else value
    return flat


def identity(config: Config) -> dict[str, Plain]:
    """The part of a config that changes its result."""
    return {key: value for key, value in flatten(config).items() if not key.startswith(_NOT_IDENTITY)}


def fingerprint(config: Config, *, weights_sha256: str, data: Mapping[str, str]) -> str:
    """16 hex digits naming a trial: resolved config with seed and protocol, the weights' sha256, the fingerprints of
    its data by role, and the version of the numerics. Machine, paths and resources are not part of it."""
    content = {"config": identity(config), "weights": weights_sha256, "data": dict(data), "numerics": NUMERICS}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
