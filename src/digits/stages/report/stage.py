"""Write all that is known about a run into one page that needs nothing else, and most of it into a model card."""

from __future__ import annotations

from pathlib import Path

from digits.errors import UserError, shown
from digits.files.atomic import replacing
from digits.runs import Run
from digits.stages.report import model_card, page, sections
from digits.stages.report.inputs import is_evaluated


def run(run: Run, eda: Path, searches: Path) -> Path:
    """Write `report.html` and `MODEL_CARD.md` of a run that was evaluated.

    What other stages found is shown where it is there.

    Args:
        run: finished and evaluated.
        eda: folder of what `make eda` wrote for these data.
        searches: folder of all searches.

    Returns:
        The page.

    Raises:
        UserError: the run was not evaluated, or something of it is damaged.
    """
    if not is_evaluated(run):
        name = run.folder.name
        raise UserError(f"run {run.folder} has not been evaluated as it is; do that: make evaluate RUN={name}")
    try:
        text = page.render(run, sections.sections(run, eda, searches))
        card = model_card.of_run(run)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(
            f"run {run.folder}: its records, or those of a search on its rows, are damaged or of another version "
            f"({shown(f'{type(error).__name__}: {error}')}); make them anew: make evaluate RUN={run.folder.name}, make "
            "cluster, make eda, make tune"
        ) from error
    report = run.folder / "report.html"
    for path, content in ((run.folder / "MODEL_CARD.md", card), (report, text)):
        with replacing(path) as temporary:
            temporary.write_text(content, encoding="utf-8", errors="replace")
        print(f"Written: {path} ({path.stat().st_size / 1e3:,.0f} kB)")
    return report
