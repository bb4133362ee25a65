"""A trial, whole: real weights, real training steps, resumed bit for bit, selected, saved and loaded again."""

import json
import math
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from recyclelora.adapters.tensor_files import write_checked
from recyclelora.data.datasets import open_domain
from recyclelora.data.labels import CITYSCAPES19, common_space
from recyclelora.errors import InputError
from recyclelora.training.checkpoint import CURRENT
from recyclelora.training.evaluation import ImageResult
from recyclelora.training.metrics import miou
from recyclelora.trials import analysis_files, build, scores
from recyclelora.trials.artifacts import load_model
from recyclelora.trials.history import History
from recyclelora.trials.label_mapping import Scoring, read_scoring
from recyclelora.trials.paths import Paths
from recyclelora.trials.protocol import protocol
from recyclelora.trials.record import Record
from recyclelora.trials.scores import _describe, predict_image
from recyclelora.trials.trial import Progress, read_record, run
from recyclelora.writing import UNFINISHED
from tests import trees
from tests.test_declared import WHOLE
from tests.test_declared import write as declared
from tests.tiny_config import tiny

CPU = torch.device("cpu")


def paths_at(results: Path, cache: Path, data_root: Path | None = None) -> Paths:
    return Paths(results, cache, data_root)


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Record, Paths, list[Progress]]:
    """A trial that was never interrupted."""
    paths, heard = paths_at(tmp_path_factory.mktemp("whole"), cache), list[Progress]()
    return run(tiny(), paths, heard.append), paths, heard


def test_a_record_holds_what_a_table_needs(whole: tuple[Record, Paths, list[Progress]]) -> None:
    record, paths, heard = whole
    metrics = record.metrics
    assert record.outcome == "finished" and record.iteration == 6
    assert metrics["miou/target_mean"] == pytest.approx((metrics["miou/scenes-night"] + metrics["miou/scenes-fog"]) / 2)
    for domain in ("source", "scenes-night", "scenes-fog"):
        classes = [value for name, value in metrics.items() if name.startswith(f"iou/{domain}/")]
        assert metrics[f"miou/{domain}"] == pytest.approx(sum(classes) / len(classes)) and 1 < len(classes) <= 19
        assert 0 < metrics[f"chance/{domain}"] < 0.2
    per_rank = 12 * (384 + 1152 + 384 + 384 + 384 + 1536 + 1536 + 384)
    assert metrics["params/adapter"] == 6 * per_rank < metrics["params/trainable"]
    assert record.tags["protocol"] == ("fit in 56x42, window 56x42 stride 56x42, val split (source: val), 2 images a domain; "
                                       "mIoU: a class that no label of a domain holds is not counted")
    assert record.tags["selection"] == "last" and record.tags["label_space"] == "cityscapes19"
    assert read_scoring(record.tags) == Scoring(
        dict.fromkeys(("source", "scenes-night", "scenes-fog"), "cityscapes19"), {})
    assert [progress.done for progress in heard] == [1, 2, 3, 4, 5, 6] and "miou/source" in heard[2].metrics
    assert {"loss/total", "loss/class", "loss/mask", "loss/dice", "lr/main", "lr/sub", "lr/head"} <= set(heard[0].metrics)
    assert metrics["adapter_start/rank_efficiency/main"] == pytest.approx(1, abs=1e-6) != metrics["adapter/rank_efficiency/main"]
    assert heard[0].metrics["lr/main"] == pytest.approx(1e-3) and heard[0].metrics["lr/sub"] == pytest.approx(5e-4)


def test_its_folder_holds_the_model_and_the_way_back(whole: tuple[Record, Paths, list[Progress]]) -> None:
    record, paths, _ = whole
    folder = paths.trial(record.fingerprint)
    confusions = load_file(folder / "confusions.safetensors")
    assert {name: tuple(c.shape) for name, c in confusions.items()} == {
        name: (2, 19, 19) for name in ("source", "scenes-night", "scenes-fog")}
    assert all(int(c.sum()) <= 2 * 240 * 320 for c in confusions.values())
    assert {path.name for path in (folder / "panels").iterdir()} == {"source.png", "scenes-night.png", "scenes-fog.png"}
    assert all((folder / name).exists() for name in analysis_files.FILES)
    assert not [*folder.rglob(f"{UNFINISHED}*")]
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.iterdir())  # a results folder may be shared
    assert read_record(folder) == record


