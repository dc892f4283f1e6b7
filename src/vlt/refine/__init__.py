"""Sharp outlines: a promptable segmenter draws what the network has pointed at.

Outlines are all it knows, so it cannot mend an answer that points at the wrong thing. Read in this order:

    tiny_vit    photo to map
    promptable  map and boxes to masks
    refiner     an answer to a box, and of the masks for it the one that agrees with the answer
"""

from vlt.refine.refiner import Outlines as Outlines
from vlt.refine.refiner import Refiner as Refiner
from vlt.refine.refiner import build_refiner as build_refiner
