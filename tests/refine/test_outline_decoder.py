"""The mask decoder gives the masks of the library's, whose weights it has."""

import pytest
import torch
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from vlt.refine.outline_decoder import decode
from vlt.refine.promptable import PromptableSegmenter


@pytest.fixture
def network() -> PromptableSegmenter:
    """With random weights, and biases that are not zero."""
    torch.manual_seed(0)
    network = PromptableSegmenter().eval()
    for parameter in network.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.nn.init.normal_(network.prompts.shared_embedding.positional_embedding)
    return network


def library_decoder(decoder: SamMaskDecoder) -> SamMaskDecoder:
    theirs = SamMaskDecoder(SamMaskDecoderConfig(layer_norm_eps=1e-5)).eval()
    theirs.load_state_dict(decoder.state_dict())
    return theirs


@pytest.mark.parametrize("size", [(5, 8), (8, 5), (4, 4)])
@torch.inference_mode()
def test_masks_are_those_of_the_library(network: PromptableSegmenter, size: tuple[int, int]) -> None:
    encoded, prompts = torch.randn(1, 256, *size), torch.randn(3, 2, 256)
    positions = network.positions(*size)
    logits, quality = decode(network.decoder, encoded, positions, prompts)
    as_map = positions.T.unflatten(1, size)[None]
    expected = library_decoder(network.decoder)(encoded, as_map, prompts[None], torch.zeros_like(encoded), True)
    assert logits.shape == (3, 3, 4 * size[0], 4 * size[1])
    assert float(expected[0].std()) > 1e-4
    torch.testing.assert_close(logits, expected[0][0], rtol=1e-4, atol=1e-5 * float(expected[0].abs().max()))
    torch.testing.assert_close(quality, expected[1][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (40, 30)])
@torch.inference_mode()
def test_positions_are_those_of_the_library(network: PromptableSegmenter, size: tuple[int, int]) -> None:
    places = [(torch.arange(side) + 0.5) / max(size) for side in size]
    y, x = torch.meshgrid(*places, indexing="ij")
    expected = network.prompts.shared_embedding(torch.stack([x, y], dim=-1)[None])[0].flatten(0, 1)
    torch.testing.assert_close(network.positions(*size), expected, rtol=0, atol=2e-5)