def test_a_finished_trial_is_not_run_again(whole: tuple[Record, Paths, list[Progress]]) -> None:
    record, paths, _ = whole
    def refuse(progress: Progress) -> None:
        assert progress.done == progress.total and len(progress.history) == 6, "the curve is told, nothing is trained"
    assert run(tiny(), paths, refuse) == record
    assert run(tiny(resources__checkpoint_every=1, resources__cpus=2.0), paths, refuse) == record, "the same trial"


@pytest.mark.parametrize("name", ["head.safetensors", "adapter.safetensors", "confusions.safetensors"])
def test_a_finished_trial_whose_file_is_gone_ends_once_more(whole: tuple[Record, Paths, list[Progress]], tmp_path: Path,
                                                            name: str) -> None:
    record, before, _ = whole
    paths, heard = paths_at(tmp_path, before.cache), list[Progress]()
    folder = Path(shutil.copytree(before.trial(record.fingerprint), paths.trial(record.fingerprint)))
    (folder / name).unlink()
    assert comparable(run(tiny(), paths, heard.append)) == comparable(record)
    assert [progress.done for progress in heard] == [6], "from its last checkpoint: nothing is trained again"
    one, two = (load_file(at.trial(record.fingerprint) / name) for at in (before, paths))
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_where_it_is_another_trial_nothing_is_trained(whole: tuple[Record, Paths, list[Progress]], tmp_path: Path) -> None:
    expected = {**whole[0].tags, "fingerprint": "f0", "weights_sha256": "a" * 64}
    with pytest.raises(InputError, match=r"another trial, \w+ instead of f0: weights \w{12} instead of aaaaaaaaaaaa; give every"):
        run(tiny(), paths_at(tmp_path, whole[1].cache), None, expected)
    assert not [*tmp_path.iterdir()]


def comparable(record: Record) -> dict[str, float]:
    return {name: value for name, value in record.metrics.items() if not name.startswith(("time/", "memory/"))}


@pytest.mark.parametrize("killed_at", [3, 5])
def test_three_steps_and_three_more_are_six(whole: tuple[Record, Paths, list[Progress]], tmp_path: Path, cache: Path,
                                            killed_at: int) -> None:
    record, before, _ = whole
    paths = paths_at(tmp_path, cache)

    def kill(progress: Progress) -> None:
        if progress.done == killed_at:
            raise Killed

    # Iteration 3 is scored: the kill comes before its checkpoint, so that run starts anew; the other goes on from 3.
    with pytest.raises(Killed):
        run(tiny(), paths, kill)
    heard: list[Progress] = []
    again = run(tiny(), paths, heard.append)
    assert comparable(again) == comparable(record)
    for name in ("adapter.safetensors", "head.safetensors", "confusions.safetensors", "analysis.safetensors"):
        one, two = (load_file(at.trial(record.fingerprint) / name) for at in (before, paths))
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one), name
    steps = [iteration for progress in heard for iteration, _ in progress.history]
    assert steps == [1, 2, 3, 4, 5, 6], "the whole curve is told again, each step once"
    assert heard[0].done == (1 if killed_at == 3 else 3)
    times = [progress.metrics["time/trained"] for progress in heard]
    assert 0 < times[0] and times == sorted(times) and times[-1] <= again.metrics["time/train"]
    if killed_at == 5:  # the three steps before the kill count too
        first = next(metrics for iteration, metrics in heard[0].history if iteration == 3)
        assert times[0] == first["time/trained"]


def test_another_seed_is_another_trial(whole: tuple[Record, Paths, list[Progress]], tmp_path: Path, cache: Path) -> None:
    heard: list[Progress] = []
    other = run(tiny(seed=1, training__iterations=1, evaluation__every=1), paths_at(tmp_path, cache), heard.append)
    assert other.fingerprint != whole[0].fingerprint
    assert heard[0].done == whole[2][0].done == 1
    assert heard[0].metrics["loss/total"] != whole[2][0].metrics["loss/total"]


