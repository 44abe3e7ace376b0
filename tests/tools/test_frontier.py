"""Pairing of stored experiments: as if all their losses were there."""

import numpy as np
import pytest

from digits.ensemble import comparison
from frontier import paired, result, table

FACTS = {"macs": 1_000_000, "epochs": 3, "core_minutes": 1.0, "processor": "x", "folds": 2}


@pytest.fixture
def targets() -> np.ndarray:
    return np.arange(400) % 3


def scored(name: str, errors: int, targets: np.ndarray, cost: float):
    """An experiment whose first rows are wrong, some of the others unsure."""
    rows = np.arange(100, 400)
    logits = 12.0 * np.eye(3)[targets[rows]]
    logits[:errors] = np.roll(logits[:errors], 1, axis=1) / 6
    logits[errors : errors + 40] /= 4
    return result(name, "to test", rows, logits, targets, training_macs=cost, **FACTS), logits


def test_a_stored_result_is_paired_as_its_rows_were(targets):
    (a, _), (b, _) = scored("default", 20, targets, 1e9), scored("other", 12, targets, 2e9)
    assert (len(a.wrong), len(b.wrong)) == (20, 12)
    errors, chance, loss = paired(a, b)
    assert errors.value == -8
    assert errors.low < -8 < errors.high < 0
    right = np.arange(300) >= 20, np.arange(300) >= 12
    assert chance == comparison.mcnemar(*right)
    assert loss.value == pytest.approx(b.log_loss - a.log_loss, abs=1e-3)
    assert loss.high < 0


def test_other_rows_are_not_compared(targets):
    a, _ = scored("default", 20, targets, 1e9)
    b = result("fewer", "", np.arange(100, 300), np.eye(3)[targets[100:300]], targets, training_macs=1.0, **FACTS)
    with pytest.raises(ValueError, match="default and fewer were scored on other rows"):
        paired(a, b)


def test_the_table_begins_with_the_cheapest(targets):
    lines = table([scored("other", 12, targets, 2e9)[0], scored("default", 20, targets, 1e9)[0]]).splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == ["default", "other"]
    assert "12 of 300" in lines[3]
    assert "-8 [" in lines[3]
