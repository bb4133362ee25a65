"""How a vision transformer is adapted: ranks, ends and scaling, checked once wherever they come from."""

from dataclasses import dataclass
from typing import Any, Literal

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.inits import find_init
from recyclelora.adapters.layer import Which
from recyclelora.adapters.python_numbers import real, whole

Scaling = Literal["shared", "per_adapter"] | float


@dataclass(frozen=True)
class Adaptation:
    """How a ViT was adapted: `vit.adaptation`, and part of an adapter's file."""

    init: str
    main_rank: int
    sub_rank: int
    main_end: str | None
    sub_end: str | None
    alpha: float
    scaling: Scaling
    base: str | None  # `base_digest` before adapting; None on the meta device
    separated: tuple[str, ...] = ()  # attention modules told to add their bias apart; see `_separate_bias`

    def __post_init__(self) -> None:
        """Numbers of any library become Python's; ends left out are main minor, sub major, where the init has ends."""
        row = find_init(self.init)
        self._set(main_rank=whole(self.main_rank, "main_rank"), sub_rank=whole(self.sub_rank, "sub_rank"),
                  alpha=real(self.alpha, "alpha"))
        if min(self.main_rank, self.sub_rank) < 0 or self.main_rank + self.sub_rank == 0:
            raise AdapterError(f"ranks {self.main_rank} and {self.sub_rank}: give one of the adapters a rank of 1 or "
                               "more")
        if self.scaling not in ("shared", "per_adapter"):
            self._set(scaling=_number(self.scaling))
        if row.has_ends:
            self._set(main_end="minor" if self.main_end is None else self.main_end,
                      sub_end="major" if self.sub_end is None else self.sub_end)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen, and completed while it is made

    @property
    def scales(self) -> dict[Which, float]:
        """Each adapter's scaling s; an adapter of rank 0 has none to speak of and gets the shared one."""
        total = self.main_rank + self.sub_rank
        if self.scaling == "shared":
            return {"main": self.alpha / total, "sub": self.alpha / total}
        if self.scaling == "per_adapter":
            return {"main": self.alpha / (self.main_rank or total), "sub": self.alpha / (self.sub_rank or total)}
        return {"main": float(self.scaling), "sub": float(self.scaling)}


def _number(scaling: Any) -> float:
    if isinstance(scaling, str):
        raise AdapterError(f"scaling {scaling!r} is not known; known: shared, per_adapter, or a number")
    return real(scaling, "scaling")
