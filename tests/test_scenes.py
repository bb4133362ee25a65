import hashlib
import subprocess
import sys
from collections import Counter
from itertools import product

import numpy as np
import pytest

from recyclelora import scenes
from recyclelora.errors import InputError
from recyclelora.scenes.camera import Camera, bend, clip_near, pixel_axes, to_pixels
from recyclelora.scenes.layout import build_scene
from recyclelora.scenes.mesh import Id, Placement, Sketch, box, join
from recyclelora.scenes.raster import Light, render_mesh, vote
from recyclelora.scenes.textures import Material

SAME_GEOMETRY = ("day", "night", "fog", "rain", "snow", "dusk")
FEW = 8  # images per domain: every test of the pictures shares these
NOON = Light(*(np.array(v, np.float32) for v in ((0, 1, 0), (1, 1, 1), (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))))


@pytest.fixture(scope="module")
def gallery():
    """Domain -> images (FEW, H, W, 3) and labels (FEW, H, W)."""
    shown = {}
    for domain in scenes.DOMAINS:
        pairs = [scenes.render(domain, "train", index) for index in range(FEW)]
        shown[domain] = np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])
    return shown


def count(labels):
    """Pixels of each of the 19 classes per image (n, 19)."""
    return np.stack([np.bincount(label.ravel(), minlength=256)[:19] for label in labels])


# Same arguments, same pixels


