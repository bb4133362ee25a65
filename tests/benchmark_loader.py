"""How fast training images are made, ours and the same steps in plain torchvision side by side in one run:

    python -m tests.benchmark_loader [--camvid DIR] [--crop 512] [--rounds 12]

Frames of CamVid, enlarged to the sizes of GTAV, Cityscapes and BDD100K and given noise until the files are as large as
theirs, are read (Pillow on all sides; ours a second time from the copies that `data prepare` makes), resized, cropped,
flipped, distorted, put together in batches of 4 and normalised. Processor time of one core; that all sides give the same
bits is asserted on the way. At the end, what an H100 would need, by counting the operations of a training step, beside
what 8 cores would give.
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
from recyclelora.data.copies import make_copies, read_copy
from recyclelora.data.datasets import DomainData
from recyclelora.data.labels import CITYSCAPES19
from recyclelora.data.loader import batches, draws
from recyclelora.data.pairs import LabelFormat, Pair, decode, encode_pair
from recyclelora.data.transforms import Recipe, augment, normalise
from recyclelora.models.mask2former import HeadShape, Mask2FormerHead
from recyclelora.models.pyramid import block_features, feature_pyramid
from recyclelora.models.timm_backbones import build_backbone
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


def write_files(source: Source, camvid: Path, folder: Path) -> list[Pair]:
    rng, pairs = np.random.default_rng(0), []
    for frame in sorted((camvid / "train").iterdir())[:: 60][:FRAMES]:
        picture = PillowImage.open(frame).convert("RGB").resize(source.size, PillowImage.Resampling.BICUBIC)
        noise = rng.normal(0, source.noise, (*source.size[::-1], 1))
        image, label = folder / f"{frame.stem}{source.suffix}", folder / f"{frame.stem}_label.png"
        PillowImage.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)).save(image, quality=85)
        ids = PillowImage.open(camvid / "trainannot" / f"{frame.stem}.png")
        ids.resize(source.size, PillowImage.Resampling.NEAREST).save(label)
        pairs.append(Pair(frame.stem, image, label))
    return pairs


STORED = LabelFormat({**{train_id: train_id for train_id in range(11)}, 11: 255})


class Reader:
    """Image and label of a pair of files, from `copies` where such a folder is given; `seconds` holds what the steps
    took."""

    def __init__(self, pairs: list[Pair], copies: Path | None = None) -> None:
        self.pairs, self.copies, self.seconds = pairs, copies, defaultdict(list)

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        pair = self.pairs[index]
        with timed(self.seconds, "decode image"):
            image = self.decode(pair.image, "image", ("RGB",))
        with timed(self.seconds, "decode label"):
            ids = self.decode(pair.label, "label", ("L", "P"))
        with timed(self.seconds, "train ids"):
            return encode_pair(pair, image, ids, STORED)

    def decode(self, path: Path, kind: str, modes: tuple[str, ...]) -> np.ndarray:
        copy = read_copy(path, folder=path.parent, copies=self.copies) if self.copies else None
        return decode(path, kind, modes) if copy is None else copy


class PlainReader(Reader):
    """The same with an array as table, as it is commonly done."""

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        pair, lut = self.pairs[index], np.full(256, 255, dtype=np.uint8)
        lut[:11] = range(11)
        with timed(self.seconds, "decode image"):
            image = decode(pair.image, "image", ("RGB",))
        with timed(self.seconds, "decode label"):
            ids = decode(pair.label, "label", ("L", "P"))
        with timed(self.seconds, "train ids"):
            return image, lut[ids]


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


SIDES = ("ours", "from copies", "plain torchvision")
Rates = dict[str, float]  # side -> images per second and core


def compare(source: Source, camvid: Path, crop: tuple[int, int], rounds: int) -> Rates:
    """Prints the comparison, the three sides turn and turn about; returns the images per second and core of each."""
    with tempfile.TemporaryDirectory() as folder:
        pairs, copies = write_files(source, camvid, Path(folder)), Path(folder) / "copies"
        list(make_copies(pairs, STORED, folder=Path(folder), copies=copies, workers=1))
        readers = {"ours": Reader(pairs), "from copies": Reader(pairs, copies), "plain torchvision": PlainReader(pairs)}
        made = {side: batches(data_of(readers[side]), Recipe(crop), batch_size=BATCH, seed=0, stop=rounds, mean=MEAN, std=STD)
                for side in SIDES[:2]}
        for iteration in range(rounds):
            results = []
            for side, reader in readers.items():
                with timed(reader.seconds, "whole"):
                    results.append(next(made[side]) if side in made else plain_batch(reader, crop, iteration))
            images, labels = results[0]
            assert all(torch.equal(images, other[0]) and torch.equal(labels, other[1]) for other in results[1:])
        whole = {side: handed_over(data_of(Reader(pairs, readers[side].copies)), crop, rounds) for side in SIDES[:2]}
        for side in SIDES[:2]:
            steps(readers[side], crop, rounds)
        size, copied = (statistics.fmean(path.stat().st_size for path in paths) / 1e6 for paths in (
            [pair.image for pair in pairs], list(copies.rglob("*.tif")) or [pairs[0].image]))
    each = {side: [seconds / BATCH for seconds in readers[side].seconds["whole"][1:]] for side in SIDES}  # 1st: warm-up
    rates = {side: 1 / statistics.fmean(values) for side, values in each.items()}
    print(f"\n{source.size[0]}x{source.size[1]} {source.suffix[1:].upper()} of {size:.2g} MB (real ones {source.megabytes} MB), "
          f"image and label copied as {copied:.2g} MB each, {len(each['ours'])} batches of {BATCH}")
    print("  images a second and core: " + ", ".join(f"{side} {rates[side]:.1f}" for side in SIDES))
    print(f"  ratio to plain torchvision: ours {rates['ours'] / rates[SIDES[2]]:.2f}, from copies "
          f"{rates['from copies'] / rates[SIDES[2]]:.2f}")
    print("  with a loader process, its start included: " + ", ".join(f"{side} {1e3 * whole[side]:.1f} ms an image"
                                                                      for side in SIDES[:2]))
    print(f"    {'ms an image':18s} " + " ".join(f"{side:>18s}" for side in SIDES))
    for name in dict.fromkeys((*readers[SIDES[2]].seconds, *readers["ours"].seconds)):
        values = [readers[side].seconds[name] for side in SIDES]
        print(f"    {name:18s} " + " ".join(f"{1e3 * sum(each) / (BATCH * rounds):18.2f}" if each else f"{'-':>18s}"
                                            for each in values))
    return rates


def data_of(reader: Reader) -> DomainData:
    return DomainData("made up", "train", CITYSCAPES19, tuple(map(str, range(FRAMES))), reader, str)


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

    recipe, read, seconds = Recipe(crop), Reader(ours.pairs, ours.copies), ours.seconds
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
    for name, sides in rates.items():
        print(f"  {CORES} cores give {CORES * sides['ours']:4.0f} images/s of {name}, {CORES * sides['from copies']:4.0f} from copies "
              f"(this machine's core times {CORES})")


if __name__ == "__main__":
    main()
