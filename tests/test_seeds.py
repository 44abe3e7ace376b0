"""Seed derivation."""

from digits.seeds import as_int, derive


def test_the_same_names_give_the_same_seed():
    assert as_int(derive(7, "member", "small", 0, 3)) == as_int(derive(7, "member", "small", 0, 3))


def test_every_name_counts():
    keys = [("a",), ("b",), ("a", 0), ("a", 1), ("a", 0, 1), ("a", 1, 0)]
    seeds = {as_int(derive(7, *key)) for key in keys} | {as_int(derive(8, "a"))}
    assert len(seeds) == len(keys) + 1


def test_deriving_in_steps_is_deriving_at_once():
    assert as_int(derive(derive(7, "member"), "order", 2)) == as_int(derive(7, "member", "order", 2))
