"""The best objective that each tuner finds on the demo set in as many trials, over several seeds.

    .venv/bin/python tests/tools/compare_tuners.py output/tuners        # 20 searches of 15 trials

With one seed, both tuners search on the same folds, train from the same weights and begin with the same trial, so that
they differ by what they propose. The objective is the log loss of the best trial; lower is better.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

SEEDS, TRIALS = 10, 15
TUNERS = ("random", "bayesian")
RECIPE = ("architectures=[mlp]", "training.epochs=4")


def main(output: Path) -> None:
    best = {tuner: [search(output, tuner, seed) for seed in range(SEEDS)] for tuner in TUNERS}
    for tuner, losses in best.items():
        print(
            f"{tuner}: {np.mean(losses):.4f} ± {np.std(losses, ddof=1):.4f} over {SEEDS} seeds, {np.round(losses, 4)}"
        )
    test = wilcoxon(best["bayesian"], best["random"])
    wins = sum(a < b for a, b in zip(best["bayesian"], best["random"], strict=True))
    print(f"bayesian is better with {wins} of {SEEDS} seeds, p = {test.pvalue:.3f} (Wilcoxon's signed-rank test)")


def search(output: Path, tuner: str, seed: int) -> float:
    """The best log loss of one search; one that ended before is not run again."""
    name = f"{tuner}-{seed}"
    command = [sys.executable, "-m", "digits", "tune", "--data", "demo", "--output", output, "--run", name]
    command += ["--trials", str(TRIALS), "--workers", "1"]
    command += [f"--set={setting}" for setting in (*RECIPE, f"tune.tuner={tuner}", f"seed={seed}")]
    subprocess.run(command, check=True)
    return float(pd.read_csv(output / "tune" / name / "leaderboard.csv")["log_loss"][0])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
