"""The size at which each publication tests each domain. mIoU moves by points with it, so a protocol is the whole row.

| protocol    | cityscapes | bdd100k   | mapillary | acdc      | source                                       |
|-------------|------------|-----------|-----------|-----------|----------------------------------------------|
| `full`      | 2048x1024  | 1280x720  | 2048x1024 | 960x540   | RecycleLoRA's and SoMA's 512 configs         |
| `half`      | 1024x512   | 1280x720  | 1024x512  | 960x540   | the 512 configs of Wei et al. (CVPR 2024)    |
| `full-1024` | 2048x1024  | 2048x1024 | 2048x1024 | 1920x1080 | SoMA's 1024 configs, with windows of 1024    |

RecycleLoRA's own file for BDD100K is not public: SoMA's is taken. Images are fitted inside, ratio kept. Predictions are
compared at the size of the labels, which for Mapillary the data set halves. The synthetic sources are in none of these
files, as no publication scores them; their validation images are taken as they are, in every protocol. The sizes are
fields of the data sets (`sets/`): `tested_at`."""

from recyclelora.data.labels import Size
from recyclelora.data.sets import BY_DOMAIN
from recyclelora.errors import InputError


def size_of(size: Size | str | None, domain: str) -> Size | None:
    """The (height, width) that images of a domain are fitted inside; None: they stay as they are. `size` is one for all
    domains, or the name of a protocol; `domain` may be several joined by +. Raises InputError for a domain that the
    protocol does not know."""
    if not isinstance(size, str):
        return size
    known = {name: held.tested_at[size] for name, held in BY_DOMAIN.items() if size in held.tested_at}
    names = domain.split("+")
    for name in names:
        if name not in known:
            raise InputError(f"evaluation.size: {size} has no size for {name}, only for {', '.join(known)}; "
                             "give one size for all domains, such as [720, 1280], or null", key="evaluation.size")
    found = {known[name] for name in names}
    if len(found) > 1:
        raise InputError(f"evaluation.size: {size} has several sizes for {domain}, which are scored as one domain; "
                         "give one size for all domains, such as [720, 1280], or null", key="evaluation.size")
    return found.pop()
