"""Analysis of trained adapters: measures per layer and in summary, and a picture of the change that they make in
features.

A trial ends with it. A finished trial without one is analysed from its files. The analysis changes no model and draws
no random number."""

import io
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode

from recyclelora.adapters import adapted_layers, back_at_start, measure_model, summarise
from recyclelora.adapters.diagnostics import mean_cosines
from recyclelora.config import Config
from recyclelora.data.contact_sheet import FAINT, GAP, INK, LINE, PAPER, TEXT, Picture
from recyclelora.data.datasets import DomainData, Sample, open_domain
from recyclelora.data.labels import Size
from recyclelora.data.transforms import normalise
from recyclelora.errors import Absent
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.pyramid import block_features
from recyclelora.models.segmentor import Segmentor
from recyclelora.training.evaluation import fit_inside
from recyclelora.trials.analysis_files import PICTURE, Analysis, write_numbers
from recyclelora.trials.artifacts import load_model
from recyclelora.writing import write_bytes

NOTE = "F(adapters) - F(the named ones back at their start, the others as trained), last block: 3 principal components"
Removed = Literal["main", "sub", "both"]
_T = TypeVar("_T")


def analyse(vit: nn.Module) -> Analysis:
    """The adapters of `vit` as they are and as they started."""
    end, start = measure_model(vit), measure_model(vit, start=True)
    layers = [(name, _prefixed("adapter/", now) | _prefixed("adapter_start/", before))
              for (name, now), (_, before) in zip(end, start, strict=True)]
    summary = _prefixed("adapter/", summarise(end)) | _prefixed("adapter_start/", summarise(start))
    cosines = mean_cosines(vit) | _prefixed("start/", mean_cosines(vit, start=True))
    return Analysis(summary, layers, {name: cosines[name].float().cpu().numpy() for name in sorted(cosines)})


def keep_analysis(segmentor: Segmentor, config: Config, data: DomainData | None, folder: Path) -> Analysis:
    """Analyse, and write FILES into a trial's folder; the picture needs `data`. Nothing is written for a frozen
    backbone."""
    analysis = analyse(segmentor.vit)
    if not analysis.layers:
        return analysis
    write_numbers(analysis, folder)
    if data is not None:
        picture = io.BytesIO()
        draw_feature_change(segmentor, config, data).save(picture, "PNG")
        write_bytes(folder / PICTURE, picture.getvalue())
    return analysis


def analyse_finished(folder: Path, cache: Path, data_root: Path | None = None) -> Analysis:
    """Analyse the finished trial in `folder` from its files, and write FILES there as it would itself; without the
    picture where its first target's data are not to be had. Raises InputError as `load_model`."""
    model = load_model(folder, cache)
    target, evaluation = model.config.data.targets[0], model.config.evaluation
    try:
        data = open_domain(target, evaluation.split, root=data_root, cache=cache, limit=evaluation.images)
    except Absent:
        data = None
    return keep_analysis(model.segmentor, model.config, data, folder)


@torch.no_grad()
def feature_change(vit: nn.Module, images: Tensor, which: Removed) -> Tensor:
    """(B, 3, H, W) normalised -> (B, h, w, 3) colours in [0, 1], one per patch: D = F(adapters) - F(adapter removed).

    F is the last block's raw output. Removed means: its trained change s (B A - B0 A0) is taken out and the other
    adapter stays as trained, so the base is W0, not the residual weight. The colours are D's first three principal
    components over all patches of all images, from the 1st to the 99th percentile of each; every image's own mean is
    taken out before, since the differences between images are larger and hide those within."""
    last = [len(vit.blocks) - 1]  # type: ignore[arg-type]
    (trained,) = block_features(vit, images, last)
    with back_at_start(vit, which):
        (removed,) = block_features(vit, images, last)
    change = (trained - removed).movedim(1, -1)
    return principal_colours(change - change.mean((1, 2), keepdim=True))


