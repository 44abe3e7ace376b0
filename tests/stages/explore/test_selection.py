"""The selection in an address, colours of the map, and work in the background."""

from __future__ import annotations

import base64
import itertools
import threading
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from digits.stages.explore.background import Cancelled, Jobs
from digits.stages.explore.scatter import COLOURS, GREY, WRONG, grouped
from digits.stages.explore.selection import decode, encode

CLASSES = np.arange(10)
PAPERS = {"light": "#FFFFFF", "dark": "#0E1117"}
BOMB = "z" + base64.urlsafe_b64encode(zlib.compress(bytes(10**8), 9)).decode()


@given(rows=st.sets(st.integers(0, 999)))
@example(rows=set())
@example(rows=set(range(1000)))
def test_an_address_keeps_a_selection(rows):
    text = encode(np.array(sorted(rows), int))
    assert decode(text, 1000).tolist() == sorted(rows)
    assert text == "" or all(letter.isalnum() or letter in ",-_" for letter in text)


def test_few_rows_are_listed_and_many_packed():
    assert encode(np.array([3, 17])) == "3,17"
    drawn = np.random.default_rng(0).permutation(42_000)[:4_200]
    assert len(encode(np.sort(drawn))) < 5_000


@given(text=st.one_of(st.text(), st.text("0123456789,z-_AZ").map("z".__add__), st.text("0123456789,")))
@example(text="9" * 400)
@example(text="²")
@example(text=BOMB)
def test_any_address_gives_rows_of_the_table(text):
    rows = decode(text, 1000)
    assert rows.dtype.kind == "i"
    assert np.array_equal(rows, np.unique(rows))
    assert not len(rows) or (rows[0] >= 0 and rows[-1] < 1000)


def _luminance(colour: str) -> float:
    parts = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
@pytest.mark.parametrize("colour", [*COLOURS, GREY, WRONG])
def test_every_colour_is_seen_on_either_theme(colour, paper):
    bright, dark = sorted((_luminance(colour), _luminance(paper)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 2.5


def test_thirty_clusters_have_thirty_colours():
    groups = grouped(pd.DataFrame({"cluster": np.arange(30)}), "cluster", CLASSES)
    assert len(set(groups.colours)) == 30
    pairs = itertools.combinations([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in COLOURS], 2)
    assert min(np.abs(np.subtract(*pair)).sum() for pair in pairs) > 40


def test_a_value_has_its_colour_whatever_else_is_shown():
    every = grouped(pd.DataFrame({"cluster": [0, 1, 2, 3]}), "cluster", CLASSES)
    some = grouped(pd.DataFrame({"cluster": [3, -1, 1]}), "cluster", CLASSES)
    assert some.names == ["noise", "1", "3"]
    assert some.colours == [GREY, every.colours[1], every.colours[3]]
    assert some.numbers.tolist() == [2, 0, 1]
    labels = grouped(pd.DataFrame({"label": ["b", "d"]}), "label", np.array(list("abcd")))
    assert (labels.names, labels.colours) == (["b", "d"], [COLOURS[1], COLOURS[3]])


def test_right_and_wrong_and_confidence_are_groups_too():
    table = pd.DataFrame({"right": [True, False], "confidence": [0.3, 0.9995]})
    assert grouped(table, "right", CLASSES).numbers.tolist() == [0, 1]
    groups = grouped(table, "confidence", CLASSES)
    assert [groups.names[number] for number in groups.numbers] == ["below 0.5", "higher"]


def test_a_job_gives_its_result_once_and_its_error_to_who_asks():
    jobs, calls = Jobs(), []
    for _ in range(2):
        job = jobs.get(("sum", 1), "a sum", lambda report: calls.append(report(0.5)) or 3)
        assert job.result() == 3
    assert len(calls) == 1
    assert job.done
    assert "50%" in job.state
    failed = jobs.get(("sum", 2), "a sum", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed.result()
    assert jobs.get(("sum", 2), "a sum", lambda _: 4).result() == 4


def test_a_job_that_is_cancelled_ends_and_can_be_started_again():
    jobs, begun, waits = Jobs(), threading.Event(), threading.Event()

    def work(report) -> None:
        begun.set()
        waits.wait()
        report(0.5)

    first = jobs.get(("map", 1), "a map", work)
    begun.wait()
    second = jobs.get(("map", 2), "a map", lambda _: 2)  # waits for its turn
    assert not second.done
    first.cancel()
    assert first.done
    waits.set()
    with pytest.raises(Cancelled):
        first.result()
    assert second.result() == 2
    second.cancel()  # which is done
    assert jobs.get(("map", 2), "a map", lambda _: 3) is second
    assert jobs.get(("map", 1), "a map", lambda _: 1).result() == 1
