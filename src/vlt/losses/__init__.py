"""Training losses: on the mask, on intermediate outputs (auxiliary), and contrastive between expressions."""

from vlt.losses.auxiliary import auxiliary_loss as auxiliary_loss
from vlt.losses.contrast import contrast_loss as contrast_loss
from vlt.losses.mask import segmentation_loss as segmentation_loss
