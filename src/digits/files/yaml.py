"""YAML that others wrote, with limits: no aliases, no deep nesting, no key twice."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NoReturn

import yaml

from digits.errors import shown

DEEPEST = 20  # groups of values inside each other


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 as a number.

    Nine short lines of aliases can stand for a billion values, so an alias is refused.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            self._refuse("an alias stands here; write the value out")
        if self.depth > DEEPEST:
            self._refuse(f"nested more than {DEEPEST} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, message: str) -> NoReturn:
        raise yaml.composer.ComposerError(None, None, message, self.peek_event().start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(self.construct_object(key) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, times in keys.items():
            if times > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def parse(text: str) -> Any:
    """Value of a YAML text.

    Raises:
        ValueError: it is not valid YAML; says why in one line.
    """
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except Exception as error:  # its own errors, and those of int(), datetime() and others
        raise ValueError(shown(str(error)) or type(error).__name__) from None
    finally:
        if loader:
            loader.dispose()
