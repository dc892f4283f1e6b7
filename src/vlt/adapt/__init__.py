"""Adaptation of a checkpoint to a user's own images: read and split them, train the head, compare before and after."""

from vlt.adapt.data import AdaptData as AdaptData
from vlt.adapt.data import read_adapt_data as read_adapt_data
from vlt.adapt.recipe import Recipe as Recipe
from vlt.adapt.report import AdaptReport as AdaptReport
from vlt.adapt.run import adapt as adapt
