"""The paper's figure: backbone, language, fusion, query generation, transformer, query balance, mask decoder.

Beside it, where the configuration asks for candidates: detector, candidate encoder and choice, which guide the mask.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlt.model.backbone import Backbone
from vlt.model.candidates import CandidateEncoder, Candidates
from vlt.model.choice import Choice, ChoiceGuide, Chooser
from vlt.model.detector import Detector
from vlt.model.fusion import Fusion, ReferenceFusion
from vlt.model.language import BertEncoder, GRUEncoder, SummedGRU, TextFeatures
from vlt.model.layers import Freezable
from vlt.model.mask_decoder import MaskDecoder, ReferenceMaskDecoder
from vlt.model.photo import PhotoEncoder
from vlt.model.query import LearnedQueries, QueryBalance, QueryGenerator, ReferenceQueryGenerator
from vlt.model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Features:
    """Features of U images, encoded once for any number of expressions; immutable, and not stored in the model.

    Attributes:
        maps: the backbone's maps, finest first, each (U, C, h, w); with an image encoder the one map it makes of them.
        pixels: (U, C, H / 4, W / 4), rounded up, or None where the model has no pixel features.
        boxes: (U, 4, h', w'), at each position the box of the object there, xyxy as shares of the input, or None where
            the model predicts none.
        candidates: objects found by the detector; None without one.
        size: (H, W) of the input in pixels.
    """

    maps: tuple[Tensor, ...]
    pixels: Tensor | None
    boxes: Tensor | None
    candidates: Candidates | None
    size: tuple[int, int]

    def select(self, index: Tensor) -> Features:
        """Select the features of the images at `index` (B,) int64, which may repeat; the result is of B images."""
        pixels, boxes = (None if x is None else x.index_select(0, index) for x in (self.pixels, self.boxes))
        candidates = None if self.candidates is None else self.candidates.select(index)
        return Features(tuple(x.index_select(0, index) for x in self.maps), pixels, boxes, candidates, self.size)


@dataclass(frozen=True, slots=True)
class Output:
    """Output of the model for B expressions, with the intermediate values that losses and explanations use.

    Attributes:
        logits: (B, 1, h', w'), before the sigmoid, at the model's output stride.
        text: word features (B, T, C) with their mask.
        visual_queries: (B, Q, dim), V: image features that each query was generated from.
        queries: (B, Q, dim).
        responses: (B, Q, dim), the decoder's output per query, multiplied by its confidence.
        confidence: (B, Q, 1) in [0, 1], or None without query balance.
        response_maps: (B, Q, h, w), a coarse mask per query, made from its response.
        choice: the choice among the candidates; None without candidates.
    """

    logits: Tensor
    text: TextFeatures
    visual_queries: Tensor
    queries: Tensor
    responses: Tensor
    confidence: Tensor | None
    response_maps: Tensor
    choice: Choice | None


@dataclass(frozen=True, slots=True)
class CandidateParts:
    """The parts that a network with candidates has in addition.

    Attributes:
        detector: image to boxes; frozen.
        encoder: boxes and the backbone's maps to candidates.
        chooser: candidates and words to a choice.
        guide: the choice to the mask decoder's memory.
    """

    detector: Detector
    encoder: CandidateEncoder
    chooser: Chooser
    guide: ChoiceGuide


class VLT(Freezable):
    """Vision-language transformer with query generation (Ding et al., ICCV 2021 and its 2022 extension).

    `vlt.model.build.build_model`, the only place that knows sizes, makes the parts.

    Args:
        backbone: image to feature maps.
        photo_encoder: those maps to one map and pixel features; None: the maps are used as they are.
        language: words to word features.
        fusion: maps and words to one map.
        query_generator: that map and the words to queries.
        transformer: encodes the map, and decodes the queries to responses.
        query_balance: predicts a confidence per response; None: all responses have equal weight.
        mask_decoder: responses to logits.
        mask_padding: mask padding in every part; False: padding counts as words, as in the original.
        candidates: parts that choose among detected objects; None: there are none.
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
        candidates: CandidateParts | None = None,
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
        self.detector = None if candidates is None else candidates.detector
        self.candidate_encoder = None if candidates is None else candidates.encoder
        self.chooser = None if candidates is None else candidates.chooser
        self.choice_guide = None if candidates is None else candidates.guide

    def blocks(self) -> list[nn.Module]:
        """List the parts, as `Freezable` requires."""
        return list(self.children())

    def train_only(self, names: Collection[str]) -> None:
        """Freeze all parts but those with these names, which are attributes of this class."""
        self.freeze([part for name, part in self.named_children() if name not in names])

    def forward(
        self, images: Tensor, words: Tensor, word_mask: Tensor | None = None, image_index: Tensor | None = None
    ) -> Tensor:
        """Encode images and segment them.

        Args:
            images: (U, 3, H, W) float in [0, 1], letterboxed RGB.
            words: (B, T) int64 token ids or (B, T, D) float vectors, as the language encoder requires.
            word_mask: (B, T) bool, True = a word; words come first. None: all are words.
            image_index: (B,) int64, the image of each expression; None: U = B, one each.

        Returns:
            (B, 1, h, w) logits at the model's output stride.
        """
        features = self.encode(images)
        if image_index is not None:
            features = features.select(image_index)
        return self.segment(features, words, word_mask).logits

    def encode(self, images: Tensor, *, masks: bool = True) -> Features:
        """Encode images once, for any number of expressions.

        Args:
            images: (U, 3, H, W) float in [0, 1].
            masks: compute what `segment` needs; False: the candidates alone, for `choose`.
        """
        maps, size = self.backbone(images), (images.shape[-2], images.shape[-1])
        candidates = None
        if self.detector is not None and self.candidate_encoder is not None:
            with torch.autocast(images.device.type, enabled=False):  # half precision moves its boxes
                detections = self.detector(images)
            inputs = self.candidate_encoder.gather(detections, maps, images)
            candidates = self.candidate_encoder(inputs)
        if not masks:
            return Features((), None, None, candidates, size)
        if self.photo_encoder is None:
            return Features(maps, None, None, candidates, size)
        encoded = self.photo_encoder(maps, images)
        return Features((encoded.visual,), encoded.pixels, encoded.boxes, candidates, size)

    def choose(self, features: Features, words: Tensor, word_mask: Tensor | None = None) -> Choice:
        """Choose among the candidates without computing masks, which would take most of the time in training.

        Args:
            features: of B images, with candidates.
            words: as in `forward`.
            word_mask: as in `forward`.
        """
        assert self.chooser is not None, "the network has no candidates"
        assert features.candidates is not None, "the features were computed by another network"
        choice: Choice = self.chooser(
            features.candidates, self.language(words, word_mask if self.mask_padding else None)
        )
        return choice

    def segment(self, features: Features, words: Tensor, word_mask: Tensor | None = None) -> Output:
        """Segment what each expression refers to.

        Args:
            features: features of B images, one per expression (see `Features.select`).
            words: (B, T) int64 token ids or (B, T, D) float vectors, as in `forward`.
            word_mask: (B, T) bool or None, as in `forward`.
        """
        text = self.language(words, word_mask if self.mask_padding else None)
        fused = self.fusion(features.maps, text)
        queries = self.query_generator(fused.query_map, text)
        memory, responses = self.transformer(fused.encoder_map, queries.vectors)
        confidence = None if self.query_balance is None else self.query_balance(responses, queries.vectors)
        balanced = responses if confidence is None else confidence * responses
        choice = None
        if self.chooser is not None and self.choice_guide is not None and features.candidates is not None:
            choice = self.chooser(features.candidates, text)
            memory = self.choice_guide(memory, choice)
        response_maps = self.mask_decoder.respond(balanced, memory)
        logits = self.mask_decoder(balanced, response_maps, features.pixels, features.size)
        return Output(logits, text, queries.visual, queries.vectors, balanced, confidence, response_maps, choice)
