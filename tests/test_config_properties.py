"""Any config file, override and space is taken as it stands or refused in a line: no traceback, no hang."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from digits import config
from digits.config import Config
from digits.errors import LONGEST, UserError
from digits.stages.tune import space

KEYS = config.known_keys()
BILLION = "a: &a0 [x, x]\nb:\n" + "".join(f"- &a{n + 1} [*a{n}, *a{n}]\n" for n in range(60)) + "seed: *a60\n"
TAGS = "int float bool null map seq set omap pairs str timestamp binary python/name:os.system"
SIGNS = "{ } [ ] ' \" | > # --- ... 1 -1 0 0.5 true null ~ .nan .inf 1e9999 1e400 0o9 08 0b2 1:99 1_0"
FRAGMENTS = [
    *KEYS,
    *(f"!!{tag} " for tag in TAGS.split()),
    *("!!python/object/apply:os.system ", "!x ", "!<", "%YAML 9", "&a ", "*a", "<<: ", "? ", "- ", ": ", ", "),
    *SIGNS.split(),
    *("9" * 5000, "0x" + "f" * 5000, "2001-99-99", "2001-12-14t21:59:43.10-05:00", "x", "é"),
    *("\n", "\n  ", "\0", "\x85", "\ud800"),
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.datetimes(), st.binary(),
    st.integers(0, 4000).map(lambda zeros: 10**zeros), st.sampled_from(["mlp", "small", "sgd", "one_cycle"]),
)  # fmt: skip
keys = st.one_of(st.sampled_from(KEYS).map(lambda key: key.rpartition(".")[2]), st.text(max_size=4), st.integers())
values = st.recursive(
    leaves, lambda of: st.one_of(st.lists(of, max_size=3), st.dictionaries(keys, of, max_size=3)), max_leaves=8
)


def loaded(folder: Path, content: str | bytes, overrides: list[str] | None = None) -> Config | None:
    """The config of a file, which stands for itself; None where it was refused in a line."""
    path = folder / "some.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    try:
        found = config.load(path, overrides)
    except UserError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 3 * LONGEST + len(str(path))
        return None
    again = config.parse(json.loads(json.dumps(found.model_dump(mode="json"))), "of itself")  # as run.json does
    assert again == found
    return found


@given(content=st.one_of(st.binary(), texts))
@example(content="seed: " + "9" * 5000)
@example(content="seed: 0x" + "f" * 5000)
@example(content="seed: 2001-99-99")
@example(content="!!map abc")
@example(content="!!int ''")
@example(content="!!bool x")
@example(content=BILLION)
@example(content="seed: &a [*a]")
@example(content="&a {training: *a}")
@example(content="!!python/object/apply:os.system [touch pwned]")
@example(content="[" * 50_000)
@example(content="seed: " + "[" * 150 + "]" * 150)
@example(content="seed: 1\n" * 20_000)
@example(content="x: " + "y" * 90_000)
@example(content="#" * 200_000)
def test_any_file_is_a_config_or_refused(tmp_path, content):
    loaded(tmp_path, content)


@given(key=st.sampled_from(KEYS), value=values)
@example(key="seeds", value=10**9)
@example(key="folds.count", value=10**9)
@example(key="tune.hours", value=1e308)
def test_any_value_is_taken_as_it_stands_or_refused(tmp_path, key, value):
    nested = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    found = loaded(tmp_path, yaml.safe_dump(nested, allow_unicode=True))
    if found is not None and not isinstance(value, dict | list | str):
        assert config.value_at(found.model_dump(), key) == value


@given(override=st.one_of(st.text(), st.tuples(st.sampled_from(KEYS), texts).map("=".join), texts.map("seed=".__add__)))
@example(override="training.epochs=!!int ''")
@example(override=".".join(["architectures.0.options"] + ["a"] * 5000) + "=1")
@example(override="architectures.0.options.x=" + "[" * 200 + "]" * 200)
@example(override="seed=" + BILLION)
def test_any_override_is_taken_or_refused(tmp_path, override):
    loaded(tmp_path, "", [override])


@given(
    epochs=st.integers(1, 100_000),
    ema=st.floats(0, 1, exclude_max=True),
    rule=st.sampled_from(["mean", "logits", "vote"]),
    nets=st.lists(st.sampled_from(["mlp", "small", "default"]), min_size=1, unique=True),
)
def test_what_is_valid_is_read_as_written(tmp_path, epochs, ema, rule, nets):
    written = {"training": {"epochs": epochs, "ema": ema}, "ensemble": {"rule": rule}, "architectures": nets}
    found = loaded(tmp_path, yaml.safe_dump(written))
    assert (found.training.epochs, found.training.ema, found.ensemble.rule) == (epochs, ema, rule)
    assert [architecture.net for architecture in found.architectures] == nets


ranges = st.one_of(
    values,
    st.fixed_dictionaries(
        {},
        optional={
            "choice": st.lists(values, max_size=3),
            "int": st.lists(st.one_of(st.integers(), leaves), max_size=3),
            "float": st.lists(st.one_of(st.floats(), st.integers(), leaves), max_size=3),
            "step": leaves,
            "log": leaves,
        },
    ),
)


@given(
    content=st.one_of(
        values,
        st.fixed_dictionaries(
            {"search": st.dictionaries(st.one_of(st.sampled_from(KEYS), keys), ranges, min_size=1, max_size=3)},
            optional={"set": values},
        ),
    )
)
@example(content={1: 2, "x": 3})
@example(content={"search": {1: {"choice": [1, 2]}}})
@example(content={"search": {"training.epochs": {"choice": [b"1", 2]}}})
@example(content={"search": {"training.ema": {"float": [0, 0.5], "step": 1e-300}}})
@example(content={"search": {"augmentation.rotation": {"float": [0, 10**400]}}})
@example(content={"search": {"augmentation.rotation": {"int": [0, 10**400], "step": 0.5}}})
def test_any_space_is_a_space_or_refused(tmp_path, content):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        found = space.load(path, Config(), [])
    except UserError as error:
        assert "\n" not in str(error)
        return
    found.own_values()
    assert yaml.safe_load(yaml.safe_dump(found.record())) == found.record()


def test_an_endless_file_is_refused_after_its_beginning():
    with pytest.raises(UserError, match="is no config but a file of more than"):
        config.load(Path("/dev/zero"))
