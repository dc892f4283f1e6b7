"""What nouns name: categories by their own name and by what people call them, and what is easily taken for them."""

from __future__ import annotations

from vlt.data.expressions.scene import Verdict

KINDS: dict[str, frozenset[str]] = {
    "animal": frozenset(
        {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"},
    ),
    "fruit": frozenset({"apple", "orange", "banana"}),
    "shape": frozenset({"circle", "square", "triangle", "star", "diamond", "cross"}),
    "vehicle": frozenset({"car", "bus", "truck", "motorcycle"}),
}
"""Words for several categories."""

SYNONYMS: dict[str, frozenset[str]] = {
    "bag": frozenset({"handbag", "backpack", "suitcase"}),
    "ball": frozenset({"sports ball"}),
    "bike": frozenset({"bicycle", "motorcycle"}),
    "board": frozenset({"skateboard", "surfboard", "snowboard"}),
    "doughnut": frozenset({"donut"}),
    "fridge": frozenset({"refrigerator"}),
    "glass": frozenset({"wine glass"}),
    "hydrant": frozenset({"fire hydrant"}),
    "luggage": frozenset({"suitcase"}),
    "mug": frozenset({"cup"}),
    "phone": frozenset({"cell phone"}),
    "plane": frozenset({"airplane"}),
    "plant": frozenset({"potted plant"}),
    "purse": frozenset({"handbag"}),
    "racket": frozenset({"tennis racket"}),
    "sofa": frozenset({"couch"}),
    "table": frozenset({"dining table"}),
    "teddy": frozenset({"teddy bear"}),
}
"""What people call things of some categories beside the category's own name."""

LOOKALIKES: dict[str, frozenset[str]] = {
    "animal": frozenset({"teddy bear"}),
    "backpack": frozenset({"handbag", "suitcase"}),
    "bag": frozenset({"tie"}),
    "bear": frozenset({"teddy bear"}),
    "bed": frozenset({"couch"}),
    "bench": frozenset({"chair", "couch"}),
    "bottle": frozenset({"vase", "cup", "wine glass"}),
    "bowl": frozenset({"cup", "vase"}),
    "bus": frozenset({"truck", "train"}),
    "cake": frozenset({"donut", "sandwich"}),
    "car": frozenset({"truck", "bus"}),
    "chair": frozenset({"couch", "bench"}),
    "couch": frozenset({"chair", "bed", "bench"}),
    "cup": frozenset({"wine glass", "bowl", "bottle", "vase"}),
    "fruit": frozenset({"carrot", "broccoli"}),
    "glass": frozenset({"cup", "bottle", "vase"}),
    "handbag": frozenset({"backpack", "suitcase"}),
    "laptop": frozenset({"tv", "keyboard"}),
    "luggage": frozenset({"handbag", "backpack"}),
    "microwave": frozenset({"oven", "toaster", "tv"}),
    "mug": frozenset({"wine glass", "bowl", "vase"}),
    "oven": frozenset({"microwave", "refrigerator"}),
    "phone": frozenset({"remote"}),
    "purse": frozenset({"backpack", "suitcase"}),
    "remote": frozenset({"cell phone"}),
    "sandwich": frozenset({"hot dog", "pizza"}),
    "sofa": frozenset({"chair", "bed", "bench"}),
    "suitcase": frozenset({"handbag", "backpack"}),
    "table": frozenset({"bench"}),
    "teddy": frozenset({"bear"}),
    "truck": frozenset({"car", "bus", "train"}),
    "tv": frozenset({"laptop", "microwave"}),
    "vase": frozenset({"cup", "bottle", "bowl", "potted plant"}),
    "vehicle": frozenset({"train", "bicycle", "boat", "airplane"}),
    "wine glass": frozenset({"cup", "bottle", "vase"}),
}
"""Categories that may be taken for what a word names: they are neither clearly meant nor clearly not."""

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
FAMILIES: tuple[frozenset[str], ...] = (
    KINDS["shape"],
    KINDS["animal"],
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
NOUNS = COCO_NOUNS | KINDS["shape"] | KINDS.keys() | SYNONYMS.keys()
"""The words that are understood without a scene: COCO's categories, the synthetic shapes, and what both are called."""

PEOPLE = frozenset({"person"})
"""Nouns whose colour is that of their clothes."""
CARRIED = frozenset(
    {"umbrella", "handbag", "backpack", "suitcase", "tennis racket", "baseball bat", "frisbee", "cell phone", "tie",
     "sports ball", "kite", "wine glass", "bottle", "cup", "purse", "racket", "phone", "ball"}
)  # fmt: skip
"""What a person can be said to be with."""
RIDDEN = frozenset(
    {"skateboard", "surfboard", "snowboard", "motorcycle", "bicycle", "horse", "elephant", "bike", "board"}
)
"""What a person can be said to be on."""


_CALLED = KINDS | SYNONYMS


def named(word: str | None, category: str) -> Verdict:
    """Whether `word` names things of `category`; None as a word ("one") names everything.

    Example:
        >>> named("bike", "motorcycle"), named("bike", "cat"), named("cup", "wine glass")
        (True, False, None)
    """
    if word is None or word == category or category in _CALLED.get(word, ()):
        return True
    return None if category in LOOKALIKES.get(word, ()) else False


def synonyms(category: str) -> tuple[str, ...]:
    """What things of `category` are called, its own name first.

    Example:
        >>> synonyms("motorcycle")
        ('motorcycle', 'bike')
    """
    return category, *(word for word, categories in SYNONYMS.items() if category in categories)


def family(category: str) -> frozenset[str]:
    """The categories that are of a family with `category`; none where its family is not known.

    Example:
        >>> sorted(family("bed"))
        ['bed', 'chair', 'couch', 'dining table', 'potted plant', 'toilet']
    """
    return next((members for members in FAMILIES if category in members), frozenset())