def test_divergence_ends_a_trial_with_its_reason(tmp_path: Path, cache: Path) -> None:
    record = run(tiny(training__lr=1e30, training__clip=None), paths_at(tmp_path, cache))
    assert record.outcome == "failed" and record.reason.startswith("diverged at iteration ")
    assert read_record(tmp_path / "trials" / record.fingerprint) == record


def test_averaged_weights_are_what_is_kept_and_resumed(whole: tuple[Record, Paths, list[Progress]], tmp_path: Path,
                                                       cache: Path) -> None:
    """Killed after the average began; the raw weights go on training as if there were none."""
    config, paths = tiny(training__ema_start=2, training__ema_momentum=0.3), paths_at(tmp_path, cache)
    plain, plain_places, heard = whole

    def kill(progress: Progress) -> None:
        if progress.done == 5:
            raise Killed

    with pytest.raises(Killed):
        run(config, paths, kill)
    again: list[Progress] = []
    record = run(config, paths, again.append)
    assert record.fingerprint != plain.fingerprint
    assert again[0].done == 3 and again[-1].metrics["loss/total"] == heard[-1].metrics["loss/total"]
    folder, name = paths.trial(record.fingerprint), "head.class_predictor.weight"
    kept, made = load_file(folder / CURRENT), load_file(folder / "head.safetensors")
    untouched = load_file(plain_places.trial(plain.fingerprint) / CURRENT)
    assert all(torch.equal(kept[key], tensor) for key, tensor in untouched.items())
    assert torch.equal(made[name], kept[f"average/{name}"]) and not torch.equal(made[name], kept[f"weight/{name}"])


@pytest.mark.slow
def test_an_average_is_what_is_selected(tmp_path: Path, cache: Path) -> None:
    config = tiny(training__ema_start=1, training__ema_momentum=0.3, evaluation__selection="source_val",
                  evaluation__every=2)
    heard: list[Progress] = []
    record = run(config, paths_at(tmp_path, cache), heard.append)
    during = [news["miou/source"] for progress in heard for _, news in progress.history if "miou/source" in news]
    assert record.metrics["miou/source"] == pytest.approx(max(during)), "scored again, the same number"


@pytest.mark.slow
def test_a_trial_with_less_memory_is_the_same_trial(whole: tuple[Record, Paths, list[Progress]], tmp_path: Path,
                                                    cache: Path) -> None:
    record = run(tiny(resources__activation_checkpointing=True), paths_at(tmp_path, cache))
    assert record.fingerprint == whole[0].fingerprint and comparable(record) == comparable(whole[0])


def test_protocols_are_named(tmp_path: Path, cache: Path) -> None:
    named = tiny(evaluation__size="half", data__source="gtav", data__targets=["cityscapes", "bdd100k"],
                 evaluation__scales=[0.5, 1.0, 1.75], evaluation__flip=True)
    assert protocol(named) == ("each domain in its size of half, window 56x42 stride 56x42, at 0.5 1 1.75 times "
                               "that size and mirrored, val split (source: val), 2 images a domain; mIoU: a class that no "
                               "label of a domain holds is not counted")
    zero = protocol(tiny(evaluation__absent_classes="zero"))
    assert zero.endswith("mIoU: a class that no label of a domain holds counts as 0 where it is predicted (MMSegmentation)")
    with pytest.raises(InputError, match="evaluation.size: half has no size for scenes-day, only for gtav, ") as caught:
        build.check(tiny(evaluation__size="half"), paths_at(tmp_path, cache))
    assert caught.value.key == "evaluation.size"


def test_the_counting_of_absent_classes_reaches_the_metrics() -> None:
    common = common_space(CITYSCAPES19, CITYSCAPES19)
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    confusion[0, :3] = torch.tensor([5, 2, 1])
    results = [ImageResult("0", "scenes-night", confusion)]
    skip, zero = (_describe(results, common, "night", tiny(evaluation__absent_classes=absent))
                  for absent in ("skip", "zero"))
    assert skip["miou/night"] == skip["iou/night/road"] == 5 / 8 == 3 * zero["miou/night"]
    assert zero["iou/night/sidewalk"] == zero["iou/night/building"] == 0 and "iou/night/sidewalk" not in skip


