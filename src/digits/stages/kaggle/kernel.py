"""Write `kaggle_kernel.py`: the package and its configs in one file that Kaggle runs."""

from __future__ import annotations

import re
from pathlib import Path

import digits
from digits import config
from digits.competition import COMPETITION
from digits.errors import UserError
from digits.files.atomic import replacing

PACKAGE = Path(digits.__file__).parent
GPU_CONFIG, CPU_CONFIG = Path("configs/best.yaml"), Path("configs/default.yaml")
EXCLUDED = (  # what the kernel has no way to reach
    "__main__.py", "ensemble/comparison.py", "training/on_jax.py", "workers/*dask.py", "stages/compare.py",
    "stages/validate.py", "stages/explore/*", "stages/kaggle/*", "stages/predict/*", "stages/tune/*",
)  # fmt: skip
INCLUDED = ("stages/kaggle/__init__.py", "stages/kaggle/on_kaggle.py")  # in spite of that
KINDS = ("*.py", "*.html", "*.js")
HEAD = PACKAGE / "stages/kaggle/kernel_head.py"  # what stands before the sources
QUOTES = "'" * 3
END = """

if __name__ == "__main__":
    main()
"""


def run(config_file: Path | None, out: Path) -> None:
    """Write the kernel of a config; by default of one for a GPU and one for a processor.

    Raises:
        UserError: a config is not valid.
    """
    gpu, cpu = (config_file, config_file) if config_file else (GPU_CONFIG, CPU_CONFIG)
    for path in (gpu, cpu):
        config.load(path)
    with replacing(out) as temporary:
        temporary.write_text(text(gpu, cpu), encoding="utf-8")
    recipes = str(gpu) if gpu == cpu else f"{gpu} for a GPU and {cpu} for a processor"
    print(f"Written: {out} ({out.stat().st_size / 1024:.0f} KiB), of {recipes}")


def text(gpu: Path, cpu: Path) -> str:
    """The kernel's source; the same package and configs give the same text.

    gpu, cpu: config files for a machine with a GPU and for one without.
    """
    configs = {f"{path.stem}.yaml": path.read_text(encoding="utf-8") for path in (gpu, cpu)}
    comments = "\n#\n".join(f"# {name}:\n{_comment(recipe)}" for name, recipe in configs.items())
    marks = {"@COMMAND@": "make kernel" + f" CONFIG={gpu.as_posix()}" * (gpu == cpu), "# @RECIPES@": comments}
    marks |= {"@GPU@": gpu.stem, "@CPU@": cpu.stem, "@TITLE@": COMPETITION.title, "@COMPETITION@": COMPETITION.name}
    head = HEAD.read_text(encoding="utf-8")
    for mark, value in marks.items():
        head = head.replace(mark, value)
    files = {f"digits/{path.relative_to(PACKAGE).as_posix()}": path.read_text(encoding="utf-8") for path in _sources()}
    return head + "".join(_embed(name, source) for name, source in {**configs, **files}.items()) + END


def _sources() -> list[Path]:
    excluded = {path for pattern in EXCLUDED for path in PACKAGE.glob(pattern)} - {PACKAGE / path for path in INCLUDED}
    return sorted({path for kind in KINDS for path in PACKAGE.rglob(kind)} - excluded)


def _comment(recipe: str) -> str:
    """The comment at the head of a config file."""
    return re.match(r"(#.*\n)*", recipe)[0].rstrip("\n") or "# (none)"


def _embed(name: str, source: str) -> str:
    """Embed a file as plain text that can be read and searched."""
    if QUOTES in source or source.endswith("\\"):
        raise UserError(f"{name}: holds three single quotes, or ends with a backslash; write it otherwise")
    return f'\n# {"-" * 100}\nFILES["{name}"] = r{QUOTES}{source}{QUOTES}\n'
