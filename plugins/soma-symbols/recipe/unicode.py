"""Makes the tables of Unicode properties and the vectors of their use from the Unicode Character Database.

    python unicode.py UCD VECTORS      # the folder of Debian's `unicode-data`, and specs/vectors/unicode_breaks.json

Two code points with equal properties share a *record*, a number below 256. The file has the two-stage table of the
records, and for each record its classes, in the columns and numbers of `soma_symbols.tokens._properties`.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from soma_symbols.tokens._properties import BLOCK, COLUMNS, FINE, GRAPHEME, SONORITY, WORD

POINTS: Final = 0x110000
DATA: Final = Path(__file__).resolve().parents[1] / "src" / "soma_symbols" / "tokens" / "data"
CONSONANTS: Final = {
    "stop": "bcdgkpqtjx" + "βγδθκξπτχψ" + "бгджкпстцчшщђјћџґ",
    "fricative": "fsvzßðþſʃʒʹ" + "ζσςφ" + "вжзсфхшщѕ",
    "aspirate": "h",
    "nasal": "mnŋ" + "μν" + "мнњ",
    "liquid": "lrłŀ" + "λρ" + "лрљ",
    "glide": "w" + "йўьъ",
}
"""Base letters of Latin, Greek and Cyrillic by sonority; a letter that stands twice belongs to the later class."""
VOWELS: Final = "aeiouæœøəɛɔıɐɑɪʊʌɨʉ" + "αεηιουω" + "аеиоуыэюяіїєѣѵөүё"
SMALL_KANA: Final = "ァィゥェォッャュョヮヵヶーｧｨｩｪｫｬｭｮｯｰ" + "".join(map(chr, range(0x31F0, 0x3200)))
"""They go with the sign before them."""


def ranges(path: Path) -> Iterator[tuple[range, str]]:
    """Code points and value of every line of a property file."""
    for line in path.read_text("utf-8").splitlines():
        if match := re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*(\w+)", line):
            first, last, value = match.groups()
            yield range(int(first, 16), int(last or first, 16) + 1), value


def points(path: Path, *values: str) -> np.ndarray:
    """Where a property file says one of `values`; bool [0x110000]."""
    found = np.zeros(POINTS, bool)
    for span, value in ranges(path):
        if value in values:
            found[span.start : span.stop] = True
    return found


def named(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """The place in `names` of what a property file says, 0 where it says nothing; uint8 [0x110000]."""
    found = np.zeros(POINTS, np.uint8)
    for span, value in ranges(path):
        found[span.start : span.stop] = names.index(value)
    return found


def fine_kinds(ucd: Path, word: np.ndarray, pictographs: np.ndarray, space: np.ndarray) -> np.ndarray:
    """What a token is that begins with a code point; later lines win over earlier ones."""
    category = ucd / "extracted" / "DerivedGeneralCategory.txt"
    kinds = np.full(POINTS, FINE.index("unassigned"), np.uint8)
    groups = {
        "control": ("Cc", "Cf"),
        "letter": ("Lu", "Ll", "Lt", "Lm", "Lo"),
        "number": ("Nd", "Nl", "No"),
        "connector": ("Pc",),
        "mark": ("Mn", "Mc", "Me"),
        "punctuation": ("Pd", "Ps", "Pe", "Pi", "Pf", "Po"),
        "symbol": ("Sm", "Sc", "Sk", "So"),
    }
    for kind, values in groups.items():
        kinds[points(category, *values)] = FINE.index(kind)
    kinds[pictographs & (np.arange(POINTS) >= 0x80)] = FINE.index("emoji")
    kinds[word == WORD.index("Regional_Indicator")] = FINE.index("emoji")
    kinds[points(ucd / "PropList.txt", "Ideographic")] = FINE.index("ideograph")
    kinds[(word == WORD.index("Katakana")) | points(ucd / "Scripts.txt", "Hiragana")] = FINE.index("kana")
    kinds[space] = FINE.index("space")
    kinds[np.isin(word, [WORD.index(name) for name in ("CR", "LF", "Newline")])] = FINE.index("line")
    kinds[0xDC80:0xDD00] = FINE.index("invalid")
    return kinds


def sonorities(ucd: Path, grapheme: np.ndarray, kana: np.ndarray) -> np.ndarray:
    """How a code point sounds among others; 0 where nothing is said of it."""
    parts, lower = {}, {}
    for line in (ucd / "UnicodeData.txt").read_text("utf-8").splitlines():
        fields = line.split(";")
        if fields[5]:
            parts[int(fields[0], 16)] = (
                int(fields[5].removeprefix(fields[5].partition(">")[0] + ">").split()[0], 16)
                if fields[5].startswith("<")
                else int(fields[5].split()[0], 16)
            )
        if fields[13]:
            lower[int(fields[0], 16)] = int(fields[13], 16)
    sounds = {letter: name for name, letters in CONSONANTS.items() for letter in letters}
    sounds |= dict.fromkeys(VOWELS, "vowel") | {"y": "semivowel"}
    found = np.zeros(POINTS, np.uint8)
    for point in range(0x30000):
        base, seen = point, 0
        while seen < 8:
            base = lower.get(base, base)
            if chr(base) in sounds:
                found[point] = SONORITY.index(sounds[chr(base)])
                break
            if base not in parts:
                break
            base, seen = parts[base], seen + 1
    found[kana] = SONORITY.index("syllable")
    found[np.isin(grapheme, [GRAPHEME.index(name) for name in ("L", "LV", "LVT")])] = SONORITY.index("syllable")
    found[np.isin(grapheme, [GRAPHEME.index(name) for name in ("V", "T")])] = SONORITY.index("tail")
    for sign in SMALL_KANA:
        found[ord(sign)] = SONORITY.index("tail")
    return found


def tables(ucd: Path) -> dict[str, np.ndarray]:
    """What the file holds."""
    pictographs = points(ucd / "emoji" / "emoji-data.txt", "Extended_Pictographic")
    grapheme = named(ucd / "auxiliary" / "GraphemeBreakProperty.txt", GRAPHEME)
    assert not grapheme[pictographs].any(), "a pictograph has a class of its own"
    grapheme[pictographs] = GRAPHEME.index("Extended_Pictographic")
    word = named(ucd / "auxiliary" / "WordBreakProperty.txt", WORD)
    space = points(ucd / "PropList.txt", "White_Space")
    kana = word == WORD.index("Katakana")
    columns = {
        "word": word,
        "grapheme": grapheme,
        "pictograph": pictographs.astype(np.uint8),
        "space": space.astype(np.uint8),
        "fine": fine_kinds(ucd, word, pictographs, space),
        "sonority": sonorities(ucd, grapheme, kana),
    }
    assert tuple(columns) == COLUMNS
    classes, records = np.unique(np.stack(list(columns.values()), 1), axis=0, return_inverse=True)
    assert len(classes) <= 256, f"{len(classes)} different sets of properties"
    blocks, places = np.unique(records.astype(np.uint8).reshape(-1, BLOCK), axis=0, return_inverse=True)
    return {"places": places.astype(np.uint16).reshape(-1), "blocks": blocks, "classes": classes}


def cases(path: Path) -> list[str]:
    """Of every test string its parts, as code points in hexadecimal: ``0061 0308|0020``."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            found.append(re.sub(r"\s*÷\s*", "|", re.sub(r"\s*×\s*", " ", text.strip("÷ \t"))))
    return found


def main(ucd: Path, vectors: Path) -> None:
    """Write the tables and the vectors."""
    found = tables(ucd)
    np.savez_compressed(DATA / "unicode.npz", **found)  # type: ignore[arg-type]
    said = {
        "what": "The test strings of Unicode 15.0.0, GraphemeBreakTest.txt and WordBreakTest.txt, without comments:"
        " code points in hexadecimal, clusters or words between bars.",
        "licence": "Copyright 2022 Unicode, Inc. Distributed under the Terms of Use in"
        " https://www.unicode.org/copyright.html; modified: comments taken off, notation changed.",
        "grapheme": cases(ucd / "auxiliary" / "GraphemeBreakTest.txt"),
        "word": cases(ucd / "auxiliary" / "WordBreakTest.txt"),
    }
    vectors.write_text(json.dumps(said, indent=0, ensure_ascii=False) + "\n", "utf-8")
    sizes = {name: array.shape for name, array in found.items()}
    print(sizes, (DATA / "unicode.npz").stat().st_size, len(said["grapheme"]), len(said["word"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
