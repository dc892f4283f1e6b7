"""Language of expressions: the English words, and expressions that are not in English."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spellchecker import SpellChecker

WORD: Final = re.compile(r"[^\W\d_]+")
"""A run of letters."""

_FREQUENT: Final = {
    "German": """
        der das ein eine einen einem einer dem den des im vom zum zur und mit ohne auf unter über neben hinter vor
        zwischen bei von für sitzt steht hält trägt nicht links rechts linke linker linkes linken rechte rechter rechtes
        rechten oben unten mitte vorne hinten rot rote roter rotes roten blau blaue blauer blaues blauen grün grüne
        grüner grünes gelb gelbe gelber gelbes schwarz schwarze schwarzer schwarzes weiß weiße weißer weißes grau braun
        frau junge mädchen hund katze groß große großer großes kleine kleiner kleines erste zweite zweiter zweites
        dritte""",
    "French": """
        le la les un une du de des au aux avec sans sur sous dans devant derrière entre près qui que porte assis assise
        debout à gauche droite haut milieu rouge bleue vert verte jaune noir noire blanc blanche gris grise homme femme
        garçon fille enfant chien voiture grande petit petite première deuxième troisième sa ses""",
    "Spanish": """
        el los las una unos unas del al con bajo por para está sentado sentada izquierda derecha arriba abajo medio
        centro rojo roja azul verde amarillo amarilla negro negra blanco blanca marrón hombre mujer niño niña chico
        chica perro gato coche pequeño pequeña más primero primera segundo segunda tercero tercera su""",
    "Italian": """
        il lo gli uno di della dello dei delle alla nel nella sul sulla senza sopra sotto seduto seduta sinistra destra
        mezzo rosso rossa giallo gialla nero bianco bianca grigio uomo donna bambino bambina ragazzo ragazza cane
        macchina piccolo piccola più primo seconda terzo terza""",
    "Portuguese": """
        os uma umas da das nos nas ao à com sem sobre em esquerda direita cima baixo meio vermelho vermelha amarelo
        amarela preta preto branco branca cinza homem mulher menino menina rapaz moça cachorro cão carro pequeno pequena
        mais maior primeiro primeira""",
    "Dutch": """
        het op onder boven naast achter voor tussen aan uit dat rechter midden rode rood blauw blauwe groen groene geel
        gele zwart zwarte witte grijs bruin bruine vrouw jongen meisje hond groot grote klein tweede derde zijn zittend
        staand""",
    "Polish": """
        na przy obok przed między jest który która lewej prawej lewo prawo lewy prawy lewa prawa góra środku czerwony
        czerwona czerwone niebieski niebieska zielony zielona żółty żółta czarny czarna czarne biały biała białe szary
        mężczyzna kobieta chłopiec dziewczyna dziecko samochód duży duża mały mała pierwszy drugi druga trzeci""",
    "Turkish": """
        ve ile olan üstünde altında yanında önünde arkasında soldaki sağdaki ortadaki üstteki alttaki sağdan soldan
        kırmızı mavi yeşil sarı siyah beyaz kahverengi kadın erkek kız çocuk köpek kedi araba büyük küçük oturan giyen
        birinci ikinci üçüncü""",
}
"""Frequent words of other languages in referring expressions; without those that are English or a likely slip."""


@cache
def common_words() -> frozenset[str]:
    """Return the bundled vocabulary: everyday English words of referring expressions, in lower case.

    Nouns, parts, garments, scenery, professions, colours, positions, adjectives and verbs. Most are frequent words of
    hand-written expressions about COCO images (datasets/natural.jsonl, training part) and of RefCOCO's validation split
    (counts only); British and American.
    """
    return frozenset(files("vlt.text").joinpath("common_words.txt").read_text(encoding="utf-8").split())


@cache
def english_dictionary() -> SpellChecker:
    """Return pyspellchecker's dictionary of 160,000 English words, in lower case; read at the first call (0.5 s)."""
    from spellchecker import SpellChecker  # noqa: PLC0415 (only words that are not common need it)

    return SpellChecker("en")


@cache
def foreign_words() -> frozenset[str]:
    """Return frequent words of other languages that are not common English ones, in lower case."""
    return frozenset(word for words in _FREQUENT.values() for word in words.split()) - common_words()


def is_english(word: str) -> bool:
    """Return whether a word is an English one, in any case, or one with an ending or accents: "railcars", "café"."""
    word = "".join(each for each in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(each))
    if word in common_words() or word in english_dictionary():
        return True
    stems = [word.removesuffix(ending) for ending in ("s", "less", "like") if word.endswith(ending)]
    return any(stem in common_words() for stem in stems if len(stem) > 2 and not stem.endswith("s"))


def is_foreign(expression: str) -> bool:
    """Return whether an expression does not look like English.

    True where most letters are of another script than the Latin one; or where words of other languages (frequent ones,
    or unknown ones with letters outside a to z) occur and, with other unknown words, are as many as the common English
    ones.

    Args:
        expression: any text.

    Example:
        >>> is_foreign("roter Hund links"), is_foreign("左边的狗"), is_foreign("the chihuahua in a décolleté dress")
        (True, True, False)
    """
    letters = [letter for letter in expression if letter.isalpha()]
    if 2 * sum(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters) > len(letters):
        return True
    words = [word for word in WORD.findall(expression.lower()) if word not in common_words()]
    foreign = [word for word in words if word in foreign_words() or not (word.isascii() or is_english(word))]
    if not foreign:
        return False
    unknown = [word for word in words if word not in foreign and len(word) > 2 and not is_english(word)]
    common = len(WORD.findall(expression)) - len(words)
    return len(foreign) + len(unknown) >= common
