"""How fast training images are made, ours and the same steps in plain torchvision side by side in one run:

    python -m tests.benchmark_loader [--camvid DIR] [--crop 512] [--rounds 12]

Frames of CamVid, enlarged to the sizes of GTAV, Cityscapes and BDD100K and given noise until the files are as large as
theirs, are read (Pillow on both sides), resized, cropped, flipped, distorted, put together in batches of 4 and
normalised. Processor time of one core; that both sides give the same bits is asserted on the way. At the end, what an
H100 would need, by counting the operations of a training step, beside what 8 cores would give.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image as PillowImage
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from recyclelora.adapters import adapt
from recyclelora.data.datasets import DomainData
from recyclelora.data.labels import CITYSCAPES19
from recyclelora.data.loader import batches, draws
from recyclelora.data.pairs import decode
from recyclelora.data.transforms import Recipe, augment, normalise
from recyclelora.models.backbones import build_backbone
from recyclelora.models.mask2former import HeadShape, Mask2FormerHead
from recyclelora.models.pyramid import block_features, feature_pyramid
from tests import plain_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH, FRAMES, CORES = 4, 6, 8
H100 = {"bfloat16": 989e12, "TF32": 494e12, "float32": 67e12}  # dense FLOP/s on NVIDIA's data sheet (SXM)
SHARE = 0.4  # of it that a well-written training step may reach


class Source(NamedTuple):
    """Files of one data set: their kind and size (width, height), and how much noise makes them as large as the real."""

    suffix: str
    size: tuple[int, int]
    noise: float  # grey levels
    megabytes: float  # of a real image, on the average


SOURCES = {
    "GTAV": Source(".png", (1914, 1052), 1.0, 2.3),
    "Cityscapes": Source(".png", (2048, 1024), 1.0, 2.3),
    "BDD100K": Source(".jpg", (1280, 720), 1.0, 0.1),
}
Seconds = dict[str, list[float]]


def write_files(source: Source, camvid: Path, folder: Path) -> list[tuple[Path, Path]]:
    rng, pairs = np.random.default_rng(0), []
    for frame in sorted((camvid / "train").iterdir())[:: 60][:FRAMES]:
        picture = PillowImage.open(frame).convert("RGB").resize(source.size, PillowImage.Resampling.BICUBIC)
        noise = rng.normal(0, source.noise, (*source.size[::-1], 1))
        image, label = folder / f"{frame.stem}{source.suffix}", folder / f"{frame.stem}_label.png"
        PillowImage.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)).save(image, quality=85)
        ids = PillowImage.open(camvid / "trainannot" / f"{frame.stem}.png")
        ids.resize(source.size, PillowImage.Resampling.NEAREST).save(label)
        pairs.append((image, label))
    return pairs


class Reader:
    """Image and label of a pair of files; `seconds` holds what the steps took."""

    def __init__(self, pairs: list[tuple[Path, Path]]) -> None:
        self.pairs, self.seconds = pairs, defaultdict(list)
        self.lut = np.full(256, 255, dtype=np.uint8)
        self.lut[:11] = range(11)

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, label = self.pairs[index]
        with timed(self.seconds, "decode image"):
            pixels = decode(image, "image", ("RGB",))
        with timed(self.seconds, "decode label"):
            ids = decode(label, "label", ("L", "P"))
        with timed(self.seconds, "train ids"):
            return pixels, self.lut[ids]


@contextmanager
def timed(seconds: Seconds, name: str) -> Iterator[None]:
    begun = time.process_time()
    yield
    seconds[name].append(time.process_time() - begun)


def generator(iteration: int, position: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, iteration, position)))


def plain_batch(read: Reader, crop: tuple[int, int], iteration: int) -> tuple[Tensor, Tensor]:
    """Samples, draws and results are those of `batches`; only the functions are torchvision's."""
    images, labels = [], []
    for draw in next(draws(len(read.pairs), BATCH, 0, iteration, iteration + 1)):
        rng = generator(iteration, draw.position)
        image, label = read(draw.sample)
        begun = time.process_time()
        for step in plain_torchvision.steps(image, label, crop, rng):
            read.seconds[step[0]].append(time.process_time() - begun)
            begun = time.process_time()
        images.append(step[1])
        labels.append(step[2][0])
    with timed(read.seconds, "batch, normalise"):
        return F.normalize(torch.stack(images).float(), [255 * v for v in MEAN], [255 * v for v in STD]), \
            torch.stack(labels).long()