def test_size_scales_and_mirroring_reach_the_evaluation(cache: Path) -> None:
    """With a model that any change of its input changes, which training of a few steps is not."""
    data = replace(open_domain("scenes-night", "val", root=None, cache=cache, limit=1), domain="cityscapes")
    common = common_space(data.space, data.space)
    torch.manual_seed(0)
    mixer = nn.Module()
    mixer.vit, mixer.scores = nn.Identity(), nn.Conv2d(3, 19, 5, padding=2).requires_grad_(False)
    mixer.merged = nullcontext
    found = {json.dumps(given): scores.evaluate_domain(mixer, tiny(**given), data, common, CPU, "x")  # type: ignore[arg-type]
             for given in ({}, {"evaluation__scales": [0.75]}, {"evaluation__flip": True}, {"evaluation__size": None},
                           {"evaluation__size": "half"})}
    assert len({metrics["miou/x"] for metrics in found.values()}) == len(found)
    image = data[0].image
    named, plain = tiny(evaluation__size="half"), tiny(evaluation__size=None)
    assert np.array_equal(predict_image(mixer, named, image, CPU), predict_image(mixer, plain, image, CPU)), "no domain"
    assert not np.array_equal(predict_image(mixer, named, image, CPU, "cityscapes"), predict_image(mixer, plain, image, CPU))


@pytest.mark.parametrize(("rule", "metric"), [("source_val", "miou/source"), ("oracle", "miou/target_mean")])
def test_the_selected_model_is_the_best_of_those_scored(tmp_path: Path, cache: Path, rule: str, metric: str) -> None:
    heard: list[Progress] = []
    config = tiny(evaluation__selection=rule, evaluation__every=1, training__lr=3e-3)
    record = run(config, paths_at(tmp_path, cache), heard.append)
    scores = [news[metric] for progress in heard for _, news in progress.history]
    assert len(scores) == 6 and record.metrics[metric] == pytest.approx(max(scores), abs=1e-12)
    assert record.tags["selection"] == rule


def test_a_declared_data_set_is_a_domain_like_any_other(tmp_path: Path, cache: Path) -> None:
    """Trained on, scored in the common space of each target, and its classes known without it afterwards."""
    folder = declared(tmp_path / "data")
    paths = paths_at(tmp_path / "results", cache, tmp_path / "data")
    config = tiny(data__source="trails", data__targets=["trails", "scenes-night"], data__train_images=4,
                  training__iterations=1, evaluation__every=1)
    record = run(config, paths)
    assert record.outcome == "finished" and record.tags["label_space"] == "cityscapes19/trails+trails"
    scoring = read_scoring(record.tags)
    assert scoring and scoring.spaces["scenes-night"] == "cityscapes19/trails" and scoring.spaces["source"] == "trails"
    assert {name.split("/")[2] for name in record.metrics if name.startswith("iou/scenes-night")} <= {"track", "plants"}
    (folder / "dataset.yaml").unlink()
    model = load_model(paths.trial(record.fingerprint), cache)
    assert model.space.classes == ("track", "plants", "beast") and model.space.palette[2] == (1, 2, 3)
    assert common_space(model.space, CITYSCAPES19).source_lut[:4].tolist() == [0, 1, 2, 255]


def test_a_saved_model_predicts_as_it_was_scored(whole: tuple[Record, Paths, list[Progress]]) -> None:
    record, paths, _ = whole
    model = load_model(paths.trial(record.fingerprint), paths.cache)
    assert model.config == tiny() and model.space.name == "cityscapes19"
    domains = build.open_domains(model.config, paths)
    kept = load_file(paths.trial(record.fingerprint) / "confusions.safetensors")["scenes-fog"][0]
    sample = domains.targets["scenes-fog"][0]
    label = predict_image(model.segmentor, model.config, sample.image, CPU)
    valid = sample.label != 255
    again = np.bincount(sample.label[valid].astype(int) * 19 + label[valid], minlength=361).reshape(19, 19)
    tipped = np.abs(again - kept.numpy()).sum() / 2  # it was scored in a batch, where sums may be of another order
    assert again.sum() == kept.sum() and tipped < 1e-3 * again.sum()


