"""The best objective that each tuner finds on the demo set in as many trials, over several seeds.

    .venv/bin/python tests/tools/compare_tuners.py output/tuners        # 20 searches of 15 trials

With one seed, both tuners search on the same folds, train from the same weights and begin with the same trial, so that
they differ by what they propose. The objective is the log loss of the best trial; lower is better.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from digits import config, data
from digits.stages.tune import space, stage
from digits.stages.tune.search import Search

SPACE = Path("configs/spaces/demo.yaml")
SEEDS, TRIALS = 10, 15
TUNERS = ("random", "bayesian")
RECIPE = ["architectures=[mlp]", "training.epochs=4", f"tune.trials={TRIALS}"]


def main(output: Path) -> None:
    source = data.find(data.DEMO)
    dataset = data.read(source, output / "cache")
    best = {tuner: [search(output, dataset, tuner, seed) for seed in range(SEEDS)] for tuner in TUNERS}
    for tuner, losses in best.items():
        print(
            f"{tuner}: {np.mean(losses):.4f} ± {np.std(losses, ddof=1):.4f} over {SEEDS} seeds, {np.round(losses, 4)}"
        )
    test = wilcoxon(best["bayesian"], best["random"])
    wins = sum(a < b for a, b in zip(best["bayesian"], best["random"], strict=True))
    print(f"bayesian is better with {wins} of {SEEDS} seeds, p = {test.pvalue:.3f} (Wilcoxon's signed-rank test)")


def search(output: Path, dataset: data.Dataset, tuner: str, seed: int) -> float:
    """The best log loss of one search; one that ended before is not run again."""
    folder = output / "tune" / f"{tuner}-{seed}"
    searched = space.load(SPACE, config.load("configs/demo.yaml"), [*RECIPE, f"tune.tuner={tuner}", f"seed={seed}"])
    stage.run(Search(searched, SPACE, dataset, folder))
    return float(pd.read_csv(folder / "leaderboard.csv")["log_loss"][0])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
