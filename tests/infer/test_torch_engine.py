"""The engine of PyTorch networks: arrays in and out, the network's own result, modes put back, pickling."""

import pickle

import numpy as np
import pytest
import torch
import transformers
from predictor_fixture import noise_image
from torch import nn

from vlt.errors import ConfigError
from vlt.infer import Engine, Logits, load
from vlt.infer.torch_engine import TorchEngine, describe_device, evaluating, torch_predictor, without_hooks
from vlt.model.backbone import Dinov2Backbone

WORDS = np.random.default_rng(0).standard_normal((3, 5, 16)).astype(np.float32)
WORD_MASK = np.arange(5) < np.array([[5], [2], [4]])
IMAGES = np.random.default_rng(1).random((2, 3, 64, 64), dtype=np.float32)
INDEX = np.array([1, 0, 1])


def segment(engine: Engine) -> Logits:
    return engine.segment(engine.encode(IMAGES), INDEX, WORDS, WORD_MASK)


def test_arrays_in_and_arrays_out(tiny_model):
    logits = segment(TorchEngine(tiny_model))
    assert (type(logits.masks), logits.masks.dtype) == (np.ndarray, np.float32)
    assert logits.masks.shape[:2] == (3, 1)
    assert logits.outcomes is None


def test_the_result_is_the_networks(tiny_model):
    with torch.no_grad():
        expected = tiny_model(*map(torch.from_numpy, (IMAGES, WORDS, WORD_MASK, INDEX)))
    assert np.allclose(segment(TorchEngine(tiny_model)).masks, expected.numpy(), atol=1e-5)


def test_nothing_is_kept_between_calls_and_no_gradient(tiny_model):
    engine = TorchEngine(tiny_model)
    before = dict(vars(engine))
    random_state = torch.get_rng_state()
    first, second = segment(engine), segment(engine)
    assert np.array_equal(first.masks, second.masks)
    assert vars(engine) == before
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in tiny_model.parameters())
    assert torch.is_grad_enabled()


def test_half_precision_is_near_and_arrays_stay_float32(tiny_model):
    exact, half = segment(TorchEngine(tiny_model)), segment(TorchEngine(tiny_model, precision="bf16"))
    assert half.masks.dtype == np.float32
    assert 0 < np.abs(half.masks - exact.masks).max() < 0.1 * exact.masks.std()


def test_fp16_needs_a_gpu(tiny_model):
    with pytest.raises(ConfigError, match=r"inference\.precision is 'fp16', which needs a GPU"):
        TorchEngine(tiny_model, precision="fp16")


def test_a_loaded_predictor_has_no_normalisation_left_and_the_same_result(tiny_model, tiny_checkpoint):
    loaded = load(tiny_checkpoint, engine="torch").engine
    assert any(isinstance(each, nn.BatchNorm2d) for each in tiny_model.modules())
    assert not any(isinstance(each, nn.BatchNorm2d) for each in loaded.model.modules())
    np.testing.assert_allclose(segment(loaded).masks, segment(TorchEngine(tiny_model)).masks, atol=1e-4)


def test_hardware():
    assert "CPU" in describe_device("cpu")
    assert "cores" in describe_device(torch.device("cpu"))


def test_the_predictor_of_a_network_is_made_as_its_configuration_says(tiny_model, tiny_text, tiny_config):
    section = tiny_config.inference.model_copy(update={"threshold": 0.25, "flip": True, "refine": False})
    config = tiny_config.model_copy(update={"inference": section})
    predictor = torch_predictor(tiny_model, tiny_text, config, refiner=None)
    assert predictor.settings == section
    assert predictor.input_size == (64, 64)
    assert predictor.antialias == config.model.antialias
    assert predictor.engine.hardware == describe_device("cpu")
    assert not predictor.refines
    [(one,)] = predictor.predict([noise_image(0)], "circle")
    assert one.threshold == 0.25


# ---------------------------------------------------------------- modes


def test_evaluating_puts_every_module_back_into_its_mode():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3), nn.Sequential(nn.Dropout()))
    model.train()
    model[1].eval()
    before = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before
    with pytest.raises(KeyboardInterrupt), evaluating(model):
        raise KeyboardInterrupt
    assert [module.training for module in model.modules()] == before


# ---------------------------------------------------------------- pickling


def test_an_engine_with_hooks_can_be_pickled(tiny_model):
    """As `transformers` hooks local functions into its encoders."""
    seen = []
    hook = tiny_model.backbone.register_forward_hook(lambda *_: seen.append(1))
    try:
        engine = TorchEngine(tiny_model)
        again = pickle.loads(pickle.dumps(engine))
        assert np.array_equal(segment(again).masks, segment(engine).masks)
        assert len(seen) == 1, "the network itself keeps its hooks"
    finally:
        hook.remove()


def test_hooks_of_transformers_come_back_at_the_next_call():
    """A DINOv2 backbone needs them to return the maps of several depths; frozen blocks are referred to twice."""
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14, out_indices=[1, 3]
    )
    backbone = Dinov2Backbone(transformers.Dinov2Backbone(config)).eval()
    backbone.train_last(1)
    images = torch.rand(1, 3, 28, 28)
    with torch.no_grad():
        expected = backbone(images)
        with pytest.raises(Exception, match="pickle"):
            pickle.dumps(backbone)
        copied = without_hooks(backbone)
        assert all(one is other for one, other in zip(copied.parameters(), backbone.parameters(), strict=True))
        again = pickle.loads(pickle.dumps(copied))
        for _ in range(2):
            assert all(map(torch.equal, again(images), expected))
        assert all(map(torch.equal, backbone(images), expected))
