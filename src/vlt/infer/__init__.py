"""Inference: engines that run a network, and the predictor, which makes all predictions of this package.

Read in this order:

    engine        the protocol: arrays in, arrays out
    torch_engine  a network of this package behind that protocol
    onnx_engine   the graphs of an exported network behind it; onnx_session loads them
    features      features of an image
    predictor     images and expressions to predictions
    loading       a checkpoint to its predictor
    choice        which candidates an expression may refer to
    selection     those of them whose masks make the mask
    checks        of expressions and thresholds
    flip          test-time augmentation
    prediction    one prediction: mask, score, box, run lengths, overlay
    instance      its single objects
"""

from vlt.infer.engine import Engine, Logits
from vlt.infer.features import ImageFeatures
from vlt.infer.loading import load
from vlt.infer.prediction import Prediction
from vlt.infer.predictor import Predictor

__all__ = ["Engine", "ImageFeatures", "Logits", "Prediction", "Predictor", "load"]
