"""The contract of an adapter method, and what most methods share. `tests/test_methods.py` holds every method to it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from recyclelora.fields import Needs
from recyclelora.training.groups import Group

if TYPE_CHECKING:  # reading a config must not wait for torch: methods import it in their functions
    from torch import Tensor, nn


class Difference(NamedTuple):
    """Something that is done otherwise here than in the code that a publication released. `size`: how much it changes,
    where that is known."""

    what: str
    ours: str
    theirs: str
    size: str


# Of a ViT whose features reach the head alone, without queries made of tokens.
PYRAMID = Difference(
    "feature pyramid", "each level resized from its own block",
    "the same since Rein's 7be549e; its first release (29755d4) resized the maps of strides 8 and 32 from that of "
    "stride 4", "not known")


class Method:
    """Settings under `adapter.` that know how to adapt a frozen ViT.

    A method is one module of this folder that holds one subclass, decorated with `fields.settings`. The module's name
    is the value of `adapter.method`. A subclass has to state what is declared here without a value and to define
    `attach` and `groups`; the defaults of the rest fit a method that adds trained parameters to a ViT and leaves the
    tensors of its blocks as they were."""

    method: str

    WORDS: ClassVar[str]  # one line: what is trained
    SOURCE: ClassVar[str]  # the publication, or where the formula is from
    TRAINED: ClassVar[str]  # "The backbone is ...", for the model card
    KEEPS: ClassVar[str] = ""  # why it cannot be merged into plain weights; "" where it can
    IDENTITY: ClassVar[bool] = True  # the adapted model's output equals the plain model's before training
    LACKS: ClassVar[Mapping[str, str]] = {}  # format of an export -> why it cannot hold this method's model
    NEEDS: ClassVar[tuple[Needs, ...]] = ()  # settings that mean nothing beside certain values of others
    KEYS: ClassVar[Mapping[str, str]] = {}  # word in an AdapterError -> setting under `adapter.` that it is about
    ANALYSED: ClassVar[bool] = False  # trains low-rank factors, which `trials/analysis.py` measures

    def attach(self, vit: "nn.Module", *, cache: Path | None, seed: int, head_width: int) -> int:
        """Freeze `vit`, add what is trained, and return the number of adapted layers. What is drawn depends on `seed`
        alone; `cache` is a folder for what is slow to compute; `head_width` is the width of the head's queries. On the
        meta device nothing is computed. Raises AdapterError where the settings do not fit this ViT."""
        raise NotImplementedError

    def groups(self, vit: "nn.Module") -> dict[str, Group]:
        """The optimiser's groups of an adapted ViT, by name; a trained parameter that is in none is an error."""
        raise NotImplementedError

    def check_head(self, queries: int) -> None:
        """Raises InputError, with the key under `adapter.`, where the method cannot serve a head of so many queries."""

    def differences(self) -> tuple[Difference, ...]:
        """What is known to be done otherwise than in the released code of the method; the rest of a trial is listed in
        `trials/fidelity.py`."""
        return ()

    def queries(self, vit: "nn.Module") -> "Callable[[], Tensor] | None":
        """What computes the positions of the head's queries, (queries, width), where the method makes them."""
        return None

    def merged(self, vit: "nn.Module") -> "AbstractContextManager[object]":
        """A context in which `vit` computes the same with fewer operations, where the method can be merged."""
        return nullcontext(vit)

    def save(self, vit: "nn.Module", path: Path, about: Mapping[str, str]) -> None:
        """Write what was trained, with `about` in its metadata, to a safetensors file that names the base it belongs
        to. A method that trains nothing writes no file. Raises AdapterError, OSError."""
        from recyclelora.adapters.lora import base_digest
        from recyclelora.adapters.tensor_files import write_described

        trained = trained_parameters(vit)
        if trained:
            write_described(trained, path, {"format": self._format, "base": base_digest(vit)}, about)

    def load(self, vit: "nn.Module", path: Path, *, head_width: int) -> None:
        """Adapt the plain `vit` as the file of `save` was. Raises AdapterError for a file that is damaged, is another
        method's, or belongs to another base."""
        from recyclelora.adapters.adapter_error import AdapterError
        from recyclelora.adapters.lora import base_digest

        base = base_digest(vit)
        self.attach(vit, cache=None, seed=0, head_width=head_width)
        if trained_parameters(vit):
            if self._read(path)[0]["base"] != base:
                raise AdapterError(f"{path}: belongs to another base; build it with the weights it was trained on")
            self.copy(vit, path)

    def copy(self, vit: "nn.Module", path: Path) -> None:
        """Copy what a file of `save` holds into an adapted `vit`, as a second stage of training begins: every trained
        parameter, each exactly once. Raises AdapterError where the two do not fit."""
        copy_parameters(vit, self._read(path)[1], path)

    def _read(self, path: Path) -> "tuple[dict[str, str], dict[str, Tensor]]":
        from recyclelora.adapters.tensor_files import read_described

        return read_described(path, self._format, f"not a file of adapter.method {self.method}")

    @property
    def _format(self) -> str:
        return f"{self.method}-1"


def trained_parameters(vit: "nn.Module") -> "dict[str, nn.Parameter]":
    """The parameters of a ViT that are trained, by name."""
    return {name: parameter for name, parameter in vit.named_parameters() if parameter.requires_grad}


def copy_parameters(vit: "nn.Module", tensors: "Mapping[str, Tensor]", path: Path) -> None:
    """Put `tensors` into the trained parameters of the same names. Raises AdapterError where names or shapes differ;
    `path` is where they came from."""
    import torch

    from recyclelora.adapters.adapter_error import AdapterError

    trained = trained_parameters(vit)
    wrong = sorted(trained.keys() ^ tensors.keys()) or sorted(
        name for name, parameter in trained.items() if tensors[name].shape != parameter.shape)
    if wrong:
        raise AdapterError(f"{path}: {wrong[0]} is missing, too many, or of another size than the settings ask for")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[name])
