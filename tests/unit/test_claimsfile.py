"""Claims files: what they declare, and what a bad one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replib import claimsfile
from replib.claimsfile import ClaimsError
from replib.press.layout import Layout

from tests.conftest import ROOT

GOOD = """
[[control]]
id = "noise"
statement = "nothing is found"
criterion = "< 0.5"

[[claim]]
id = "c1"
statement = "a statement"
paper = "0.4"
needs = ["noise"]
quantities = [
    { id = "gap", name = "the gap", criterion = { quick = "> 0", paper = "> 1" } },
    { id = "width", each = { quick = [8, 16], paper = [64] }, name = "at {}", criterion = "reported" },
    { id = "rank", each = { "2, 1" = "= 6 ± 0.01", "3, 1" = { paper = "> 9" } }, name = "rank ({})" },
]
"""


def names(profile):
    return [q.name for q in claimsfile.parse(GOOD, "f").claims(profile)["c1"].quantities]


def test_profiles_declare_what_they_test_and_smoke_is_as_quick():
    assert names("quick") == names("smoke") == ["the gap", "at 8", "at 16", "rank (2, 1)"]
    assert names("paper") == ["the gap", "at 64", "rank (2, 1)", "rank (3, 1)"]
    gap = claimsfile.parse(GOOD, "f").claims("paper")["c1"].quantities[0]
    assert (gap.id, gap.criterion.low) == ("gap", 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('paper = "0.4"', "", "claim c1: paper: is missing"),
        ('paper = "0.4"', 'paper = "0.4"\npapr = 3', "claim c1: papr: is no key of a claims file"),
        ("[[claim]]", "[[clam]]", "claim: is missing"),
        ('criterion = "< 0.5"', "", "control noise: say either criterion"),
        ('criterion = "< 0.5"', 'criterion = "> abc"', "control noise: '> abc' is no criterion"),
        ('criterion = "< 0.5"', 'criterion = "reported"', "control noise: no quantity is judged in smoke"),
        ('"> 0", paper = "> 1"', '"> 0", paper = "1"', "claim c1: quantity gap: '1' is no criterion"),
        ('id = "gap", name = "the gap", criterion', 'id = "gap", name = "the gap", c', "claim c1: quantity gap: "),
        ('id = "gap"', 'id = "a gap"', "claim c1: quantity a gap: id: 'a gap': a quantity's id is a Python name"),
        ('id = "gap"', 'id = "lambda"', "a quantity's id is a Python name"),
        ('id = "c1"', 'id = "C 1"', "claim C 1: id: 'C 1': an id has small letters"),
        ('id = "c1"', 'id = "noise"', "the id noise is given twice"),
        ('needs = ["noise"]', 'needs = ["ghost"]', "claim c1 needs ghost; the controls of this file are: noise"),
        ('"at {}"', '"at"', "claim c1: quantity width: a name holds {} where"),
        ('name = "the gap"', 'name = "at 8"', "claim c1: two quantities have the name at 8"),
        ('statement = "a statement"', "statement = 3", "claim c1: statement"),
        ("[[claim]]", "[[claim", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_told_in_one_line_where_and_what(old, new, message):
    assert old in GOOD
    with pytest.raises(ClaimsError) as caught:
        claimsfile.parse(GOOD.replace(old, new, 1), "notebooks/p/x.toml")
    text = str(caught.value)
    assert text.startswith("notebooks/p/x.toml")
    assert message in text
    assert "\n" not in text


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "x.toml"
    with pytest.raises(ClaimsError, match="there are no claims at"):
        claimsfile.read(path)
    path.write_bytes(GOOD.encode().replace(b"nothing", b"\xff"))
    with pytest.raises(ClaimsError, match="is not UTF-8"):
        claimsfile.read(path)
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert claimsfile.read(path) == claimsfile.parse(GOOD, "x")


@given(st.text(max_size=60))
def test_any_text_is_claims_or_a_claims_error(text):
    with pytest.raises(ClaimsError):
        claimsfile.parse(text, "f")


def test_all_claims_of_this_book_can_be_read_for_every_profile():
    layout = Layout(ROOT)
    for slug in (*layout.chapters, *layout.registered):
        found = claimsfile.read(layout.claims(slug))
        for profile in claimsfile.PROFILES:
            assert found.claims(profile)