def principal_colours(features: Tensor) -> Tensor:
    """(..., width) -> (..., 3) in [0, 1], on the CPU. Each axis points where its largest weight is positive; one along
    which nothing varies is grey."""
    rows = features.flatten(0, -2).to("cpu", torch.float64)
    rows = rows - rows.mean(0)
    axes = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -3:].flip(1)  # ascending: the largest are last
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    scores = rows @ axes
    low, high = torch.quantile(scores, torch.tensor([0.01, 0.99], dtype=torch.float64), dim=0)
    span = high - low
    flat = span <= 1e-6 * span.max()  # float32 features: the rest is rounding
    colours = torch.where(flat, 0.5, (scores - low) / torch.where(flat, 1.0, span)).clamp(0, 1)
    return colours.reshape(*features.shape[:-1], 3).float()


def draw_feature_change(segmentor: Segmentor, config: Config, data: DomainData, num_rows: int = 3,
                        width: int = 240) -> Picture:
    """A row for each of the first images: the image, and its feature change without each adapter there is.

    Images are seen whole, fitted inside the evaluation window, all at the size of the first."""
    samples = [data[index] for index in range(min(num_rows, len(data)))]
    images = _fit(samples, config).to(next(segmentor.vit.parameters()).device)
    columns = {_NAMES[which]: feature_change(segmentor.vit, images, which) for which in _removable(segmentor.vit)}
    strips = []
    for index, sample in enumerate(samples):
        pixels = [sample.image, *((255 * change[index]).round().byte().numpy() for change in columns.values())]
        strips.append(_draw_row(f"{sample.domain} {sample.name}", ["image", *columns], pixels, width))
    footer, draw, font = _blank_strip(max(strips[0].width, _length(NOTE)), LINE)
    draw.text((GAP, LINE / 2), NOTE, FAINT, font, anchor="lm")
    return _stack([*strips, footer])


_NAMES: dict[Removed, str] = {"both": "both adapters", "main": "main adapter", "sub": "sub adapter"}


def _removable(vit: nn.Module) -> list[Removed]:
    """What can be taken out of the model: both and each, or the only one."""
    layer = next(iter(adapted_layers(vit).values()))
    present: list[Removed] = [which for which in ("main", "sub") if layer.factors(which) is not None]
    return ["both", *present] if len(present) == 2 else present


def _fit(samples: list[Sample], config: Config) -> Tensor:
    backbone = BACKBONES[config.backbone.name]
    patch = config.backbone.patch_size or backbone.patch_size
    height, width = samples[0].image.shape[:2]
    fitted: Size = fit_inside((height, width), config.evaluation.window)
    size = [max(patch, side // patch * patch) for side in fitted]
    pixels = [F.resize(torch.from_numpy(sample.image).permute(2, 0, 1), size, InterpolationMode.BILINEAR,
                       antialias=False) for sample in samples]  # as in evaluation
    return normalise(torch.stack(pixels), backbone.mean, backbone.std)


def _draw_row(caption: str, titles: list[str], pixels: list[np.ndarray[Any, Any]], width: int) -> Picture:
    """Pictures side by side under their titles, the first at its best, the others patch by patch."""
    height = max(1, round(width * pixels[0].shape[0] / pixels[0].shape[1]))
    strip, draw, font = _blank_strip(GAP + len(pixels) * (width + GAP), height + 2 * LINE)
    draw.text((GAP, LINE / 2), caption, INK, font, anchor="lm")
    for column, (title, content) in enumerate(zip(titles, pixels, strict=True)):
        left = GAP + column * (width + GAP)
        resampling = PillowImage.Resampling.NEAREST if column else PillowImage.Resampling.LANCZOS
        strip.paste(PillowImage.fromarray(content).resize((width, height), resampling), (left, LINE))
        draw.text((left, LINE + height + LINE / 2), title, FAINT, font, anchor="lm")
    return strip


def _stack(strips: list[Picture]) -> Picture:
    sheet = PillowImage.new("RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _length(text: str) -> int:
    return int(_blank_strip(1, 1)[2].getlength(text)) + 2 * GAP


def _blank_strip(width: int, height: int) -> tuple[Picture, ImageDraw.ImageDraw, ImageFont.FreeTypeFont]:
    strip = PillowImage.new("RGB", (width, height), PAPER)
    font = ImageFont.load_default(TEXT)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
    return strip, ImageDraw.Draw(strip), font


def _prefixed(prefix: str, values: dict[str, _T]) -> dict[str, _T]:
    return {f"{prefix}{name}": value for name, value in values.items()}
