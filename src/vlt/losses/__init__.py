"""What training minimises: the mask's own losses, and those that guide the way to it."""

from vlt.losses.contrast import contrast_loss as contrast_loss
from vlt.losses.guidance import guidance_loss as guidance_loss
from vlt.losses.mask import segmentation_loss as segmentation_loss
