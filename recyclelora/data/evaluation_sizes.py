"""The size at which each publication tests each domain. mIoU moves by points with it, so a protocol is the whole row.

| protocol    | cityscapes | bdd100k   | mapillary | acdc      | source                                       |
|-------------|------------|-----------|-----------|-----------|----------------------------------------------|
| `full`      | 2048x1024  | 1280x720  | 2048x1024 | 960x540   | RecycleLoRA's and SoMA's 512 configs         |
| `half`      | 1024x512   | 1280x720  | 1024x512  | 960x540   | the 512 configs of Wei et al. (CVPR 2024)    |
| `full-1024` | 2048x1024  | 2048x1024 | 2048x1024 | 1920x1080 | SoMA's 1024 configs, with windows of 1024    |

RecycleLoRA's own file for BDD100K is not public: SoMA's is taken. Images are fitted inside, ratio kept. Predictions are
compared at the size of the labels, which for Mapillary the data set halves. The synthetic sources are in none of these
files, as no publication scores them; their validation images are taken as they are, in every protocol."""

from collections.abc import Mapping

from recyclelora.data.labels import Size
from recyclelora.errors import InputError

_FULL, _HALF, _BDD = (1024, 2048), (512, 1024), (720, 1280)  # (height, width)
_ACDC = ("acdc", "acdc-fog", "acdc-night", "acdc-rain", "acdc-snow")
_SOURCES: Mapping[str, Size | None] = dict.fromkeys(("gtav", "synthia", "urbansyn"))


def _protocol(cityscapes: Size, bdd100k: Size, mapillary: Size, acdc: Size) -> dict[str, Size | None]:
    return {"cityscapes": cityscapes, "bdd100k": bdd100k, "mapillary": mapillary,
            "mapillary-full": mapillary, **dict.fromkeys(_ACDC, acdc),
            **_SOURCES}


PROTOCOLS: dict[str, dict[str, Size | None]] = {
    "full": _protocol(_FULL, _BDD, _FULL, (540, 960)),
    "half": _protocol(_HALF, _BDD, _HALF, (540, 960)),
    "full-1024": _protocol(_FULL, _FULL, _FULL, (1080, 1920)),
}


def size_of(size: Size | str | None, domain: str) -> Size | None:
    """The (height, width) that images of a domain are fitted inside; None: they stay as they are. `size` is one for all
    domains, or the name of a protocol; `domain` may be several joined by +. Raises InputError for a domain that the
    protocol does not know."""
    if not isinstance(size, str):
        return size
    names = domain.split("+")
    for name in names:
        if name not in PROTOCOLS[size]:
            raise InputError(f"evaluation.size: {size} has no size for {name}, only for {', '.join(PROTOCOLS[size])}; "
                             "give one size for all domains, such as [720, 1280], or null", key="evaluation.size")
    found = {PROTOCOLS[size][name] for name in names}
    if len(found) > 1:
        raise InputError(f"evaluation.size: {size} has several sizes for {domain}, which are scored as one domain; "
                         "give one size for all domains, such as [720, 1280], or null", key="evaluation.size")
    return found.pop()
