"""What COCO's categories, people and their clothes are called, and what is taken for what.

A word that stands twice is said twice as often. Each line of a table is a category and what people call it.
"""

from __future__ import annotations

from collections.abc import Mapping


def _table(lines: str) -> dict[str, tuple[str, ...]]:
    """Lines of `category: word, word` as a mapping."""
    rows = (line.partition(":") for line in lines.strip().splitlines())
    return {key.strip(): tuple(word.strip() for word in words.split(",")) for key, _, words in rows}


PERSON_WORDS = ("person",) * 6 + ("guy",) * 4 + ("man",) * 3 + ("woman", "woman", "girl", "lady", "dude")
"""What somebody of unknown sex and age is called; rarely by a word that may be wrong about them."""

CALLED: Mapping[str, tuple[str, ...]] = {
    "person": PERSON_WORDS,
    **_table(
        """
        woman: woman, woman, woman, lady, lady, girl, girl, girl, chick
        man: man, man, man, guy, guy, guy, dude
        girl: girl, girl, kid
        boy: boy, boy, kid
        child: child, kid, kid
        bicycle: bike, bike, bicycle, bicycle, cycle
        motorcycle: motorcycle, motorcycle, bike, bike, motorbike
        airplane: plane, plane, airplane
        traffic light: traffic light, traffic light, light
        fire hydrant: hydrant, fire hydrant
        stop sign: stop sign, stop sign, sign
        parking meter: parking meter, meter
        cat: cat, cat, cat, cat, kitty
        backpack: backpack, backpack, bag
        handbag: purse, purse, handbag, bag, bag
        bag: bag, bag, purse
        purse: purse, purse, bag, handbag
        suitcase: suitcase, suitcase, luggage, bag
        tie: tie, tie, tie, necktie
        snowboard: snowboard, board
        skateboard: skateboard, skateboard, board
        surfboard: surfboard, surfboard, board
        sports ball: ball, ball, ball, sports ball
        baseball bat: bat, bat, baseball bat
        baseball glove: glove, mitt, baseball glove
        tennis racket: racket, racket, tennis racket, racquet
        wine glass: glass, glass, wine glass
        cup: cup, cup, cup, cup, mug
        hot dog: hot dog, hot dog, hotdog
        donut: donut, donut, donut, donut, doughnut
        couch: couch, couch, couch, sofa
        potted plant: plant, plant, potted plant
        dining table: table, table, table, dining table
        tv: tv, tv, tv, television, monitor, screen
        laptop: laptop, laptop, laptop, computer
        remote: remote, remote, remote control
        cell phone: phone, phone, phone, cell phone, cellphone
        oven: oven, oven, stove
        refrigerator: fridge, fridge, refrigerator
        teddy bear: teddy bear, teddy bear, teddy, stuffed animal
        hair drier: hair dryer, hair drier, blow dryer
        """
    ),
}
"""What things of a category are called; a category that is not here goes by its name alone."""

GARMENTS: Mapping[str, tuple[str, ...]] = _table(
    """
    shirt: shirt
    t-shirt: shirt, shirt, t-shirt, tshirt
    blouse: blouse, shirt
    top: shirt
    sweater: sweater
    jumper: sweater, jumper
    cardigan: cardigan, sweater
    hoodie: hoodie, sweatshirt
    sweatshirt: sweatshirt
    jacket: jacket
    blazer: jacket, blazer
    coat: coat
    vest: vest
    suit: suit
    dress: dress
    skirt: skirt
    shorts: shorts
    pants: pants
    jeans: jeans, jeans, pants
    leggings: leggings, pants
    tights: tights
    stockings: stockings
    socks: socks
    shoes: shoes
    boots: boots, boots, shoes
    heels: heels, heels, shoes
    sneakers: sneakers, shoes
    sandals: sandals, shoes
    hat: hat
    cap: cap, hat
    scarf: scarf
    gloves: gloves
    belt: belt
    glasses: glasses
    sunglasses: sunglasses, glasses
    """
)
"""What people wear, and what it is called."""

UNSEEN_GARMENTS = frozenset({"belt", "cap", "glasses", "gloves", "hat", "scarf", "socks", "sunglasses"})
"""Words for garments so small that nobody is sure that they are not there."""

_TOPS = frozenset(
    {"shirt", "t-shirt", "blouse", "top", "sweater", "jumper", "cardigan", "hoodie", "sweatshirt", "vest"}
)
_JACKETS = frozenset({"jacket", "blazer", "coat", "cardigan", "cape", "suit", "hoodie", "vest"})
_LEGWEAR = frozenset({"pants", "jeans", "leggings", "tights", "stockings", "shorts"})
_SKIRTS = frozenset({"dress", "skirt", "romper", "shorts", "bodysuit"})
_SHOES = frozenset({"shoes", "boots", "heels", "sneakers", "sandals", "flats", "loafers", "pumps", "wedges", "clogs"})

LOOKALIKES: Mapping[str, frozenset[str]] = {
    "backpack": frozenset({"handbag", "suitcase", "bag", "purse"}),
    "bag": frozenset({"backpack", "handbag", "suitcase", "purse"}),
    "bear": frozenset({"teddy bear"}),
    "bed": frozenset({"couch"}),
    "bench": frozenset({"chair", "couch"}),
    "bottle": frozenset({"vase", "cup", "wine glass"}),
    "bowl": frozenset({"cup", "vase"}),
    "boy": frozenset({"person", "man", "child"}),
    "bus": frozenset({"truck", "train"}),
    "cake": frozenset({"donut", "sandwich"}),
    "car": frozenset({"truck", "bus"}),
    "cell phone": frozenset({"remote"}),
    "chair": frozenset({"couch", "bench"}),
    "child": frozenset({"person", "woman", "man"}),
    "couch": frozenset({"chair", "bed", "bench"}),
    "cup": frozenset({"wine glass", "bowl", "bottle", "vase"}),
    "dining table": frozenset({"bench"}),
    "girl": frozenset({"person", "child"}),
    "handbag": frozenset({"backpack", "suitcase", "bag", "purse"}),
    "laptop": frozenset({"tv", "keyboard"}),
    "man": frozenset({"person", "boy", "child"}),
    "microwave": frozenset({"oven", "toaster", "tv"}),
    "oven": frozenset({"microwave", "refrigerator"}),
    "remote": frozenset({"cell phone"}),
    "sandwich": frozenset({"hot dog", "pizza"}),
    "purse": frozenset({"backpack", "suitcase", "bag", "handbag"}),
    "suitcase": frozenset({"handbag", "backpack"}),
    "teddy bear": frozenset({"bear"}),
    "truck": frozenset({"car", "bus", "train"}),
    "tv": frozenset({"laptop", "microwave", "cell phone"}),
    "vase": frozenset({"cup", "bottle", "bowl", "wine glass", "potted plant"}),
    "wine glass": frozenset({"cup", "bottle", "vase"}),
    "woman": frozenset({"person", "girl", "child"}),
    **dict.fromkeys(_TOPS, _TOPS | _JACKETS | {"dress"}),
    **dict.fromkeys(("jacket", "blazer", "coat"), _TOPS | _JACKETS),
    "suit": _JACKETS | {"pants"},
    **dict.fromkeys(_LEGWEAR, _LEGWEAR | {"romper", "bodysuit"}),
    **dict.fromkeys(("dress", "skirt"), _SKIRTS | {"shirt", "top", "coat"}),
    **dict.fromkeys(_SHOES, _SHOES),
}
"""Categories that may be taken for things of a category: they are neither clearly meant nor clearly not."""
