"""The data sets that are read as they are downloaded, one file each."""

from recyclelora.data.sets.camvid import CAMVID
from recyclelora.data.sets.cityscapes import CITYSCAPES
from recyclelora.data.sets.dataset import DataSet
from recyclelora.data.sets.gtav import GTAV

SETS = (GTAV, CITYSCAPES, CAMVID)
BY_DOMAIN: dict[str, DataSet] = {domain: known for known in SETS for domain in known.domains}