def test_what_does_not_belong_together_is_refused(whole: tuple[Record, Paths, list[Progress]], tmp_path: Path) -> None:
    import shutil

    record, paths, _ = whole
    folder = tmp_path / "copy"
    shutil.copytree(paths.trial(record.fingerprint), folder)
    head = load_file(folder / "head.safetensors")
    about = {"weights_sha256": "0" * 64, "label_space": "cityscapes19", "fingerprint": "x"}
    write_checked(head, folder / "head.safetensors", about)
    with pytest.raises(InputError, match="trained on weights 000000000000"):
        load_model(folder, paths.cache)
    write_checked(head, folder / "head.safetensors", {})
    with pytest.raises(InputError, match="does not tell which model it belongs to"):
        load_model(folder, paths.cache)
    about["weights_sha256"] = record.tags["weights_sha256"]
    for wrong in ({**head, "head.other": torch.ones(1)}, dict(list(head.items())[1:]),
                  {**head, "head.class_predictor.weight": torch.ones(20, 8)}):
        write_checked(wrong, folder / "head.safetensors", about)
        with pytest.raises(InputError, match="does not fit the head of config.yaml at head."):
            load_model(folder, paths.cache)
    (folder / "head.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="no whole head of a finished trial"):
        load_model(folder, paths.cache)
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "nothing", paths.cache)


def test_two_processes_do_not_share_a_trial(whole: tuple[Record, Paths, list[Progress]]) -> None:
    from recyclelora.trials.trial import _alone_in
    from recyclelora.writing import locked

    folder = whole[1].trial(whole[0].fingerprint)
    with locked(folder / "lock"):
        with pytest.raises(InputError, match="another process is running this trial"), _alone_in(folder, patience=0.3):
            pass


def test_a_history_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = History(path, 0)
    for iteration in (1, 2, 3):
        history.add(iteration, {"loss/total": float(iteration)})
    path.write_text(path.read_text() + '[4, {"loss/to')
    again = History(path, 2)
    assert [iteration for iteration, _ in again.entries] == [1, 2] and again.newest == {"loss/total": 2.0}
    assert [json.loads(line)[0] for line in path.read_text().splitlines()] == [1, 2]
    assert History(path, 0).entries == [] and path.read_text() == ""


