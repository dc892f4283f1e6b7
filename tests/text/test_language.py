"""English words, and expressions in other languages: found in twelve languages, none among our own expressions."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.text.language import common_words, foreign_words, is_english, is_foreign

NATURAL = Path(__file__).parents[2] / "datasets" / "natural.jsonl"

FOREIGN = {
    "German": """roter Hund links | der Hund auf dem Sofa | die Frau mit Hut | kleines weißes Auto | Mann in blauer
        Jacke | zweites Pferd von rechts | grüne Flasche | der linke Stuhl | Tasse auf dem Tisch | Vogel im Baum""",
    "French": """le chien à gauche | femme en robe rouge | la voiture blanche | un petit garçon | chat noir
        | homme avec un chapeau | deuxième cheval | le plus grand éléphant | fille qui sourit | petite fille en rose""",
    "Spanish": """el perro | perro rojo a la izquierda | la mujer de azul | coche blanco | hombre con sombrero
        | la silla derecha | niño pequeño | botella en la mesa | mujer sentada | bicicleta negra""",
    "Italian": """il cane a sinistra | donna in rosso | la macchina bianca | gatto nero | uomo con cappello
        | bambino piccolo | sedia a destra | la bottiglia verde | ragazza seduta | signore anziano""",
    "Portuguese": """o cachorro à esquerda | mulher de vermelho | carro branco | gato preto | homem com chapéu
        | a cadeira da direita | garrafa verde | menina de rosa | trem amarelo | senhor idoso""",
    "Dutch": """de hond links | vrouw in rode jurk | zwarte kat | man met hoed | kleine jongen | de stoel rechts
        | het grote paard | groene fles | meisje op de bank | oudere man""",
    "Polish": """czerwony pies po lewej | kobieta w czerwieni | biały samochód | czarny kot | mężczyzna w kapeluszu
        | krzesło po prawej | duży koń | zielona butelka | siedząca dziewczyna | starszy pan""",
    "Turkish": """soldaki köpek | kırmızı elbiseli kadın | beyaz araba | siyah kedi | şapkalı adam | küçük çocuk
        | büyük at | yeşil şişe | oturan kız | ağaçtaki kuş""",
    "Chinese": "左边的狗 | 穿红衣服的女人 | 白色汽车 | 黑猫 | 戴帽子的男人 | 右边的椅子 | 最大的马 | 狗",
    "Japanese": "左の犬 | 赤い服の女性 | 白い車 | 帽子をかぶった男 | 右の椅子 | 青いカップ | 木の上の鳥",
    "Russian": "собака слева | женщина в красном | белая машина | чёрный кот | второй справа | жёлтый зонт | кот",
    "Arabic": "الكلب على اليسار | امرأة بثوب أحمر | سيارة بيضاء | قطة سوداء | ولد صغير | كوب أزرق | كلب",
}
"""Short expressions; of Latin script, of two and more words."""
SCRIPTS = ("Chinese", "Japanese", "Russian", "Arabic")


def expressions_of(language: str) -> list[str]:
    return [" ".join(text.split()) for text in FOREIGN[language].split("|")]


@pytest.mark.parametrize("language", FOREIGN)
def test_other_languages_are_found(language):
    texts = expressions_of(language)
    found = [is_foreign(text) for text in texts]
    assert sum(found) >= (len(texts) if language in SCRIPTS else 0.8 * len(texts))


def test_most_expressions_of_latin_script_are_found():
    texts = [text for language in FOREIGN if language not in SCRIPTS for text in expressions_of(language)]
    assert sum(map(is_foreign, texts)) >= 0.9 * len(texts)


def test_no_natural_expression_is_foreign():
    lines = [json.loads(line) for line in NATURAL.read_text(encoding="utf-8").splitlines()]
    texts = [text for line in lines for text in (line.get("expressions") or [line["expression"]])]
    assert len(texts) > 27_000
    assert [text for text in texts if is_foreign(text)] == []


@pytest.mark.parametrize(
    "expression",
    [
        *("the dog", "dog", "hot dog", "le mans car", "a bottle of rosé", "café table", "the sign that says 停止"),
        *("jalapeño pizza", "jalapeños", "chihuahua", "rottweiler puppy", "womna in teh shrit", "man w/ hat"),
        *("vespa", "IKEA bag", "qwertyuiop asdfgh", "", "?", "7", "🐕", "2nd from the left", "die cast car"),
    ],
)
def test_english_names_slips_and_signs_are_not_foreign(expression):
    assert not is_foreign(expression)


def test_a_foreign_expression_is_found_in_any_case_and_with_punctuation():
    assert all(is_foreign(text) for text in ("ROTER HUND LINKS", "Roter Hund, links!", "¿El perro?"))


@pytest.mark.parametrize("word", ["the", "Bollard", "railcars", "hatless", "catlike", "womans", "centre", "grey"])
def test_english_words(word):
    assert is_english(word)


@pytest.mark.parametrize("word", ["flowr", "womna", "shrits", "chairss", "Hund", "perro", "зебра", "less", "s", ""])
def test_what_is_no_english_word(word):
    assert is_english(word) == (word in ("less", "s"))


def test_the_vocabularies_are_lower_case_words_and_apart():
    assert 3000 < len(common_words()) < 4000
    assert all(word.isalpha() and word == word.lower() for word in common_words() | foreign_words())
    assert not common_words() & foreign_words()


def test_words_that_people_say_are_common():
    """Of the 20 most frequent words of RefCOCO expressions each; prepositions and articles, too."""
    words = "left right on man the in of front white red guy shirt woman with black girl blue to person a"
    assert set(words.split()) <= common_words()


@given(st.text(max_size=30))
def test_any_text_has_a_language(text):
    assert is_foreign(text) in (True, False)
