"""Validation while training: the settings of the run, modes put back, scores and pictures logged."""

import numpy as np
import pytest
from accelerate import Accelerator

from vlt.dataset import load_referrals
from vlt.evaluate import evaluate
from vlt.infer.torch_engine import torch_predictor
from vlt.train.data import TrainData
from vlt.train.validation import validate


class Log:
    """Keeps what is logged."""

    def __init__(self):
        self.values = {}
        self.pictures = {}

    def scalars(self, number, values):
        self.values[number] = dict(values)

    def picture(self, number, name, picture):
        self.pictures[number, name] = picture


@pytest.fixture
def config(tiny_config):
    inference = tiny_config.inference.model_copy(update={"threshold": 0.4, "flip": True})
    train = tiny_config.train.model_copy(update={"pictures": 2, "workers": 0})
    return tiny_config.model_copy(update={"inference": inference, "train": train})


@pytest.fixture
def data(config, tiny_text):
    return TrainData(train=[], val=load_referrals(config.data, "val"), text=tiny_text, fingerprint="")


def test_validation_is_the_evaluation_of_the_runs_predictor(tiny_model, data, config):
    log = Log()
    report = validate(tiny_model, data, config, Accelerator(cpu=True), log, step=7)
    assert report == evaluate(torch_predictor(tiny_model, data.text, config), data.val)
    assert (report.protocol.threshold, report.provenance.flip, report.provenance.refined) == (0.4, True, False)
    values = log.values[7]
    assert values["val/miou"] == report.scores.miou
    assert values["val/precision_0.5"] == report.scores.precision[0.5]
    assert set(log.pictures) == {(7, "val/1"), (7, "val/2")}
    assert all(picture.dtype == np.uint8 for picture in log.pictures.values())


def test_modes_are_put_back_after_validation_and_after_an_error(tiny_model, data, config, monkeypatch):
    tiny_model.train()
    tiny_model.backbone.eval()
    before = [module.training for module in tiny_model.modules()]
    try:
        validate(tiny_model, data, config, Accelerator(cpu=True), Log(), step=1)
        assert [module.training for module in tiny_model.modules()] == before

        def interrupt(*_arguments, **_options):
            assert not any(module.training for module in tiny_model.modules())
            raise KeyboardInterrupt

        monkeypatch.setattr("vlt.train.validation.evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            validate(tiny_model, data, config, Accelerator(cpu=True), Log(), step=2)
        assert [module.training for module in tiny_model.modules()] == before
    finally:
        tiny_model.eval()
