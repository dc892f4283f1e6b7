"""The paper's figure: backbone, language, fusion, query generation, transformer, query balance, mask decoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vlt.model.backbone import Backbone
from vlt.model.fusion import Fusion, ReferenceFusion
from vlt.model.language import BertEncoder, GRUEncoder, SummedGRU, TextFeatures
from vlt.model.mask_decoder import MaskDecoder, ReferenceMaskDecoder
from vlt.model.photo import PhotoEncoder
from vlt.model.query import LearnedQueries, QueryBalance, QueryGenerator, ReferenceQueryGenerator
from vlt.model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Features:
    """What the model knows of photos before anything is said; a value, computed once for many expressions.

    Attributes:
        maps: the backbone's, finest first, each (U, C, h, w); with a photo encoder the one map it makes of them.
        pixels: (U, C, H / 4, W / 4), or None where the model has no pixel features.
        boxes: (U, 4, h', w'), at each position the box of the thing there, xyxy in shares of the input, or None where
            the model does not tell.
        size: (H, W) of the input in pixels.
    """

    maps: tuple[Tensor, ...]
    pixels: Tensor | None
    boxes: Tensor | None
    size: tuple[int, int]

    def select(self, index: Tensor) -> Features:
        """The features of the photos at `index` (B,) int64, repeated as often as named."""
        pixels, boxes = (None if x is None else x.index_select(0, index) for x in (self.pixels, self.boxes))
        return Features(tuple(x.index_select(0, index) for x in self.maps), pixels, boxes, self.size)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model answers, with what it went through.

    Attributes:
        logits: (B, 1, h', w'), before the sigmoid, at the model's output stride.
        text: the words' features, (B, T, C) with their mask.
        visual_queries: (B, Q, dim), V: what each query looked at.
        queries: (B, Q, dim).
        answers: (B, Q, dim), what each query was answered, weighed by its confidence.
        confidence: (B, Q, 1) in [0, 1], or None without query balance.
        responses: (B, Q, h, w), the map each weighed answer paints.
    """

    logits: Tensor
    text: TextFeatures
    visual_queries: Tensor
    queries: Tensor
    answers: Tensor
    confidence: Tensor | None
    responses: Tensor


class VLT(nn.Module):
    """Vision-language transformer with query generation (Ding et al., ICCV 2021 and its 2022 extension).

    The parts are handed in by `vlt.model.build.build_model`, the only place that knows sizes.

    Args:
        backbone: photo to maps.
        photo_encoder: its maps to one map and pixel features; None: the maps are used as they are.
        language: words to features of words.
        fusion: maps and words to one map.
        query_generator: that map and the words to queries.
        transformer: reads the map, then asks it.
        query_balance: a confidence per answer, or None to count all alike.
        mask_decoder: answers to logits.
        mask_padding: hide padding words everywhere; False: they are seen, as in the original.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        photo_encoder: PhotoEncoder | None,
        language: SummedGRU | GRUEncoder | BertEncoder,
        fusion: ReferenceFusion | Fusion,
        query_generator: ReferenceQueryGenerator | QueryGenerator | LearnedQueries,
        transformer: Transformer,
        query_balance: QueryBalance | None,
        mask_decoder: ReferenceMaskDecoder | MaskDecoder,
        mask_padding: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.photo_encoder = photo_encoder
        self.language = language
        self.fusion = fusion
        self.query_generator = query_generator
        self.transformer = transformer
        self.query_balance = query_balance
        self.mask_decoder = mask_decoder
        self.mask_padding = mask_padding

    def forward(
        self, images: Tensor, words: Tensor, word_mask: Tensor | None = None, image_index: Tensor | None = None
    ) -> Tensor:
        """Photos and expressions to logits.

        Args:
            images: (U, 3, H, W) float in [0, 1], letterboxed RGB.
            words: (B, T) int64 token ids or (B, T, D) float vectors, as the language encoder reads.
            word_mask: (B, T) bool, True = a word; words come first. None: all are words.
            image_index: (B,) int64, the photo each expression is about; None: U = B, one each.

        Returns:
            (B, 1, h, w) logits at the model's output stride.
        """
        features = self.encode(images)
        if image_index is not None:
            features = features.select(image_index)
        return self.answer(features, words, word_mask).logits

    def encode(self, images: Tensor) -> Features:
        """The part that needs no words.

        Args:
            images: (U, 3, H, W) float in [0, 1], letterboxed RGB.
        """
        maps, size = self.backbone(images), (images.shape[-2], images.shape[-1])
        if self.photo_encoder is None:
            return Features(maps, None, None, size)
        seen = self.photo_encoder(maps, images)
        return Features((seen.visual,), seen.pixels, seen.boxes, size)

    def answer(self, features: Features, words: Tensor, word_mask: Tensor | None = None) -> Answer:
        """The part that listens.

        Args:
            features: of B photos, one per expression (see `Features.select`).
            words: as in `forward`.
            word_mask: as in `forward`.
        """
        text = self.language(words, word_mask if self.mask_padding else None)
        fused = self.fusion(features.maps, text)
        queries = self.query_generator(fused.query_map, text)
        memory, answers = self.transformer(fused.encoder_map, queries.vectors)
        confidence = None if self.query_balance is None else self.query_balance(answers, queries.vectors)
        balanced = answers if confidence is None else confidence * answers
        responses = self.mask_decoder.respond(balanced, memory)
        logits = self.mask_decoder(balanced, responses, features.pixels, features.size)
        return Answer(logits, text, queries.visual, queries.vectors, balanced, confidence, responses)
