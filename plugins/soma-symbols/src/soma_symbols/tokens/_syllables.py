"""Syllables by sonority: a syllable begins where the sound is least before it rises to a vowel.

The rule needs no language: vowels are loudest, then glides, liquids, nasals, h, fricatives, stops. Letters of other
scripts than Latin, Greek and Cyrillic say nothing, so that their words stay whole; a sign that is a syllable by itself
(katakana, Hangul) is one here.
"""

from typing import Final

import numpy as np

from ._breaks import Classes, Mask
from ._properties import SONORITY

_GLIDE, _VOWEL, _SEMIVOWEL, _SYLLABLE, _TAIL = (
    SONORITY.index(name) for name in ("glide", "vowel", "semivowel", "syllable", "tail")
)
RISES: Final = _VOWEL
"""Steps by which sonority can rise from silence to a vowel."""


def syllable_starts(sounds: Classes, words: Mask) -> Mask:
    """Where syllables begin, words included: bool [n].

    `sounds`: what each grapheme cluster is in SONORITY, uint8 [n]. `words`: where words begin, bool [n], the first is
    true.
    """
    goes_on = np.empty(len(words), np.bool_)  # whether the word has a cluster after this one
    np.logical_not(words[1:], out=goes_on[:-1])
    goes_on[-1:] = False
    after = np.zeros_like(sounds)
    after[:-1] = sounds[1:] * goes_on[:-1]
    semivowels = sounds == _SEMIVOWEL
    loud = np.where(semivowels, np.where(after == _VOWEL, np.uint8(_GLIDE), np.uint8(_VOWEL)), sounds)
    loud[loud > _VOWEL] = 0
    vowels = loud == _VOWEL
    rises = np.zeros(len(words), np.bool_)
    rises[:-1] = (loud[:-1] < loud[1:]) & goes_on[:-1]
    reaches = vowels.copy()
    for _ in range(RISES):
        reaches[:-1] |= rises[:-1] & reaches[1:]
    order = np.arange(len(words), dtype=np.int32)
    word = np.maximum.accumulate(np.where(words, order, np.int32(0)))
    vowel = np.maximum.accumulate(np.where(vowels, order, np.int32(-1)))
    starts = words.copy()
    starts[1:] |= reaches[1:] & ~rises[:-1] & (vowel[:-1] >= word[1:]) & ~(vowels[1:] & vowels[:-1])
    if int(sounds.max(initial=0)) >= _SYLLABLE:
        starts |= sounds == _SYLLABLE
        starts[1:] |= (sounds[:-1] >= _SYLLABLE) & (sounds[1:] != _TAIL)
    return starts
