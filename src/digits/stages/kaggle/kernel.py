"""Write `kaggle_kernel.py`: the package and a config in one file that Kaggle runs."""

from __future__ import annotations

import re
from pathlib import Path

import digits
from digits import config
from digits.errors import UserError
from digits.files.atomic import replacing

PACKAGE = Path(digits.__file__).parent
LEFT_OUT = (  # what the kernel has no way to reach
    "__main__.py", "workers/dask.py", "training/on_jax.py", "stages/compare.py", "stages/validate.py",
    "stages/explore/*", "stages/kaggle/*", "stages/predict/*", "stages/tune/*",
)  # fmt: skip
NEEDED = ("stages/kaggle/__init__.py", "stages/kaggle/on_kaggle.py")  # of what is left out
KINDS = ("*.py", "*.html")
HEAD = PACKAGE / "stages/kaggle/kernel_head.py"  # what stands before the sources
QUOTES = "'" * 3
END = """

if __name__ == "__main__":
    main()
"""


def run(config_file: Path, out: Path) -> None:
    """Write the kernel of a config.

    Raises:
        UserError: the config is not valid.
    """
    config.load(config_file)
    with replacing(out) as temporary:
        temporary.write_text(text(config_file), encoding="utf-8")
    print(f"Written: {out} ({out.stat().st_size / 1024:.0f} KiB), of {config_file}")


def text(config_file: Path) -> str:
    """The kernel's source; the same package and config give the same text."""
    recipe = config_file.read_text(encoding="utf-8")
    head = (
        HEAD.read_text(encoding="utf-8").replace("@CONFIG@", config_file.as_posix()).replace("@NAME@", config_file.stem)
    )
    head = head.replace("# @RECIPE@", _comment(recipe))
    left_out = {path for pattern in LEFT_OUT for path in PACKAGE.glob(pattern)} - {PACKAGE / path for path in NEEDED}
    sources = sorted(path for kind in KINDS for path in PACKAGE.rglob(kind) if path not in left_out)
    files = {f"digits/{path.relative_to(PACKAGE).as_posix()}": path.read_text(encoding="utf-8") for path in sources}
    return head + "".join(map(_embed, ["config.yaml", *files], [recipe, *files.values()])) + END


def _comment(recipe: str) -> str:
    """The comment at the head of a config file."""
    return re.match(r"(#.*\n)*", recipe)[0].rstrip("\n") or "# (none)"


def _embed(name: str, source: str) -> str:
    """A file as plain text that can be read and searched.

    Raises:
        UserError: it cannot stand in a raw string as it is.
    """
    if QUOTES in source or source.endswith("\\"):
        raise UserError(f"{name}: holds three single quotes, or ends with a backslash; write it otherwise")
    return f'\n# {"-" * 100}\nFILES["{name}"] = r{QUOTES}{source}{QUOTES}\n'