@pytest.mark.parametrize(("overrides", "complaint"), [
    ({"backbone__name": "dinov2_smal"}, "backbone.name: 'dinov2_smal' is not known; did you mean dinov2_small?"),
    ({"backbone__resize": "flexible", "data__crop": [518, 518], "evaluation__window": [518, 518]},
     "backbone.resize: flexible changes nothing here"),
    ({"data__crop": [40, 56]}, "data.crop: [40, 56] must be multiples of the patch size 14"),
    ({"evaluation__window": [42, 57]}, "evaluation.window: [42, 57] must be multiples of the patch size 14"),
    ({"adapter__main__rank": 385}, "rank 385"),
    ({"adapter__sub__rank": 500}, "rank 500"),
    ({"adapter__roles": ["q"]}, "q"),
    ({"adapter__skip_blocks": 12}, "12"),
    ({"data__source": "scenes-dya"}, "data.source: "),
    ({"data__targets": ["scenes-nihgt"]}, "data.targets: "),
    ({"data__targets": ["camvid"]}, "DATA_ROOT"),
    ({"data__train_images": 1}, "make no batch of 2"),
    ({"data__train_images": 100000}, "data.source: "),
    ({"data__source": "scenes-day+scenes-dya", "data__train_images": None}, "data.source: there is no domain 'scenes-dya'"),
    ({"data__source": "scenes-day+camvid", "data__train_images": None}, "data.source: camvid needs the data root"),
    ({"data__source": "scenes-day+scenes-fog", "data__train_images": [3, 100000]}, "data.source: limit 100000"),
])
def test_checks_that_need_the_model_and_the_data(tmp_path: Path, cache: Path, overrides: dict[str, object],
                                                 complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        build.check(tiny(**overrides), paths_at(tmp_path, cache))  # type: ignore[arg-type]
    assert complaint in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.key.partition(".")[0] in ("backbone", "data", "evaluation", "adapter")


def test_the_resize_setting_reaches_the_backbone(cache: Path, dinov2_small: Path) -> None:
    built = {resize: build.build(tiny(backbone__resize=resize, adapter__method="frozen"), dinov2_small, cache, 5).vit
             for resize in ("plain", "flexible")}
    plain, flexible = (vit.state_dict() for vit in built.values())
    assert {name for name in plain if not torch.equal(plain[name], flexible[name])} == {"pos_embed"}


def test_counts_without_weights() -> None:
    paper = build._count(tiny(backbone__name="dinov2_large", backbone__patch_size=16).backbone,
                         tiny(adapter__main__rank=32, adapter__sub__rank=4).adapter)
    assert paper == {"layers": 96, "adapter": 14_155_776}


def test_weights_of_your_own_are_part_of_the_identity(tmp_path: Path, cache: Path, dinov2_small: Path) -> None:
    tensors = load_file(dinov2_small)
    tensors["blocks.0.norm1.bias"] = tensors["blocks.0.norm1.bias"] + 1e-3
    save_file(tensors, tmp_path / "mine.safetensors")
    paths = paths_at(tmp_path, cache)
    mine = build.identify(tiny(backbone__weights=str(tmp_path / "mine.safetensors")), paths)
    same = build.identify(tiny(backbone__weights=str(dinov2_small)), paths)
    assert mine.fingerprint != build.identify(tiny(), paths).fingerprint == same.fingerprint
    assert math.isfinite(int(mine.fingerprint, 16))


# --- several sources


def test_several_sources_train_and_are_scored_as_one(tmp_path: Path, cache: Path) -> None:
    config = tiny(data__source="scenes-day+scenes-fog", data__train_images=[4, 2], training__iterations=2,
                  evaluation__every=2, data__targets=["scenes-night"])
    paths = paths_at(tmp_path, cache)
    domains = build.open_domains(config, paths)
    assert [sample.domain for sample in domains.train] == 4 * ["scenes-day"] + 2 * ["scenes-fog"]
    assert {sample.domain for sample in domains.source_val} == {"scenes-day+scenes-fog"} and len(domains.source_val) == 4
    record = run(config, paths)
    assert record.outcome == "finished" and record.config["data.train_images"] == [4, 2]
    assert 0 <= record.metrics["miou/source"] <= 1 and record.tags["source_val"] == "4 images, 0 of them trained on"
    kept = load_file(paths.trial(record.fingerprint) / "confusions.safetensors")["source"]
    assert len(kept) == 4 and record.metrics["miou/source"] == pytest.approx(miou(kept.sum(0)))
    one, other = (build.identify(tiny(data__source=source, data__train_images=images), paths).fingerprint
                  for source, images in (("scenes-day+scenes-fog", [3, 3]), ("scenes-fog+scenes-day", [3, 3])))
    assert len({one, other, record.fingerprint}) == 3


def test_the_subset_of_gtav_and_its_val_split_share_no_image_and_all_of_synthia_does(tmp_path: Path, cache: Path) -> None:
    trees.write_gtav(tmp_path, n=40)
    trees.write_synthia(tmp_path, n=20)
    config = tiny(data__source="gtav+synthia", data__train_images=[30, None], evaluation__images=2)
    domains = build.open_domains(config, paths_at(tmp_path, cache, tmp_path))
    assert len(domains.train) == 50
    assert build.source_val_tag(domains) == "4 images, 2 of them trained on"


def test_a_declared_set_that_holds_out_says_what_it_trains_on(tmp_path: Path, cache: Path) -> None:
    declared(tmp_path, WHOLE.replace("{train: 4, val: 2}", "[train]\nhold_out: true"))
    config = tiny(data__source="trails", data__targets=["trails"], data__train_images=None, evaluation__images=None)
    domains = build.open_domains(config, paths_at(tmp_path, cache, tmp_path))
    assert build.source_val_tag(domains) == "1 images, 1 of them trained on"
