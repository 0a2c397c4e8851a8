"""Patterns that users write for texts: Python's syntax and its meaning in Unicode, run in linear time by RE2."""

import random
import re
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from kerascli.data.base import NO_STATE, TRANSFORMS
from kerascli.data.text.patterns import Pattern, Replacement
from kerascli.language.component import Invalid
from tests.support.transform_harness import transformed

TEXTS = (
    "", "a", "Hi, you!", "été où l'île", "naïve café 東京 2024年", "Zoë Z Zürich ZZ", "a\n", "x\ny\n", "\n", "αβγ Σσς",
    "\x1c\x85 x", "👍🏽 ok", "aaa bbb", "ﬀ ß ẞ \u017f \u212a k \u0130 i \u0131 I", "١٢٣ 12 ½ ²", "_é_ é_ _",
    "a\u0301b", "e\u00a0f\u2003g",
    "ab\nab\n\n", "don't-stop", "a\x00b", "\\d \\1 $", "ⅷ Ⅷ ǅ ǆ", "xxxxxxx",
)  # fmt: skip

PATTERNS = [
    (r"[^\w?.!,]+", " "), (r"([?.!,])", r" \1 "), (r"[^\w']+", " "),  # the rules in configs/
    (r"\d+", "0"), (r"\D", "-"), (r"\s+", " "), (r"\S+", "w"),
    (r"\W", ""),
    (r"\bé", "E"), (r"\b\w", "^"), (r"\w\b", r"\g<0>|"), (r"\B\w", "."), (r"(?a)\b\w+\b", "A"), (r"(?a)\w\d*", "A"),
    (r"\bZ\w*", "Z"), (r"(?i)\bzo?", "<\\g<0>>"), (r"[Zé]\b", "Zé\\\\"), (r"(?i)straße|ß|ss", "SZ"), (r"(?i)[ik]", "#"),
    (r"(?i)[^a-zé ]", "_"), (r"(?i)Σ", "s"), (r"(?i)ǆ", "dz"), (r"[^\W\d_]+", "L"), (r"[\d\s]+", "n"),
    (r"(\w)(\w)", r"\2\1"), (r"(?P<first>\w+) (?P<second>\w+)", r"\g<second> \g<first>"), (r"(a)|(b)", r"[\1\2]"),
    (r"a\Z", "END"), (r"^\w", "START"), (r"\w\Z", "Z"), (r"(?m)^.", ">"), (r"(?m).$", "<"), (r"\s\Z", "\\n"),
    (r"\s+\Z|^\s+", ""), (r"\n", "\\n\\t"), (r"y\n?\Z", "\n"), (r"(?m)\w$|^\s", "|"),
    (r"(?s)a.", "X"), (r"a.", "X"), (r"x{2,3}", "y"), (r"x{2,3}?", "y"), (r"x{,2}y", "y"), (r"(?:ab?)+", "q"),
    ("a{0}b", "c"),
    (r"\x61|\u00e9|\N{GREEK SMALL LETTER ALPHA}|\141", "1"), (r"[]a]|[^]\w]", "2"),
    (r"a(?#comment)+", "3"), (r"{|a{b|{}|a{,}b", "4"), (r"[a\-z\]]", "5"), (r"\\d|\$", r"\\"), (r"\.|\ |'", r"\g<0>\\"),
    (r"(?is)A.", "7"), (r"\x00", "0"), ("[é-ï]", "8"), (r"\d", r"\\1"),
    ("(a)(?:b)(c)?", r"\1\2"),
]  # fmt: skip


def replaced(pattern: str, rewrite: str, texts: tuple[str, ...] = TEXTS) -> list[str]:
    return Replacement(Pattern(pattern), rewrite)(pa.array(texts, pa.string())).to_pylist()


@pytest.mark.parametrize(("pattern", "rewrite"), PATTERNS)
def test_replacements_are_those_of_python_in_texts_of_many_scripts(pattern: str, rewrite: str) -> None:
    assert replaced(pattern, rewrite) == [re.sub(pattern, rewrite, text) for text in TEXTS]


ATOMS = (
    r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", "a", "b", "é", "Z", "[a-z]", "[^a-z]", r"[^\W\d]", "[éZ]", ".", "ß",
    "i", "k",
    "я", r"[\s\n]", r"\n", "東", r"[^\w\s]", "_", " ", r"\x41", "'",
)  # fmt: skip


def random_pattern(draw: random.Random, depth: int) -> str:
    kind = draw.random() if depth else 0
    if kind < 0.45:
        return draw.choice(ATOMS)
    if kind < 0.6:
        return draw.choice(ATOMS) + draw.choice(["*", "+", "?", "{2}", "{1,2}", "{,2}", "*?", "+?", "??", "{2,}?"])
    first, second = random_pattern(draw, depth - 1), random_pattern(draw, depth - 1)
    if kind < 0.72:
        return first + second
    if kind < 0.8:
        return f"({first})" + draw.choice(["", "", "?", "+", "{2}"])
    if kind < 0.86:
        return f"(?:{first}|{second})" + draw.choice(["", "", "?", "+", "*"])
    return draw.choice([r"\b", r"\B", "^", r"\Z", f"{first}|{second}"])


