"""Refinement of mask outlines with a promptable segmenter.

Read in this order:

    tiny_vit         image to feature map
    promptable       feature map, boxes and points to masks
    outline_decoder  the last part of it
    refiner          makes prompts from a prediction, and selects the mask that agrees best with it
    torch_segmenter  `promptable` behind the numpy protocol of `refiner`

All but `refiner` need torch and are imported only when the weights of a refiner are loaded.
"""

from vlt.refine.refiner import Refiner as Refiner
from vlt.refine.refiner import RefinerFeatures as RefinerFeatures
