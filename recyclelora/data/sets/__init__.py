"""The data sets that are read as they are downloaded, one file each: a new one needs its file, and its line here."""

from recyclelora.data.sets.acdc import ACDC
from recyclelora.data.sets.bdd100k import BDD100K
from recyclelora.data.sets.camvid import CAMVID
from recyclelora.data.sets.cityscapes import CITYSCAPES
from recyclelora.data.sets.dataset import DataSet
from recyclelora.data.sets.gtav import GTAV
from recyclelora.data.sets.idd import IDD
from recyclelora.data.sets.idd_lite import IDD_LITE
from recyclelora.data.sets.mapillary import MAPILLARY
from recyclelora.data.sets.synthia import SYNTHIA
from recyclelora.data.sets.urbansyn import URBANSYN

SETS = (GTAV, SYNTHIA, URBANSYN, CITYSCAPES, BDD100K, MAPILLARY, ACDC, IDD, IDD_LITE, CAMVID)
BY_DOMAIN: dict[str, DataSet] = {domain: known for known in SETS for domain in known.domains}
