"""SAM's mask decoder with less than half of its operations: weights and results are those of `SamMaskDecoder`.

A prompt has seven tokens and the image 4,096 positions. Attention between the two needs no projection of the positions:
the product with a projection's matrix is moved to the tokens' side. Transposed convolutions whose stride is the size of
their kernel are products of matrices, position by position; only the finished masks are put in the order of an image.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamAttention, SamMaskDecoder

HEADS = 8
"""Attention heads."""
GROWTH = 2
"""Factor by which each of the two transposed convolutions enlarges a map."""


def build_decoder() -> SamMaskDecoder:
    """Build the decoder as MobileSAM has it, with random weights."""
    config = SamMaskDecoderConfig(layer_norm_eps=1e-5)
    config._attn_implementation = "sdpa"
    return SamMaskDecoder(config)


def decode(decoder: SamMaskDecoder, encoded: Tensor, positions: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Decode the masks of N prompts.

    Args:
        decoder: has the weights.
        encoded: (1, 256, h, w), the feature map of the image.
        positions: (h * w, 256), the encoding of its positions.
        prompts: (N, T, 256), the encoding of T places per prompt.

    Returns:
        Logits (N, 3, 4 h, 4 w), and the estimated quality of each mask (N, 3).
    """
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(prompts.shape[0], -1, -1), prompts], dim=1)
    states, pixels = tokens, encoded.flatten(2).transpose(1, 2).expand(prompts.shape[0], -1, -1)
    for layer in decoder.transformer.layers:
        states, pixels = update(layer, states, pixels, tokens, positions)
    last: Any = decoder.transformer.final_attn_token_to_image
    states = states + attend_to_pixels(last, states + tokens, pixels + positions, pixels)
    states = decoder.transformer.layer_norm_final_attn(states)
    weights = [mlp(states[:, i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps, start=1)]
    masks = enlarge(decoder, pixels) @ torch.stack(weights[1:], dim=2)[:, None]  # (N, h * w, 16, 3)
    quality = decoder.iou_prediction_head(states[:, 0])[:, 1:]
    return in_image_order(masks, *encoded.shape[-2:]), quality


def enlarge(decoder: SamMaskDecoder, pixels: Tensor) -> Tensor:
    """Features of positions (N, P, 256) to those of the 4 x 4 places in each (N, P, 16, 32); see `in_image_order`."""
    norm = decoder.upscale_layer_norm
    x = grow(decoder.upscale_conv1, pixels)
    x = decoder.activation(F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps))
    enlarged: Tensor = decoder.activation(grow(decoder.upscale_conv2, x)).flatten(2, 3)
    return enlarged


def update(layer: Any, states: Tensor, pixels: Tensor, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Update the states of tokens (N, T, 256) and of positions (N, P, 256) by a `SamTwoWayAttentionBlock`."""
    query = states if layer.skip_first_layer_pe else states + tokens
    attended = attend(layer.self_attn, query, states)
    states = layer.layer_norm1(attended if layer.skip_first_layer_pe else states + attended)
    placed = pixels + positions
    states = layer.layer_norm2(
        states + attend_to_pixels(layer.cross_attn_token_to_image, states + tokens, placed, pixels)
    )
    states = layer.layer_norm3(states + layer.mlp(states))
    attended = attend_to_tokens(layer.cross_attn_image_to_token, placed, states + tokens, states)
    return states, layer.layer_norm4(pixels + attended)


def by_head(x: Tensor) -> Tensor:
    """Divide the last axis of (N, T, D) by heads: (N, HEADS, T, D / HEADS)."""
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


def attend(module: SamAttention, query: Tensor, values: Tensor) -> Tensor:
    """Self-attention of tokens (N, T, 256); queries are keys, too."""
    q, k, v = (by_head(x) for x in (module.q_proj(query), module.k_proj(query), module.v_proj(values)))
    attended: Tensor = module.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return attended


def attend_to_pixels(module: SamAttention, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of tokens (N, T, 256) to positions, whose keys and values (N, P, 256) are not projected.

    A bias of the keys is the same for all positions, so that the softmax removes it.
    """
    of_keys, of_values = (x.weight.unflatten(0, (HEADS, -1)) for x in (module.k_proj, module.v_proj))
    asked = (by_head(module.q_proj(query)) * module.scaling @ of_keys).flatten(1, 2)  # (N, HEADS * T, 256)
    shares = (asked @ keys.transpose(1, 2)).softmax(dim=-1)
    found = (shares @ values).unflatten(1, (HEADS, -1)) @ of_values.transpose(1, 2)
    attended: Tensor = module.out_proj(found.transpose(1, 2).flatten(2) + module.v_proj.bias)
    return attended


def attend_to_tokens(module: SamAttention, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of positions, whose queries (N, P, 256) are not projected, to tokens (N, T, 256).

    The shares of a head sum to one, so that each head's values can carry a part of the bias of the output.
    """
    of_query = module.q_proj.weight.unflatten(0, (HEADS, -1))
    of_out = module.out_proj.weight.unflatten(1, (HEADS, -1)).permute(1, 2, 0)  # (HEADS, D / HEADS, 256)
    scaled = by_head(module.k_proj(keys)) * module.scaling
    bias = scaled @ module.q_proj.bias.unflatten(0, (HEADS, -1))[..., None]  # (N, HEADS, T, 1)
    scores = query @ (scaled @ of_query).flatten(1, 2).transpose(1, 2) + bias.flatten(1)[:, None]
    shares = scores.unflatten(2, (HEADS, -1)).softmax(dim=-1).flatten(2)  # (N, P, HEADS * T)
    return shares @ (by_head(module.v_proj(values)) @ of_out + module.out_proj.bias / HEADS).flatten(1, 2)


def grow(conv: torch.nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Enlarge each place of (..., C) to 2 x 2 places by a transposed convolution, (..., 4, D) by rows."""
    weight = conv.weight.permute(0, 2, 3, 1).flatten(1)  # (C, 4 D)
    return (x @ weight).unflatten(-1, (GROWTH**2, -1)) + conv.bias


def in_image_order(x: Tensor, height: int, width: int) -> Tensor:
    """Put maps in the order of an image: positions, 2 x 2 places of each and 2 x 2 of these become rows and columns.

    Args:
        x: (N, height * width, 16, M).
        height: rows of positions.
        width: columns of positions.

    Returns:
        (N, M, 4 height, 4 width).
    """
    places = x.unflatten(2, (GROWTH,) * 4).unflatten(1, (height, width))  # y, x, y of the 2 x 2, x, y of the 2 x 2, x
    return places.permute(0, 7, 1, 3, 5, 2, 4, 6).flatten(5).flatten(2, 4)