def compare(source: Source, camvid: Path, crop: tuple[int, int], rounds: int) -> float:
    """Prints the comparison; returns our images per second and core."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_files(source, camvid, Path(folder))
        ours, plain = Reader(pairs), Reader(pairs)
        data = DomainData("made up", "train", CITYSCAPES19, tuple(str(i) for i in range(FRAMES)), ours, str)
        made = batches(data, Recipe(crop), batch_size=BATCH, seed=0, stop=rounds, mean=MEAN, std=STD)
        for iteration in range(rounds):
            with timed(ours.seconds, "whole"):
                images, labels = next(made)
            with timed(plain.seconds, "whole"):
                expected = plain_batch(plain, crop, iteration)
            assert torch.equal(images, expected[0]) and torch.equal(labels, expected[1])
        whole = handed_over(DomainData("made up", "train", CITYSCAPES19, data.names, Reader(pairs), str), crop, rounds)
        steps(ours, crop, rounds)
        size = statistics.fmean(image.stat().st_size for image, _ in pairs) / 1e6
    each = {side: [seconds / BATCH for seconds in reader.seconds["whole"][1:]]  # the first is a warm-up
            for side, reader in (("ours", ours), ("plain", plain))}
    rates = {side: 1 / statistics.fmean(values) for side, values in each.items()}
    print(f"\n{source.size[0]}x{source.size[1]} {source.suffix[1:].upper()} of {size:.2g} MB (real ones {source.megabytes} MB), "
          f"{len(each['ours'])} batches of {BATCH}\n  images a second and core: ours {rates['ours']:.1f}, plain torchvision "
          f"{rates['plain']:.1f}; ratio {rates['ours'] / rates['plain']:.2f}")
    print(f"    with a loader process, its start included, {1e3 * whole:.1f} ms an image; without {1e3 / rates['ours']:.1f} ms")
    for name in dict.fromkeys((*plain.seconds, *ours.seconds)):
        if name != "whole":
            both = [f"{1e3 * sum(reader.seconds[name]) / (BATCH * rounds):6.2f}" if reader.seconds[name] else "     -"
                    for reader in (ours, plain)]
            print(f"    {name:18s} ours {both[0]} ms an image, plain {both[1]} ms")
    return rates["ours"]


def handed_over(data: DomainData, crop: tuple[int, int], rounds: int) -> float:
    """Processor seconds an image, of this process and of the one that loads for it: what handing over costs."""
    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    begun = spent()
    for _ in batches(data, Recipe(crop), batch_size=BATCH, seed=0, stop=rounds, workers=1, mean=MEAN, std=STD):
        pass
    return (spent() - begun) / (BATCH * rounds)


def steps(ours: Reader, crop: tuple[int, int], rounds: int) -> None:
    """Our steps one by one, over the same draws: `augment` has no clock in it. Reading has been timed already."""
    from recyclelora.data import transforms as t
    from recyclelora.data.distortion import distort, draw_distortion

    recipe, read, seconds = Recipe(crop), Reader(ours.pairs), ours.seconds
    for iteration in range(rounds):
        crops, ids = [], []
        for draw in next(draws(len(ours.pairs), BATCH, 0, iteration, iteration + 1)):
            rng = generator(iteration, draw.position)
            image, label = read(draw.sample)
            size = list(t.draw_size(label.shape, recipe, rng))
            pixels, labels = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(label)[None]
            with timed(seconds, "resize image"):
                pixels = F.resize(pixels, size, t.InterpolationMode.BILINEAR, antialias=False)
            with timed(seconds, "resize label"):
                labels = F.resize(labels, size, t.InterpolationMode.NEAREST_EXACT)
            with timed(seconds, "crop"):
                corner = t.draw_crop(labels[0], crop, rng)
                pixels, labels = t.fill(t.cut(pixels, *corner, crop), crop, 0), t.fill(t.cut(labels, *corner, crop), crop, 255)
            with timed(seconds, "flip"):
                if rng.random() < 0.5:
                    pixels, labels = F.horizontal_flip(pixels), F.horizontal_flip(labels)
            with timed(seconds, "distort"):
                pixels = distort(pixels, draw_distortion(rng))
            assert torch.equal(pixels, augment(image, label, recipe, generator(iteration, draw.position))[0])
            crops.append(pixels)
            ids.append(labels[0])
        with timed(seconds, "batch, normalise"):
            normalise(torch.stack(crops), MEAN, STD)
            torch.stack(ids).long()


def step_operations(crop: tuple[int, int]) -> float:
    """Floating-point operations of one training step of the paper's model, forward and backward, without the loss: the
    ViT's on the meta device, those of the head by running it on one image."""
    with torch.device("meta"), FlopCounterMode(display=False) as of_vit:
        vit = build_backbone("dinov2_large", patch_size=16, image_size=crop, weights=None)
        adapt(vit, main_rank=32, sub_rank=4)
        sum(map(Tensor.sum, block_features(vit, torch.zeros(1, 3, *crop), (7, 11, 15, 23)))).backward()
    grid = [torch.rand(1, 1024, crop[0] // 16, crop[1] // 16, requires_grad=True) for _ in range(4)]
    head = Mask2FormerHead(in_channels=[1024] * 4, num_classes=19, shape=HeadShape())
    with FlopCounterMode(display=False) as of_head:
        predictions = head(feature_pyramid(grid))
        sum(part.sum() for part in (*predictions.classes, *predictions.masks)).backward()
    return float(BATCH * (of_vit.get_total_flops() + of_head.get_total_flops()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data" / "camvid")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=12)
    chosen = parser.parse_args()
    crop = (chosen.crop, chosen.crop)
    torch.set_num_threads(1)
    rates = {name: compare(source, chosen.camvid, crop, chosen.rounds) for name, source in SOURCES.items()}
    operations = step_operations(crop)
    print(f"\nA training step of DINOv2-L at {chosen.crop}x{chosen.crop}, batch {BATCH}: {operations / 1e12:.2f} TFLOP counted. "
          f"Estimates for one H100, never measured, at {SHARE:.0%} of its peak:")
    for precision, peak in H100.items():
        print(f"  {precision:9s} {SHARE * peak / operations:6.1f} steps/s, so {BATCH * SHARE * peak / operations:6.0f} images/s wanted")
    for name, rate in rates.items():
        print(f"  {CORES} cores give {CORES * rate:5.0f} images/s of {name} (this machine's core times {CORES})")


if __name__ == "__main__":
    main()
