"""Real configs made small: DINOv2-S with its real weights, a small head, a few tiny crops of rendered scenes."""

from recyclelora.config import Config
from recyclelora.documents import Plain
from recyclelora.settings import Settings

TINY: dict[str, Plain] = {
    "backbone.name": "dinov2_small", "backbone.patch_size": 14, "adapter.main.rank": 4, "adapter.sub.rank": 2,
    "head.width": 32, "head.queries": 20, "head.pixel_layers": 1, "head.pixel_ffn": 32, "head.decoder_layers": 2,
    "head.decoder_ffn": 32, "head.attention_heads": 4, "head.points": 64, "data.source": "scenes-day",
    "data.targets": ["scenes-night", "scenes-fog"], "data.train_images": 6, "data.crop": [42, 56],
    "data.batch_size": 2, "training.iterations": 6, "training.lr": 1e-3, "training.clip": 1.0,
    "evaluation.size": [42, 56], "evaluation.window": [42, 56], "evaluation.stride": [42, 56],
    "evaluation.images": 2, "evaluation.every": 3, "resources.checkpoint_every": 3,
    "resources.gpus": 0}  # on a cluster that is joined they would be waited for


def tiny(**overrides: Plain) -> Config:
    """`tiny(adapter__init="svd")`: two underscores stand for the dot."""
    values = {key.replace("__", "."): value for key, value in overrides.items()}
    if values.get("adapter.method", "recyclelora") != "recyclelora":
        return Settings({**{key: value for key, value in TINY.items() if not key.startswith("adapter.")}, **values}).resolve()
    return Settings({**TINY, **values}).resolve()
