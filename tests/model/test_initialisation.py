"""Networks that are to be filled are built without drawing numbers, and are otherwise the same."""

import pytest
import torch

from vlt.config import Dinov2Config, SwinConfig
from vlt.model.build import build_model
from vlt.model.pretrained import SkipInitialisation

BERT = {
    "name": "bert",
    "tokenizer": "nowhere",
    "architecture": {
        "model_type": "bert",
        "vocab_size": 9,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    },
}
DINOV2 = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2}
BACKBONES = {
    "darknet53": {},
    "dinov2": {"backbone": Dinov2Config(architecture=DINOV2).model_dump(), "image_size": (56, 56)},
    "swin": {"backbone": SwinConfig(architecture=SWIN).model_dump()},
}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("language", ["gru", "bert"])
def test_filled_from_another_it_answers_the_same(tiny_config, backbone, language):
    changes = BACKBONES[backbone] | ({"language": BERT} if language == "bert" else {})
    config = type(tiny_config.model).model_validate(tiny_config.model.model_dump() | changes)
    torch.manual_seed(0)
    usual = build_model(config, pretrained=False).eval()
    state = torch.get_rng_state()
    with SkipInitialisation():
        filled = build_model(config, pretrained=False).eval()
    if backbone == "darknet53":  # the others draw small tables besides
        assert torch.equal(torch.get_rng_state(), state), "numbers were drawn"
    filled.load_state_dict(usual.state_dict())
    images = torch.rand(1, 3, *config.input_size)
    words = torch.tensor([[1, 2, 3]]) if language == "bert" else torch.randn(1, 3, 16)
    with torch.inference_mode():
        assert torch.equal(filled(images, words), usual(images, words))


@pytest.mark.parametrize("bounds", [(-2, 2), (0.5, 0.6)])
def test_truncated_draws_come_to_an_end(bounds):
    """Whatever lay in memory: they are repeated until nothing lies beyond the bounds."""
    weights = torch.full((4,), 1e9)
    with SkipInitialisation():
        torch.nn.init.trunc_normal_(weights, a=bounds[0], b=bounds[1])
    assert (weights.abs() < 2).all()


def test_afterwards_networks_are_filled_again():
    with SkipInitialisation():
        pass
    torch.manual_seed(0)
    first = torch.nn.Linear(4, 4).weight
    torch.manual_seed(0)
    assert torch.equal(torch.nn.Linear(4, 4).weight, first)
    assert first.abs().max() > 0
