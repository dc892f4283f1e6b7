"""What words name: which categories, as their name or as a word for several, and what is easily taken for them."""

from __future__ import annotations

from functools import cache
from itertools import chain

from vlt.data.expressions.nouns import CALLED, GARMENTS, LOOKALIKES
from vlt.data.expressions.scene import Verdict

_SINGLE_WORDS = (
    "person bicycle car motorcycle airplane bus train truck boat bench bird cat dog horse sheep cow elephant bear "
    "zebra giraffe backpack umbrella handbag tie suitcase frisbee skis snowboard kite skateboard surfboard bottle cup "
    "fork knife spoon bowl banana apple sandwich orange broccoli carrot pizza donut cake chair couch bed toilet tv "
    "laptop mouse remote keyboard microwave oven toaster sink refrigerator book clock vase scissors toothbrush"
)
COCO_NOUNS = frozenset(_SINGLE_WORDS.split()) | {
    "traffic light", "fire hydrant", "stop sign", "parking meter", "sports ball", "baseball bat", "baseball glove",
    "tennis racket", "wine glass", "hot dog", "potted plant", "dining table", "cell phone", "teddy bear", "hair drier",
}  # fmt: skip
SHAPES = frozenset({"circle", "square", "triangle", "star", "diamond", "cross"})
"""What synthetic scenes show: flat, without front and back."""
HUMANS = frozenset({"person", "woman", "man", "girl", "boy", "child"})
"""Categories of people."""

FAMILIES: tuple[frozenset[str], ...] = (
    SHAPES,
    frozenset({"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}),
    frozenset({"bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"}),
    frozenset({"traffic light", "fire hydrant", "stop sign", "parking meter", "bench"}),
    frozenset({"backpack", "umbrella", "handbag", "tie", "suitcase"}),
    frozenset(
        {"frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard",
         "surfboard", "tennis racket"}
    ),
    frozenset({"bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl"}),
    frozenset(
        {"banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"}
    ),
    frozenset({"chair", "couch", "potted plant", "bed", "dining table", "toilet"}),
    frozenset({"tv", "laptop", "mouse", "remote", "keyboard", "cell phone"}),
    frozenset({"microwave", "oven", "toaster", "sink", "refrigerator"}),
    frozenset({"book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"}),
)  # fmt: skip
"""Categories of which one might stand where another does."""

KINDS: dict[str, frozenset[str]] = {
    "person": HUMANS,
    "kid": frozenset({"girl", "boy", "child"}),
    "animal": FAMILIES[1],
    "food": FAMILIES[7],
    "fruit": frozenset({"apple", "orange", "banana"}),
    "vegetable": frozenset({"broccoli", "carrot"}),
    "furniture": frozenset({"chair", "couch", "bed", "dining table"}),
    "shape": SHAPES,
    "toy": frozenset({"teddy bear"}),
    "vehicle": frozenset({"car", "bus", "truck", "motorcycle"}),
    "thing": COCO_NOUNS - HUMANS | SHAPES | GARMENTS.keys(),
}
"""Words for several categories."""

KIND_LOOKALIKES: dict[str, frozenset[str]] = {
    "animal": frozenset({"teddy bear"}),
    "food": frozenset({"bowl", "cup", "dining table"}),
    "fruit": frozenset({"carrot", "broccoli"}),
    "furniture": frozenset({"bench", "toilet", "potted plant", "refrigerator"}),
    "kid": frozenset({"person", "woman", "man"}),
    "thing": HUMANS,
    "toy": frozenset({"kite", "frisbee", "sports ball", "skateboard"}),
    "vegetable": frozenset({"apple", "orange", "banana"}),
    "vehicle": frozenset({"train", "bicycle", "boat", "airplane"}),
}
"""What may be taken for something of a kind."""

_CATEGORIES = COCO_NOUNS | SHAPES | CALLED.keys() | GARMENTS.keys()
_WORDS = {category: frozenset({category, *words}) for category, words in chain(CALLED.items(), GARMENTS.items())}
PEOPLE = frozenset().union(HUMANS, *(_WORDS[category] for category in HUMANS))
"""Words for people: their colour is that of their clothes."""
NOUNS = (COCO_NOUNS | SHAPES | KINDS.keys() | CALLED.keys()).union(*(_WORDS[category] for category in CALLED))
"""The words that are understood without a scene."""
GARMENT_WORDS = frozenset().union(*(words for words in GARMENTS.values()))
"""Words for what people wear."""

CARRIED = frozenset(
    {"umbrella", "handbag", "backpack", "suitcase", "tennis racket", "baseball bat", "frisbee", "cell phone", "tie",
     "sports ball", "kite", "wine glass", "bottle", "cup", "bag", "purse"}
)  # fmt: skip
"""What a person can be said to be with."""
RIDDEN = frozenset({"skateboard", "surfboard", "snowboard", "motorcycle", "bicycle", "horse", "elephant"})
"""What a person can be said to be on."""


@cache
def named(word: str | None, category: str) -> Verdict:
    """Whether `word` names things of `category`; None as a word ("one") names everything.

    Unclear are lookalikes, people of unknown sex and age, and whether what nobody knows is an animal.

    Example:
        >>> named("bike", "motorcycle"), named("bike", "cat"), named("cup", "wine glass"), named("guy", "person")
        (True, False, None, None)
    """
    if word is None or word == category or category in KINDS.get(word, ()):
        return True
    if category == "person" and word in PEOPLE:
        return None
    if word in _WORDS.get(category, ()):
        return True
    if word in KINDS:
        return None if category in KIND_LOOKALIKES.get(word, ()) or category not in _CATEGORIES else False
    return None if any(category in LOOKALIKES.get(meant, ()) for meant in meanings(word)) else False


@cache
def meanings(word: str) -> frozenset[str]:
    """The categories that a word is the name of, or what people call them.

    Example:
        >>> sorted(meanings("bike"))
        ['bicycle', 'motorcycle']
    """
    return frozenset({word, *(category for category, words in _WORDS.items() if word in words)} & _CATEGORIES)


def synonyms(category: str) -> tuple[str, ...]:
    """What things of `category` are called; what stands twice is said twice as often.

    Example:
        >>> synonyms("couch"), synonyms("zebra")
        (('couch', 'couch', 'couch', 'sofa'), ('zebra',))
    """
    return CALLED.get(category) or GARMENTS.get(category) or (category,)


def kinds_of(category: str) -> tuple[str, ...]:
    """The words for several categories that name `category`, too.

    Example:
        >>> kinds_of("apple")
        ('food', 'fruit', 'thing')
    """
    return tuple(kind for kind, categories in KINDS.items() if category in categories and kind != category)


def family(category: str) -> frozenset[str]:
    """The categories that are of a family with `category`; none where its family is not known.

    Example:
        >>> sorted(family("bed"))
        ['bed', 'chair', 'couch', 'dining table', 'potted plant', 'toilet']
    """
    return next((members for members in FAMILIES if category in members), frozenset())
