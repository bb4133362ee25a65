"""A trial that starts from the weights of another: the second stage of a training in two stages."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from recyclelora.adapters import AdapterError
from recyclelora.adapters.tensor_files import read_checked
from recyclelora.config import flatten
from recyclelora.data.labels import LabelSpace
from recyclelora.documents import Plain
from recyclelora.errors import Absent, InputError
from recyclelora.methods.method import Method, trained_parameters
from recyclelora.models.segmentor import Segmentor
from recyclelora.settings import read_settings
from recyclelora.trials.artifacts import ADAPTER, CONFIG, HEAD, misfits, space_of

KEY = "training.start"
# What decides names, shapes and frozen weights.
_SAME = ("backbone.name", "backbone.patch_size", "backbone.resize", "adapter.", "head.")
_FREE = ("_multiplier",)  # how adapters are trained is each stage's own


def check_start(now: Mapping[str, Plain], trials: Path) -> None:
    """For the flat config of a trial that begins where another of the folder `trials` ended. Raises Absent where that
    one has not finished, InputError where it trained another model."""
    start = now.get(KEY)
    if start is None:
        return
    folder = trials / str(start)
    if not (folder / HEAD).is_file():
        raise Absent(f"{KEY}: trial {start} has not finished here ({folder}); run it first", key=KEY)
    before = flatten(read_settings(folder / CONFIG).resolve())
    for key in sorted(before.keys() | now.keys()):
        if key.startswith(_SAME) and not key.endswith(_FREE) and before.get(key) != now.get(key):
            raise InputError(f"{KEY}: trial {start} has {key} {before.get(key)}, this one {now.get(key)}; both stages "
                             "train one model", key=KEY)


def begin_from(segmentor: Segmentor, adapter: Method, folder: Path, *, weights_sha256: str, space: LabelSpace) -> None:
    """Copy adapters and head of the finished trial in `folder` into a freshly built model of the same config: every
    trained tensor, each exactly once. `space` is what the model is to predict. Raises InputError where the two do not
    fit."""
    head, about = _read(folder / HEAD)
    if about.get("weights_sha256") != weights_sha256:
        raise InputError(f"{KEY}: {folder} was trained on other weights ({about.get('weights_sha256', '')[:12]})",
                         key=KEY)
    before = space_of(about, folder / HEAD)
    if before.classes != space.classes:
        raise InputError(f"{KEY}: {folder} predicts other classes ({before.name}) than this one ({space.name})",
                         key=KEY)
    now = {name: tensor for name, tensor in segmentor.state_dict().items() if not name.startswith("vit.")}
    if wrong := misfits(head, now):
        raise InputError(f"{KEY}: {folder} holds no {wrong[0]} of this model's size; does it know the same classes?",
                         key=KEY)
    try:
        if trained_parameters(segmentor.vit):
            adapter.copy(segmentor.vit, folder / ADAPTER)
    except AdapterError as error:
        raise InputError(f"{KEY}: {error}", key=KEY) from None
    segmentor.load_state_dict(head, strict=False)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return read_checked(path)
    except AdapterError as error:
        raise InputError(f"{KEY}: {error}", key=KEY) from None
