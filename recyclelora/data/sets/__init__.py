"""The data sets that are read as they are downloaded, one file each, which holds a `DataSet` named as the file is. A
new one needs its file, and its name here."""

from importlib import import_module

from recyclelora.data.sets.dataset import DataSet

NAMES = ("gtav", "synthia", "urbansyn", "cityscapes", "bdd100k", "mapillary", "acdc", "idd", "idd_lite", "camvid")


def _find(name: str) -> DataSet:
    known: DataSet = getattr(import_module(f"{__name__}.{name}"), name.upper())
    return known


SETS = tuple(map(_find, NAMES))
BY_DOMAIN: dict[str, DataSet] = {domain: known for known in SETS for domain in known.domains}