def test_a_fresh_process_renders_the_same_bytes_and_needs_no_torch():
    code = (
        "import hashlib, sys; from recyclelora.scenes import render;"
        "print(*(hashlib.sha256(a.tobytes()).hexdigest() for d in ('night', 'camera') for a in render(d, 'val', 3)));"
        "sys.exit('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [array for domain in ("night", "camera") for array in scenes.render(domain, "val", 3)]
    assert run.stdout.split() == [hashlib.sha256(array.tobytes()).hexdigest() for array in here]


def test_repeated_calls_render_the_same_whatever_came_between(gallery):
    for domain in ("rain", "snow", "city"):
        image, label = scenes.render(domain, "train", 1)
        assert np.array_equal(image, gallery[domain][0][1]) and np.array_equal(label, gallery[domain][1][1])


def test_no_two_images_share_a_seed():
    seeds = [scenes.scene_seed(d, s, i) for d in scenes.DOMAINS for s, n in scenes.SPLITS.items() for i in range(n)]
    assert len(set(seeds)) == len(seeds) == len(scenes.DOMAINS) * sum(scenes.SPLITS.values())


@pytest.mark.parametrize(
    ("domain", "split", "index", "named"),
    [("dawn", "train", 0, "dusk"), ("day", "dev", 0, "val"), ("day", "val", 64, "63"), ("day", "val", -1, "63")],
)
def test_what_does_not_exist_is_said_in_one_line_with_what_does(domain, split, index, named):
    with pytest.raises(InputError, match=named) as caught:
        scenes.render(domain, split, index)
    assert "\n" not in str(caught.value)


# Labels


def test_images_and_labels_have_their_shapes_and_known_ids(gallery):
    for images, labels in gallery.values():
        assert images.shape[1:] == (*scenes.SIZE, 3) and images.dtype == np.uint8
        assert labels.shape[1:] == scenes.SIZE and labels.dtype == np.uint8
        assert np.isin(labels, [*range(19), 255]).all()


@pytest.mark.parametrize("domain", scenes.DOMAINS)
def test_every_class_occurs_in_every_domain(gallery, domain):
    assert (count(gallery[domain][1]).sum(0) >= 30).all()


def test_rare_classes_are_in_many_images_and_frequencies_are_those_of_streets(gallery):
    counts = np.concatenate([count(labels) for _, labels in gallery.values()])
    present = (counts >= 30).mean(0)
    for rare in (Id.TRAIN, Id.BUS, Id.TRUCK, Id.MOTORCYCLE, Id.RIDER):
        assert present[rare] >= 0.15, rare.name
    share = counts.sum(0) / counts.sum()
    assert share[[Id.ROAD, Id.BUILDING, Id.VEGETATION, Id.SKY]].sum() > 0.6
    assert 0.25 < share[Id.ROAD] < 0.5 and 0.02 < share[Id.CAR] < 0.15 and share[Id.SIDEWALK] > 0.02
    assert (share > 0.0005).all()


@pytest.mark.parametrize("domain", scenes.DOMAINS)
def test_the_sky_is_above_and_the_road_is_at_our_feet(gallery, domain):
    labels = gallery[domain][1]
    assert not (labels[:, 130:] == Id.SKY).any() and (labels[:, :80] == Id.SKY).any((1, 2)).all()
    assert (labels[:, -1, 160] == Id.ROAD).mean() > 0.9
    assert (labels[:, -20:] == Id.ROAD).mean() > 0.5


@pytest.mark.parametrize("domain", ["day", "city", "camera"])
def test_label_edges_lie_on_image_edges(gallery, domain):
    """In each quarter of the picture, as a lens that bent only the image would show in the corners."""
    images, labels = gallery[domain]
    grey = images.astype(np.float32).mean(-1)
    steep = np.abs(np.diff(grey, axis=2))[:, 2:-2], np.abs(np.diff(grey, axis=1))[:, :, 2:-2]
    edge = np.diff(labels, axis=2)[:, 2:-2] != 0, np.diff(labels, axis=1)[:, :, 2:-2] != 0
    halves = (slice(None, 118), slice(118, None)), (slice(None, 158), slice(158, None))
    for axis, rows, columns in product((0, 1), *halves):
        here, there = steep[axis][:, rows, columns], edge[axis][:, rows, columns]
        contrast = {shift: here[np.roll(there, shift, 2 - axis)].mean() for shift in (-4, -3, 0, 3, 4)}
        assert contrast.pop(0) > 1.2 * max(contrast.values())


# Domains


def test_one_street_keeps_its_labels_in_every_weather():
    day, label = scenes.render_seed(7, "day")
    for domain in SAME_GEOMETRY[1:]:
        image, other = scenes.render_seed(7, domain)
        assert np.array_equal(label, other), domain
        assert np.abs(image.astype(int) - day).mean() > 15, domain


def test_layouts_of_shared_geometry_follow_one_distribution(gallery):
    """By the noise of the sample itself: domains differ by no more than halves of one domain do, and some."""
    shares = {domain: count(gallery[domain][1]) / np.prod(scenes.SIZE) for domain in SAME_GEOMETRY}
    every = np.concatenate(list(shares.values()))
    error = every.std(0) * np.sqrt(1 / FEW + 1 / len(every))
    for domain, share in shares.items():
        assert (np.abs(share.mean(0) - every.mean(0)) < 4 * error).all(), domain


def test_each_domain_looks_like_its_name(gallery):
    mean = {domain: images.mean((0, 1, 2)) for domain, (images, _) in gallery.items()}
    spread = {domain: images.mean(-1).std((1, 2)).mean() for domain, (images, _) in gallery.items()}
    ground = {domain: images[labels == Id.TERRAIN].mean() for domain, (images, labels) in gallery.items()}
    steps = {d: np.abs(np.diff(images.astype(float), axis=2)).mean(-1) for d, (images, _) in gallery.items()}
    noise = {d: step[(gallery[d][1] == Id.SKY)[..., 1:]].mean() for d, step in steps.items()}
    assert mean["night"].mean() < 0.75 * min(mean[d].mean() for d in scenes.DOMAINS if d != "night")
    assert spread["fog"] < 0.85 * spread["day"]
    assert ground["snow"] > 1.2 * max(ground[d] for d in scenes.DOMAINS if d != "snow")
    assert mean["dusk"][0] / mean["dusk"][2] > 1.15 * mean["day"][0] / mean["day"][2]
    assert mean["rain"].mean() < mean["day"].mean() < mean["snow"].mean()
    assert noise["camera"] > 1.5 * noise["day"]


def test_wet_roads_mirror_lights():
    """The road below tail lights is redder in the rain than in the fog, where they shine as well."""
    excess = {}
    for domain in ("rain", "fog"):
        image, label = scenes.render_seed(3, domain)
        road = image[label == Id.ROAD].astype(float)
        excess[domain] = np.percentile(road[:, 0] - road[:, 1], 99.9)
    assert excess["rain"] > excess["fog"] + 5


# Parts


def test_placing_turns_and_moves_like_matrices():
    sketch = Sketch()
    box(sketch, (-1, 1), (0, 2), (0, 3), Id.CAR, (1, 1, 1), Material.PLAIN, slot=0)
    sketch.quad((0, 1), (0, 1), 0, Id.POLE, (0.2, 0.4, 0.6))
    mesh, yaw = sketch.mesh(), 0.7
    placed = join([Placement(mesh), Placement(mesh, 4, 5, 1, yaw, 2.0, ((0.5, 0.25, 0.125),))])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    expected = 2 * mesh.points @ turn.T + [4, 1, 5]
    assert np.allclose(placed.points[len(mesh.points) :], expected, atol=1e-5)
    assert np.array_equal(placed.points[: len(mesh.points)], mesh.points)
    colours = placed.faces["colour"][len(mesh.faces) :]
    assert np.allclose(colours[:-1], (0.5, 0.25, 0.125)) and np.allclose(colours[-1], (0.2, 0.4, 0.6))


def test_pixels_show_the_nearest_face_at_its_depth():
    """Against a ray cast at each pixel by hand."""
    camera = Camera(focal=300, height=1.5, pitch=0.1, yaw=0.05, x=0.3)
    sketch = Sketch()
    sketch.face([(-50, 0, 1), (50, 0, 1), (50, 0, 90), (-50, 0, 90)], Id.ROAD)
    sketch.quad((-4, 2), (0, 3), 20, Id.BUILDING)
    sketch.quad((0, 1), (0, 2), 8, Id.PERSON)
    frame = render_mesh(sketch.mesh(), camera, NOON)
    rays = camera.rays()
    depth, label = np.full(scenes.SIZE, np.inf), np.full(scenes.SIZE, Id.SKY)

    def hit(distance, inside, name):
        closer = inside & (distance > 0) & (distance < depth)
        depth[closer], label[closer] = distance[closer], name

    with np.errstate(divide="ignore"):
        ground = -camera.height / rays[..., 1]
    point = camera.position + ground[..., None] * rays
    hit(ground, (point[..., 2] > 1) & (point[..., 2] < 90), Id.ROAD)
    for x, y, z, name in (((-4, 2), 3, 20, Id.BUILDING), ((0, 1), 2, 8, Id.PERSON)):
        distance = z / rays[..., 2]
        point = camera.position + distance[..., None] * rays
        hit(distance, (point[..., 0] > x[0]) & (point[..., 0] < x[1]) & (point[..., 1] > 0) & (point[..., 1] < y), name)
    agree = label == frame.label
    assert agree.mean() > 0.99
    inside = agree & (label != Id.SKY) & (frame.depth < 60)
    assert np.abs(frame.depth / depth - 1)[inside].mean() < 0.01


def test_what_is_seen_through_a_fence_is_fence_but_not_what_stands_before_it():
    camera, sketch = Camera(focal=300, height=1.5, pitch=0.0), Sketch()
    sketch.quad((-20, 20), (0, 9), 30, Id.BUILDING)
    corners = [(-20.0, 0.0, 15.0), (20.0, 0.0, 15.0), (20.0, 3.0, 15.0), (-20.0, 3.0, 15.0)]
    sketch.face(corners, Id.FENCE, veil=True)
    sketch.quad((-1, 1), (0, 2), 8, Id.PERSON, (1, 0, 0))
    frame = render_mesh(sketch.mesh(), camera, NOON)
    bare = Sketch()
    bare.quad((-20, 20), (0, 9), 30, Id.BUILDING)
    bare.quad((-1, 1), (0, 2), 8, Id.PERSON, (1, 0, 0))
    assert np.allclose(frame.colour, render_mesh(bare.mesh(), camera, NOON).colour)
    assert frame.label[120, 40] == Id.FENCE and frame.label[120, 160] == Id.PERSON
    assert frame.label[80, 40] == Id.BUILDING


def test_vote_takes_the_commonest_label():
    labels = np.array(list(product(range(4), repeat=4)), np.uint8).T
    for given, taken in zip(labels.T.tolist(), vote(labels).tolist(), strict=True):
        tally = Counter(given)
        assert tally[taken] == max(tally.values())


def test_clipping_keeps_the_part_beyond_the_near_plane():
    square = np.array([(-1, 0, -3), (1, 0, -3), (1, 0, 5), (-1, 0, 5)], np.float32)
    kept = clip_near(square)
    assert kept[:, 2].min() == pytest.approx(0.4) and kept[:, 2].max() == 5 and len(kept) == 4
    assert len(clip_near(square - np.array([0, 0, 9], np.float32))) == 0


def test_pixel_axes_invert_the_projection():
    across, up = pixel_axes(300, 2)
    view = np.array([(across[17] * 9, up[33] * 9, 9)], np.float32)
    assert np.allclose(to_pixels(view, 300, 2), [(17, 33)], atol=1e-3)


def test_a_straight_lens_changes_nothing_and_a_bent_one_keeps_the_corners(gallery):
    images, labels = gallery["day"]
    assert np.array_equal(bend(images[0], 0.0, smooth=True), images[0])
    assert np.array_equal(bend(labels[0], 0.0, smooth=False), labels[0])
    bent = bend(labels[0], 0.16, smooth=False)
    assert bent[0, 0] == labels[0][0, 0] and bent[-1, -1] == labels[0][-1, -1]
    assert set(np.unique(bent)) <= set(np.unique(labels[0])) and not np.array_equal(bent, labels[0])


def test_things_are_ordered_from_far_to_near():
    scene = build_scene(np.random.default_rng(0), "home", "bus")
    cars = scene.mesh.faces["label"] == Id.CAR
    starts = np.cumsum(scene.mesh.sizes) - scene.mesh.sizes
    z = scene.mesh.points[starts[cars], 2]
    assert len(z) > 100 and (z[:20].mean() > z[-20:].mean() + 10)