def test_replacements_of_random_patterns_are_those_of_python() -> None:
    draw, compared = random.Random(7), 0
    for _ in range(300):
        pattern = draw.choice(["", "", "(?i)", "(?m)", "(?s)", "(?a)"]) + "".join(
            random_pattern(draw, 3) for _ in range(draw.randint(1, 3))
        )
        rewrite = r"<\1>" if re.compile(pattern).groups else draw.choice(["", "é\\\\Z", r"[\g<0>]", "\n"])
        try:
            found = replaced(pattern, rewrite)
        except Invalid:  # matches the empty text, or repeats what does
            continue
        assert found == [re.sub(pattern, rewrite, text) for text in TEXTS], (pattern, rewrite)
        compared += 1
    assert compared > 200


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("ab(?=c)", "look-ahead at position 2"), ("(?!c)", "look-ahead at position 0"),
        ("(?<=c)a", "look-behind at position 0"), ("a(?<!c)", "look-behind at position 1"),
        (r"(a)\1", "a back-reference at position 3"), ("(?P<x>a)(?P=x)", "a back-reference at position 8"),
        ("(?>a)", "an atomic group at position 0"), ("(a)?(?(1)b|c)", "a conditional group at position 4"),
        ("a++", r"the possessive \+\+ at position 1"),
        ("a{1001}", r"more than 1,000 repetitions \(\{1001\}\) at position 1"),
        ("(?:a*)*", "repetition .* of what matches the empty text at position 6"),
        ("(a?(?:|b+))+", "repetition .* of what matches the empty text"), ("x*", "a match of the empty text"),
        (r"\b", "a match of the empty text"), (r"(\b|a){2}", "repetition .* of what matches the empty text"),
        ("ab$", r"\$, which also matches before a line feed at the end, at position 2"),
        ("a(?i:b)", "a flag of a part of the pattern, .* at position 1"), ("(?x)a b", "the flag x, at position 0"),
    ],
)  # fmt: skip
def test_what_linear_time_cannot_do_is_refused_by_name_with_its_position_and_a_hint(pattern: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        TRANSFORMS.parse({"regex_replace": {"pattern": pattern}})
    (fault,) = caught.value.faults
    assert re.fullmatch(rf"pattern: .*{message}.* is not possible: patterns run in linear time \(RE2\)", fault.text)
    assert fault.hint
    assert fault.path == ("regex_replace", "pattern")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "(a", "rewrite": ""}, "invalid regular expression: missing )"),
        ({"pattern": "(a)", "rewrite": r"\2"}, "invalid group reference 2"),
        ({"pattern": "a", "rewrite": r"\g<b>"}, "unknown group name 'b'"),
        ({"pattern": "(a)" * 10, "rewrite": r"\10"}, "a reference to a group above 9"),
        ({"pattern": "(" * 3000 + ")" * 3000}, "nested too deeply"),
        ({"pattern": "a{99999999999999999999}"}, "invalid regular expression"),
        ({"pattern": "a" * 20_000}, "20,000 characters; the limit is 10,000"),
    ],
)
def test_a_pattern_that_is_none_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        TRANSFORMS.parse({"regex_replace": settings})
    assert message in caught.value.faults[0].text


def test_a_pattern_that_makes_others_backtrack_takes_linear_time() -> None:
    started = time.process_time()
    texts = ("a" * 100_000 + "!", "aa")
    assert replaced(r"(a+)+\Z", "b", texts) == [texts[0], "b"]
    assert time.process_time() - started < 5


def test_a_pattern_too_large_for_memory_is_an_error_when_texts_are_read() -> None:
    with pytest.raises(ValueError, match="pattern too large"):
        replaced(r"\w{1000}\W{1000}\d{1000}", "")


def test_replacements_too_large_for_memory_are_an_error_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerascli.data.text.patterns.memory_limit", lambda: 10**9)
    assert len(replaced("a", "b" * 9_000, ("x" * 1_000_000, "a"))[1]) == 9_000
    with pytest.raises(ValueError, match=r"rewrite: 300,000 replacements .* need too much memory"):
        replaced("a", "b" * 9_000, ("x", "a" * 300_000))


def test_a_text_with_the_character_that_stands_for_another_is_an_error() -> None:
    assert replaced("a", "b", ("\ufdd0a",)) == ["\ufdd0b"]
    with pytest.raises(ValueError, match=r"U\+FDD0"):
        replaced(r"\ba", "b", ("a", "\ufdd0"))


def test_texts_of_several_columns_keep_their_shape() -> None:
    texts = np.array([["Hi, you!", ""], ["no", "a!"]], dtype=object)
    apart = TRANSFORMS.parse({"regex_replace": {"pattern": r"([,!])", "rewrite": r" \1"}})
    assert transformed(apart, texts, NO_STATE).tolist() == [["Hi , you !", ""], ["no", "a !"]]


def test_a_pattern_is_checked_without_arrow() -> None:
    code = (
        "import sys; from kerascli.data.base import TRANSFORMS; "
        r"TRANSFORMS.parse({'regex_replace': {'pattern': r'\b\w+x\Z', 'rewrite': 'x'}}); "
        "assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
