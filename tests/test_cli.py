"""The command line as its users meet it: bad input is one line and exit code 2, whatever is wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from recyclelora.cli import BAD_INPUT, main
from recyclelora.documents import dump
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.tracking import Tracker
from recyclelora.verbs.console import CONSOLE
from tests.tiny_config import TINY

ROOT = Path(__file__).resolve().parent.parent


class Desk:
    """A folder with a sound config, a sound space and a sound data set, to be spoilt one thing at a time."""

    def __init__(self, folder: Path, cache: Path, data_root: Path | None) -> None:
        self.folder, self.cache, self.data_root = folder, cache, data_root
        self.write("config.yaml", dump(dict(TINY)))
        self.write("space.yaml", "base: config.yaml\nmethod: grid\nparameters:\n  adapter.init: {values: [rrqr, svd]}\n")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def spoil(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def camvid(self) -> Path:
        """A CamVid of two images a split, in the official layout."""
        root = self.folder / "data" / "camvid"
        for split in ("train", "val", "test"):
            for stem in ("0006R0_f00001", "0001TP_008550"):
                (root / split).mkdir(parents=True, exist_ok=True)
                (root / f"{split}annot").mkdir(exist_ok=True)
                Image.new("RGB", (480, 360), (90, 90, 90)).save(root / split / f"{stem}.png")
                Image.new("L", (480, 360), 3).save(root / f"{split}annot" / f"{stem}.png")
        return root

    def call(self, *arguments: str) -> int:
        return main([str(argument) for argument in arguments])

    def train(self, *overrides: str) -> int:
        return self.call("train", f"{self.folder}/config.yaml", "--results", f"{self.folder}/results", *overrides)

    def sweep(self, *more: str) -> int:
        return self.call("sweep", f"{self.folder}/space.yaml", "--results", f"{self.folder}/results", *more)

    def data(self, domain: str, *more: str) -> int:
        return self.call("data", domain, "--data-root", f"{self.folder}/data", *more)


@pytest.fixture
def desk(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, cache, None)


def bomb(desk: Desk) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    desk.write("space.yaml", "\n".join(lines))


def partial_weights(desk: Desk, dinov2: Path) -> str:
    tensors = load_file(dinov2)
    tensors.pop("blocks.3.attn.proj.weight")
    save_file(tensors, desk.folder / "partial.safetensors")
    return f"backbone.weights={desk.folder}/partial.safetensors"


def blocked(desk: Desk) -> Path:
    """A folder nobody can write into: it is a file (permissions would not stop root)."""
    return desk.write("blocked", "a file")


CASES: list[tuple[str, Callable[[Desk], int], str]] = [
    ("misspelt setting", lambda d: d.train("adapter.main.rnak=8"), "adapter.main.rnak: unknown setting; did you mean"),
    ("misspelt setting in a file", lambda d: (d.spoil("config.yaml", "training.lr:", "training.lrr:"), d.train())[1],
     "config.yaml:23: training.lrr: unknown setting; did you mean training.lr?"),
    ("wrong type", lambda d: d.train("training.iterations=many"), "training.iterations: 'many': must be a whole number"),
    ("not a number", lambda d: d.train("training.lr=.nan"), "training.lr: nan: must be a finite number"),
    ("no override", lambda d: d.train("training.lr"), "expected an override such as adapter.main.rank=8"),
    ("override twice", lambda d: d.train("seed=1", "seed=2"), "seed: given twice"),
    ("rank above the layer", lambda d: d.train("adapter.main.rank=385"), "rank 385"),
    ("rank above the layer in a space", lambda d: (d.spoil("space.yaml", "adapter.init: {values: [rrqr, svd]}",
     "adapter.main.rank: {values: [4, 400]}"), d.sweep())[1], "space.yaml:4: adapter"),
    ("unknown init", lambda d: d.train("adapter.init=rqrr"), "adapter.init: 'rqrr': must be 'rrqr', 'svd' or 'kaiming'"),
    ("unknown method", lambda d: d.train("adapter.method=lora"), "adapter.method: 'lora' is not known"),
    ("unknown backbone", lambda d: d.train("backbone.name=dinov2_smal"), "did you mean dinov2_small?"),
    ("unknown domain", lambda d: d.train("data.source=scenes-dya"), "scenes-day"),
    ("unknown metric", lambda d: (d.write("space.yaml", "base: config.yaml\nmethod: grid\nmetric: {name: miou/x}\n"),
     d.sweep())[1], "space.yaml:3: metric: name: 'miou/x' is not reported"),
    ("end without directions", lambda d: d.train("adapter.init=kaiming", "adapter.main.end=minor"), "means nothing"),
    ("crop off the patch grid", lambda d: d.train("data.crop=[40, 40]"), "must be multiples of the patch size 14"),
    ("no such config", lambda d: d.call("train", "nowhere.yaml"), "nowhere.yaml: no such file"),
    ("a folder for a config", lambda d: d.call("train", str(d.folder)), "cannot be read"),
    ("no such space", lambda d: d.call("sweep", f"{d.folder}/spcae.yaml"), "no such file; did you mean space.yaml?"),
    ("empty values", lambda d: (d.spoil("space.yaml", "[rrqr, svd]", "[]"), d.sweep())[1], ":4: adapter.init: values"),
    ("duplicate values", lambda d: (d.spoil("space.yaml", "svd", "rrqr"), d.sweep())[1], "'rrqr' is listed twice"),
    ("reversed bounds", lambda d: (d.spoil("space.yaml", "{values: [rrqr, svd]}", "{min: 3, max: 1}"), d.sweep())[1],
     "min: 3 is not below max (1)"),
    ("NaN bounds", lambda d: (d.spoil("space.yaml", "{values: [rrqr, svd]}", "{min: .nan, max: 1}"), d.sweep())[1],
     "min: expected a finite number, found nan"),
    ("unknown key of a space", lambda d: (d.spoil("space.yaml", "method", "mehtod"), d.sweep())[1], "did you mean method?"),
    ("duplicate keys", lambda d: (d.spoil("space.yaml", "method: grid", "method: grid\nmethod: tpe"), d.sweep())[1],
     "space.yaml:3: method: given twice"),
    ("YAML bomb", lambda d: (bomb(d), d.sweep())[1], "once aliases are expanded"),
    ("YAML that runs code", lambda d: (d.write("space.yaml", "a: !!python/object/apply:os.system [ls]\n"),
     d.sweep())[1], "is not plain text"),
    ("not YAML", lambda d: (d.write("space.yaml", "a: [1,\n"), d.sweep())[1], "not valid YAML"),
    ("an image for a space", lambda d: (Image.new("RGB", (9, 9)).save(d.folder / "x.png"), d.call("sweep", "x.png"))[1],
     "not UTF-8"),
    ("the same seed twice", lambda d: (d.write("space.yaml", "base: config.yaml\nmethod: grid\nseeds: [1, 1]\n"),
     d.sweep())[1], "names a seed twice"),
    ("two cells that are one", lambda d: (d.spoil("space.yaml", "adapter.init: {values: [rrqr, svd]}",
     "adapter.main.end: {values: [minor, null]}"), d.sweep())[1], "are the same trial"),
    ("no data root", lambda d: d.train("data.targets=[camvid]"), "DATA_ROOT"),
    ("missing data folder", lambda d: d.data("camvid"), "data"),
    ("unknown split", lambda d: d.data("scenes-day", "--split", "trian"), "train"),
    ("a split that is not there", lambda d: d.data("camvid-dusk", "--split", "val"), "train, test"),
    ("missing weights file", lambda d: d.train("backbone.weights=/nowhere/w.safetensors"), "/nowhere/w.safetensors"),
    ("pickled weights", lambda d: (d.write("w.pth", "x"), d.train(f"backbone.weights={d.folder}/w.pth"))[1], "w.pth"),
    ("torn weights", lambda d: (d.write("w.safetensors", "x"), d.train(f"backbone.weights={d.folder}/w.safetensors"))[1],
     "w.safetensors"),
    ("weights of an unknown backbone", lambda d: d.call("weights", "dino"), "'dino' is not known"),
    ("unwritable results", lambda d: d.call("train", "config.yaml", "--results", str(blocked(d))), "cannot be written"),
    ("unwritable results of a sweep", lambda d: d.call("sweep", "space.yaml", "--results", f"{blocked(d)}/x"),
     "cannot be written"),
    ("no runs yet", lambda d: d.call("status", "--results", "empty"), "holds no runs yet"),
    ("no runs for tables", lambda d: d.call("tables", "--results", "empty"), "holds no runs yet"),
    ("no such model", lambda d: d.call("evaluate", "abc", "scenes-day"), "neither a folder nor the fingerprint"),
    ("a folder without a model", lambda d: d.call("evaluate", str(d.folder), "scenes-day"), "head.safetensors"),
    ("not an image to predict", lambda d: d.call("predict", "abc", "config.yaml"), "neither a folder"),
]


@pytest.mark.parametrize(("act", "complaint"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_input_is_one_line_and_exit_code_2(desk: Desk, capfd: pytest.CaptureFixture[str],
                                               act: Callable[[Desk], int], complaint: str) -> None:
    assert act(desk) == BAD_INPUT
    error = capfd.readouterr().err
    assert complaint in error and error.startswith("recyclelora: ")
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not list(desk.folder.glob("results/trials/*/record.json")), "nothing was run"


def test_there_are_more_than_forty_of_them() -> None:
    assert len(CASES) >= 40 and len({case[0] for case in CASES}) == len(CASES)


def test_partial_weights_are_refused(desk: Desk, capfd: pytest.CaptureFixture[str], dinov2_small: Path) -> None:
    assert desk.train(partial_weights(desk, dinov2_small)) == BAD_INPUT
    error = capfd.readouterr().err
    assert "blocks.3.attn.proj.weight" in error and error.count("\n") == 1


def test_an_unreachable_tracking_server_stops_the_run(desk: Desk, capfd: pytest.CaptureFixture[str],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    assert desk.train() == BAD_INPUT
    error = capfd.readouterr().err
    assert "127.0.0.1:9" in error and "secret" not in error and error.count("\n") == 1
    assert not (desk.folder / "results" / "mlflow.db").exists(), "it does not fall back to a file in silence"


def test_a_full_disk_is_said_and_the_checkpoint_kept(desk: Desk) -> None:
    """The file size limit makes every larger write fail, as a full disk would."""
    code = ("import resource, sys\nfrom recyclelora.trials import trial\nfrom recyclelora.cli import main\n"
            "real = trial.save_checkpoint\n"
            "def limited(*a, **k):\n"
            "    import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "    if a[3] > 3: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
            "    return real(*a, **k)\n"
            "trial.save_checkpoint = limited\nsys.exit(main(sys.argv[1:]))")
    arguments = ["train", "config.yaml", "--results", "results"]
    result = subprocess.run([sys.executable, "-c", code, *arguments], cwd=desk.folder, capture_output=True, text=True,
                            timeout=600)
    assert result.returncode == BAD_INPUT, result.stderr
    assert "cannot be written (File too large)" in result.stderr and "Traceback" not in result.stderr
    checkpoint = next(desk.folder.glob("results/trials/*/checkpoint.safetensors"))
    assert checkpoint.stat().st_size > 100_000, "the one before is whole"
    assert main([*arguments[:2], "--results", str(desk.folder / "results")]) == 0, "with room again it goes on"


def test_a_second_space_of_one_name_is_refused(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.write("other/space.yaml", "method: grid\n")
    tracker = Tracker.open(desk.folder / "results")
    tracker.sweep_run("space", [PlannedCell("a", 0, "f0", {})], file=desk.folder / "other" / "space.yaml")
    assert desk.sweep() == BAD_INPUT
    error = capfd.readouterr().err
    assert f"space, which is that of {desk.folder}/other/space.yaml already" in error and error.count("\n") == 1
    assert tracker.plan("space")[0].fingerprint == "f0" and not (desk.folder / "results" / "trials").exists()


@pytest.mark.parametrize(("seeds", "complaint"), [("[1:30]", "space.yaml:5: seeds: 1:30 is read by YAML as the number 90"),
                                                  ("[99999999999999999999]", "space.yaml:5: seeds: 99999999999999999999 is")])
def test_seeds_that_are_read_as_others_are_refused(desk: Desk, capfd: pytest.CaptureFixture[str], seeds: str,
                                                   complaint: str) -> None:
    desk.write("space.yaml", (desk.folder / "space.yaml").read_text() + f"seeds: {seeds}\n")
    assert desk.sweep() == BAD_INPUT and complaint in capfd.readouterr().err
    assert desk.train(f"seed={seeds.strip('[]')}") == BAD_INPUT
    error = capfd.readouterr().err
    assert error.startswith("recyclelora: command line: seed: ") and error.count("\n") == 1


def test_everything_is_written_below_the_results_folder(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    before = set(desk.folder.iterdir())
    assert desk.train("training.iterations=1", "evaluation.every=1") == 0
    assert set(desk.folder.iterdir()) - before == {desk.folder / "results"}
    output = capfd.readouterr().out
    assert "mean of targets" in output and "scenes-night" in output


def test_train_evaluate_predict(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    assert desk.train("training.iterations=2", "evaluation.every=2") == 0
    fingerprint = next((desk.folder / "results" / "trials").iterdir()).name
    capfd.readouterr()
    arguments = [fingerprint, "scenes-night", "--split", "val", "--images", "2", "--json"]
    assert desk.call("evaluate", *arguments, "--results", "results") == 0
    found = json.loads(capfd.readouterr().out)
    record = json.loads((desk.folder / "results" / "trials" / fingerprint / "record.json").read_text())
    assert found["metrics"]["miou/scenes-night"] == pytest.approx(record["metrics"]["miou/scenes-night"])
    assert found["protocol"] == ("fit in 56x42, window 56x42 stride 56x42; mIoU: a class that no label of a domain holds "
                                 "is not counted") and found["label_mapping"] == {}
    night = found["domains"]["scenes-night"]
    assert night["split"] == "val" and night["images"] == 2 and night["official"] > 2 and night["label_space"] == "cityscapes19"
    assert night["miou"] == pytest.approx(sum(night["iou"].values()) / len(night["iou"]))
    written = {path: path.stat().st_mtime_ns for path in (desk.folder / "results" / "trials").rglob("*")}
    desk.camvid()
    assert desk.call("evaluate", fingerprint, "camvid", "scenes-night", "--images", "2", "--classes", "--data-root", "data",
                     "--results", "results") == 0
    output = capfd.readouterr().out
    for said in ("2 of 233", "Protocol: fit in 56x42", "camvid in camvid11 (of cityscapes19 building: building, wall;", "pedestrian",
                 f"Model {fingerprint}, trained on scenes-day, in cityscapes19."):
        assert said in output
    folder = desk.folder / "photos"
    (folder / "more").mkdir(parents=True)
    for path in (folder / "photo.png", folder / "more" / "photo.png", desk.folder / "photo.png"):
        Image.new("RGB", (160, 120), (80, 120, 200)).save(path)
    assert desk.call("predict", fingerprint, "photo.png", "photos", "--results", "results") == 0
    out = desk.folder / "results" / "predictions"
    assert {path.name for path in out.iterdir()} == {"sheet.png", *(f"{name}_{kind}.png" for kind in ("label", "overlay")
                                                                    for name in ("photo", "photo_2", "more_photo"))}
    with Image.open(out / "photo_label.png") as label:
        assert label.size == (160, 120) and label.mode == "P" and np.asarray(label).max() < 19
    capfd.readouterr()
    desk.write("photos/text.jpg", "no picture")
    assert desk.call("predict", fingerprint, "photos", "--results", "results", "--out", "elsewhere") == 1
    output, errors = capfd.readouterr()
    assert "text.jpg: is no image of a known kind" in errors and "2 overlays" in output
    assert desk.call("predict", fingerprint, "nowhere.jpg", "--results", "results") == BAD_INPUT
    assert capfd.readouterr().err == "recyclelora: nowhere.jpg: no such file\n"
    assert desk.call("predict", fingerprint, "photo.png", "--results", "results", "--out", str(blocked(desk))) == BAD_INPUT
    assert "cannot be written" in capfd.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in (desk.folder / "results" / "trials").rglob("*")}
    assert after == written, "the trial is left as it is"


def test_show_says_where_each_value_comes_from(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    assert desk.call("show", "config.yaml", "adapter.main.rank=8", "--json") == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["config"]["adapter.main.rank"] == 8 and shown["config"]["training.power"] == 0.9
    assert shown["origins"]["adapter.main.rank"] == "command line"
    assert shown["origins"]["training.lr"] == "config.yaml:23"
    assert desk.call("show", "space.yaml", "--json") == 0
    assert [trial["cell"] for trial in json.loads(capfd.readouterr().out)] == ["init=rrqr", "init=svd"]


def test_a_dry_run_lists_the_trials_and_runs_nothing(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    assert desk.sweep("--dry-run") == 0
    output = capfd.readouterr().out
    assert "init=rrqr, seed 0" in output and "2 trials: 2 cells x 1 seeds. Nothing was run." in output
    assert not (desk.folder / "results" / "trials").exists()


def test_listing_data_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = ("import sys\nfrom recyclelora.cli import main\nmain(['data', '--json', '--results', sys.argv[1]])\n"
            "print('torch' in sys.modules, file=sys.stderr)")
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert result.stderr.strip() == "False"


def test_backbones_are_listed_whole_for_programs(desk: Desk, capsys: pytest.CaptureFixture[str],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.call("backbones", "dinov2_small", "siglip_base", "--json") == 0
    dinov2, siglip = json.loads(capsys.readouterr().out)
    assert set(dinov2) == {"name", "adapted", "roles", "params_r32", "params_r4", "patch_size", "mean", "std", "licence",
                           "hub", "depth", "width"}
    assert (dinov2["adapted"], dinov2["params_r32"], siglip["mean"]) == (48, 2_359_296, [0.5, 0.5, 0.5])
    for width, left_out in ((80, "depth, width, patch, normalised, licence, hub (timm/);"), (120, "hub (timm/);"), (165, "")):
        monkeypatch.setattr(CONSOLE, "width", width)
        assert desk.call("backbones", "eva02_large") == 0
        told = " ".join(capsys.readouterr().out.split())
        assert (f"Not shown for lack of room: {left_out}" in told) == bool(left_out) == ("Not shown" in told)
    assert "14.94 1.87 CLIP mit eva02_large_patch14_224.mim_m38m" in told
    assert desk.call("backbones", "sam_bas") == 2
    assert "did you mean sam_base?" in capsys.readouterr().err
