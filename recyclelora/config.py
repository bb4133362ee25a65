"""Every setting, once. Defaults are the paper's (GTAV -> Cityscapes, BDD100K, Mapillary with DINOv2-L); a YAML file and
dotted overrides (`adapter.main.rank=8`) hold the differences. A resolved `Config` has no value left to be guessed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Literal

from pydantic import AllowInfNan, ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from recyclelora.documents import Plain
from recyclelora.errors import InputError

NUMERICS = 1  # raise it with any change that alters a trained number: it is part of every trial's identity

# Settings that came after the first runs, each with the value that means what was done before it existed. At that value
# a setting is no part of a fingerprint, so that runs of before are still found.
LATER: dict[str, Plain] = {}

Int = Annotated[int, Strict()]
Real = Annotated[float, Strict(), AllowInfNan(False)]
Positive = Annotated[Int, Field(ge=1)]
Natural = Annotated[Int, Field(ge=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Above0 = Annotated[Real, Field(gt=0)]
Name = Annotated[str, Strict(), Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._+-]+$")]
Size = tuple[Positive, Positive]  # (height, width) in pixels
Init = Literal["rrqr", "svd", "kaiming"]
End = Literal["major", "minor"]
Role = Literal["qkv", "q", "k", "v", "proj", "fc1", "fc2"]
Selection = Literal["last", "source_val", "oracle"]

_settings = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))


def _fill(owner: object, name: str, value: object) -> None:
    object.__setattr__(owner, name, value)  # a frozen dataclass, completed while it is being validated


@_settings
class Backbone:
    name: Name = "dinov2_large"
    patch_size: Positive | None = 16  # None keeps the checkpoint's own (14 for DINOv2)
    weights: Annotated[str, Strict()] | None = None  # a safetensors file; None looks in the cache, hub and registry


@_settings
class LowRank:
    """One of the two adapters. Rank 0 leaves it out, and its other knobs must then be left out too."""

    rank: Natural
    end: End | None = None  # meaningless for kaiming
    lr_multiplier: NotNegative | None = None


@_settings
class Main(LowRank):
    rank: Natural = 32  # end None: minor; lr_multiplier None: 1.0 (the authors' code)


@_settings
class Sub(LowRank):
    rank: Natural = 4  # end None: major; lr_multiplier None: 0.5


@_settings
class RecycleLoRA:
    """Two low-rank adapters on each linear layer of the blocks (arXiv 2603.28142, the authors' code)."""

    method: Literal["recyclelora"] = "recyclelora"
    init: Init = "rrqr"
    main: Main = Field(default_factory=Main)
    sub: Sub = Field(default_factory=Sub)
    scaling: Literal["shared", "per_adapter"] | Above0 = "shared"  # alpha / total rank, alpha / own rank, or a number
    alpha: Above0 | None = None  # None: 1.0; meaningless when scaling is a number
    roles: tuple[Role, ...] = ("qkv", "proj", "fc1", "fc2")
    skip_blocks: Natural = 0  # leading blocks left without adapters

    @model_validator(mode="after")
    def _complete(self) -> "RecycleLoRA":
        if self.main.rank + self.sub.rank == 0:
            raise InputError("0, and so is adapter.sub.rank; give one a rank, or use adapter.method: frozen",
                             key="main.rank")
        _complete_low_rank(self.main, "main", self.init, "minor", 1.0)
        _complete_low_rank(self.sub, "sub", self.init, "major", 0.5)
        if isinstance(self.scaling, float):
            if self.alpha is not None:
                raise InputError(f"means nothing when adapter.scaling is a number ({self.scaling}); leave it out",
                                 key="alpha")
        elif self.alpha is None:
            _fill(self, "alpha", 1.0)
        if not self.roles or len(set(self.roles)) < len(self.roles):
            raise InputError("name each role once, and at least one", key="roles")
        return self


def _complete_low_rank(given: LowRank, which: str, init: str, end: str, multiplier: float) -> None:
    if given.rank == 0:
        for dead in ("end", "lr_multiplier"):
            if getattr(given, dead) is not None:
                raise InputError(f"means nothing when adapter.{which}.rank is 0; leave it out", key=f"{which}.{dead}")
        return
    if init == "kaiming" and given.end is not None:
        raise InputError("means nothing for init kaiming, which has no directions; leave it out", key=f"{which}.end")
    if given.end is None and init != "kaiming":
        _fill(given, "end", end)
    if given.lr_multiplier is None:
        _fill(given, "lr_multiplier", multiplier)


@_settings
class Frozen:
    """No adapter: the backbone stays as it came and the head alone is trained. The floor of every ablation."""

    method: Literal["frozen"] = "frozen"


Adapter = Annotated[RecycleLoRA | Frozen, Field(discriminator="method")]
FAMILIES = {"recyclelora": RecycleLoRA, "frozen": Frozen}


@_settings
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

    @model_validator(mode="after")
    def _check(self) -> "Head":
        if self.width % self.attention_heads or self.width % 32:
            raise InputError(f"{self.width} must be a multiple of 32 (group norm) and of head.attention_heads",
                             key="width")
        return self


@_settings
class Data:
    source: Name = "gtav"  # one domain, or several joined by + and sampled by their size: gtav+synthia+urbansyn
    targets: tuple[Name, ...] = ("cityscapes", "bdd100k", "mapillary")
    # None: all; otherwise a fixed subset. Of several sources, a list with a number or null for each
    train_images: Positive | tuple[Positive | None, ...] | None = None
    crop: Size = (512, 512)
    scales: tuple[Above0, Above0] = (0.5, 2.0)  # of the resized shortest edge to the crop's, in steps of a tenth
    batch_size: Positive = 4

    @model_validator(mode="after")
    def _check(self) -> "Data":
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise InputError("name each target domain once, and at least one", key="targets")
        if self.scales[0] > self.scales[1]:
            raise InputError(f"{list(self.scales)}: the first is above the second; swap them", key="scales")
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
                _fill(self, "train_images", None)  # one config, one fingerprint

    @property
    def sources(self) -> tuple[str, ...]:
        """The domains trained on."""
        return tuple(self.source.split("+"))


@_settings
class Training:
    """AdamW, polynomial learning rate, cosine-annealed weight decay (the authors' code)."""

    iterations: Positive = 40000
    lr: Above0 = 1e-4
    weight_decay: NotNegative = 0.05
    weight_decay_end: NotNegative = 1e-5
    power: NotNegative = 0.9
    warmup: Natural = 0
    clip: Above0 | None = None  # gradient norm
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _check(self) -> "Training":
        if self.warmup >= self.iterations:
            raise InputError(f"{self.warmup} must be less than training.iterations ({self.iterations})", key="warmup")
        return self


@_settings
class Evaluation:
    """Sliding windows (the authors' code). `every` iterations the source's val split is scored."""

    size: Size | None = None  # images are fitted inside, ratio kept; None: as they are
    window: Size = (512, 512)
    stride: Size = (341, 341)
    split: Literal["val", "test"] = "val"  # of the target domains
    images: Positive | None = None  # per domain; None: all
    every: Positive = 4000  # the last iteration is always scored
    selection: Selection = "last"

    @model_validator(mode="after")
    def _check(self) -> "Evaluation":
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise InputError(f"{self.stride} is above evaluation.window {self.window}: pixels would be skipped",
                             key="stride")
        return self


@_settings
class Resources:
    """What one trial gets. No part of its identity: the same trial elsewhere is the same trial."""

    cpus: Above0 = 1.0
    gpus: Annotated[Real, Field(ge=0, le=1)] = 1.0  # per trial, may be a fraction; asked for only where there are GPUs
    workers: Natural = 0  # data loader processes
    checkpoint_every: Positive = 1000


@_settings
class Config:
    seed: Natural = 0
    backbone: Backbone = Field(default_factory=Backbone)
    adapter: Adapter = Field(default_factory=RecycleLoRA)
    head: Head = Field(default_factory=Head)
    data: Data = Field(default_factory=Data)
    training: Training = Field(default_factory=Training)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    resources: Resources = Field(default_factory=Resources)


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
    counted = {key: value for key, value in identity(config).items() if key not in LATER or value != LATER[key]}
    content = {"config": counted, "weights": weights_sha256, "data": dict(data), "numerics": NUMERICS}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
