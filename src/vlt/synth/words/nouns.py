"""Tables of nouns: categories, common words for them, and categories that are easily confused.

In a table of words, a word that is listed twice is drawn twice as often.
"""

from collections.abc import Mapping

from vlt.categories import COCO_CATEGORIES


def read_table(lines: str) -> dict[str, tuple[str, ...]]:
    """Parse lines of `key: word, word` into a mapping from each key to its words, in order."""
    rows = (line.partition(":") for line in lines.strip().splitlines())
    return {key.strip(): tuple(word.strip() for word in words.split(",")) for key, _, words in rows}


# ---------------------------------------------------------------- categories

COCO_NOUNS = frozenset(COCO_CATEGORIES)
"""The 80 categories of COCO."""
SHAPES = frozenset({"circle", "square", "triangle", "star", "diamond", "cross"})
"""Categories of synthetic scenes: flat shapes without front and back."""
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
"""Groups of categories with similar surroundings; an absent object is drawn from the group of a present one."""

CARRIED = frozenset(
    {"umbrella", "handbag", "backpack", "suitcase", "tennis racket", "baseball bat", "frisbee", "cell phone", "tie",
     "sports ball", "kite", "wine glass", "bottle", "cup", "bag", "purse"}
)  # fmt: skip
"""Nouns that "with" can follow in "person with ~"."""
RIDDEN = frozenset({"skateboard", "surfboard", "snowboard", "motorcycle", "bicycle", "horse", "elephant"})
"""Nouns that "on" can follow in "person on ~"."""

# ---------------------------------------------------------------- words

PERSON_WORDS = ("person",) * 6 + ("guy",) * 4 + ("man",) * 3 + ("woman", "woman", "girl", "lady", "dude")
"""Words for a person of unknown sex and age; those that may be wrong are rare."""

CALLED: Mapping[str, tuple[str, ...]] = {
    "person": PERSON_WORDS,
    **read_table(
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
"""The words for objects of each category; a category that is not listed has only its name."""

GARMENTS: Mapping[str, tuple[str, ...]] = read_table(
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
"""Garments, and the words for each."""

UNSEEN_GARMENTS = frozenset({"belt", "cap", "glasses", "gloves", "hat", "scarf", "socks", "sunglasses"})
"""Words for garments so small that their absence is never certain."""

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
"""General words, each with the categories that it covers."""

# ---------------------------------------------------------------- confusable categories

TOPS = frozenset({"shirt", "t-shirt", "blouse", "top", "sweater", "jumper", "cardigan", "hoodie", "sweatshirt", "vest"})
JACKETS = frozenset({"jacket", "blazer", "coat", "cardigan", "cape", "suit", "hoodie", "vest"})
LEGWEAR = frozenset({"pants", "jeans", "leggings", "tights", "stockings", "shorts"})
SKIRTS = frozenset({"dress", "skirt", "romper", "shorts", "bodysuit"})
SHOES = frozenset({"shoes", "boots", "heels", "sneakers", "sandals", "flats", "loafers", "pumps", "wedges", "clogs"})

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
    **dict.fromkeys(TOPS, TOPS | JACKETS | {"dress"}),
    **dict.fromkeys(("jacket", "blazer", "coat"), TOPS | JACKETS),
    "suit": JACKETS | {"pants"},
    **dict.fromkeys(LEGWEAR, LEGWEAR | {"romper", "bodysuit"}),
    **dict.fromkeys(("dress", "skirt"), SKIRTS | {"shirt", "top", "coat"}),
    **dict.fromkeys(SHOES, SHOES),
}
"""For each category, those that may be taken for it; whether its name fits them is unclear."""

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
"""For each word of `KINDS`, the categories that it may or may not cover."""

# ---------------------------------------------------------------- names in other data sets

OTHER_NAMES: Mapping[str, tuple[str, ...]] = read_table(
    """
    person: human, human being, pedestrian, rider, person sitting
    bicycle: cycle, push bike, pedal cycle
    motorcycle: motorbike, motor, motor bike, motor cycle
    airplane: aeroplane, plane, aircraft
    car: automobile, motorcar
    truck: lorry
    bus: coach, omnibus
    train: railcar, railway train
    traffic light: traffic signal, stoplight
    fire hydrant: fireplug, hydrant
    tie: necktie
    backpack: rucksack, knapsack
    oven: cooker
    glasses: spectacles, eyeglasses
    suitcase: luggage
    skis: ski
    sports ball: sport ball
    tennis racket: racket, tennis racquet
    donut: doughnut
    couch: sofa, settee
    potted plant: houseplant, plant pot
    dining table: dinner table, kitchen and dining room table
    tv: television, television set, tv set, tv monitor, tv screen, moniter
    laptop: laptop computer, notebook computer
    mouse: computer mouse
    remote: remote control, remote controller
    keyboard: computer keyboard
    cell phone: mobile phone, cellular phone, cellular telephone, smartphone
    microwave: microwave oven
    refrigerator: fridge
    hair drier: hair dryer, blow dryer, hairdrier
    teddy bear: teddy
    trash can: garbage can, garbage bin, trash bin, rubbish bin, waste container, waste bin, dustbin
    faucet: tap, water faucet
    flashlight: torch
    stroller: baby carriage, pram, baby buggy, pushchair
    elevator: lift
    pants: trousers
    sneakers: trainers, sports shoe, running shoe
    diaper: nappy
    """
)
"""Exact synonyms of category names, from Pascal VOC, Open Images, Objects365, LVIS, BDD100K and KITTI."""

NARROWER_NAMES: Mapping[str, tuple[str, ...]] = read_table(
    """
    person: baby, cyclist, player, skier, snowboarder, surfer, skateboarder, adult, teenager, worker, soldier, bride
    bicycle: tricycle, tandem, unicycle
    motorcycle: scooter, moped
    airplane: jet, biplane, seaplane, airliner
    car: van, suv, taxi, cab, limousine, sedan, jeep, minivan, hatchback, convertible
    truck: pickup, trailer, dump truck
    boat: ship, canoe, kayak, sailboat, yacht, ferry, raft, gondola, watercraft
    train: tram, locomotive, subway
    bird: duck, goose, seagull, gull, pigeon, parrot, owl, eagle, chicken, swan, ostrich, penguin
    cat: kitten
    dog: puppy
    horse: pony, foal
    sheep: lamb, ram, goat
    cow: bull, calf, cattle, ox, bison
    chair: armchair, stool, recliner, wheelchair
    couch: loveseat, futon
    bed: cot, crib
    cup: mug, teacup
    bottle: flask, jug
    bowl: dish
    cake: cupcake
    book: notebook, magazine
    tv: display
    cell phone: telephone
    umbrella: parasol
    handbag: tote
    suitcase: briefcase
    sports ball: football, basketball, baseball, volleyball
    """
)
"""Names of narrower or neighbouring categories, whose objects may be called by the name of the category."""
