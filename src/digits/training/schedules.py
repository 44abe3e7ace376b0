"""Learning-rate schedules: pure functions of the progress of training.

Nothing is remembered between epochs, the plateau rule replays the watched losses: a resumed run cannot
differ from an undisturbed one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from digits.config import Schedule, Training


def learning_rates(settings: Training, epoch: int, steps: int, watched_losses: np.ndarray) -> np.ndarray:
    """Learning rate of every step of one epoch: float32 (steps,).

    Args:
        settings: the recipe; its optimizer's `learning_rate` is the peak. The clean epochs, the last, have a constant
            rate of their own.
        epoch: from 0.
        steps: in an epoch.
        watched_losses: float (epoch,): of the inner split after each epoch so far.
    """
    schedule, augmented = settings.schedule, settings.epochs - settings.clean_epochs
    if epoch >= augmented:
        return np.full(steps, settings.clean_rate, np.float32)
    progress = (epoch + (np.arange(steps) + 0.5) / steps) / augmented
    factors = SCHEDULES[schedule.name](schedule, progress, epoch, watched_losses)
    rates = np.maximum(settings.optimizer.learning_rate * factors, schedule.minimum)
    return rates.astype(np.float32)


def epochs_without_gain(losses: np.ndarray) -> int:
    """Epochs since the lowest loss."""
    return len(losses) - 1 - int(np.argmin(losses)) if len(losses) else 0


def _one_cycle(schedule: Schedule, progress: np.ndarray, _epoch: int, _losses: np.ndarray) -> np.ndarray:
    """A linear rise, then half a cosine down to zero (L. Smith and N. Topin, arXiv 1708.07120)."""
    rise = progress / max(schedule.warmup, 1e-9)
    fall = (progress - schedule.warmup) / (1 - schedule.warmup)
    return np.where(progress < schedule.warmup, rise, 0.5 * (1 + np.cos(np.pi * np.clip(fall, 0, 1))))


def _cosine(_schedule: Schedule, progress: np.ndarray, _epoch: int, _losses: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.cos(np.pi * progress))


def _exponential(schedule: Schedule, progress: np.ndarray, epoch: int, _losses: np.ndarray) -> np.ndarray:
    return np.full_like(progress, schedule.decay**epoch)


def _steps(schedule: Schedule, progress: np.ndarray, _epoch: int, _losses: np.ndarray) -> np.ndarray:
    """Times `factor` at each milestone."""
    return schedule.factor ** np.searchsorted(np.sort(schedule.milestones), progress, side="right")


def _plateau(schedule: Schedule, progress: np.ndarray, _epoch: int, losses: np.ndarray) -> np.ndarray:
    """Times `factor` whenever `patience` epochs in a row brought no lower loss."""
    cuts, best, waited = 0, np.inf, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited >= schedule.patience:
            cuts, waited = cuts + 1, 0
    return np.full_like(progress, schedule.factor**cuts)


def _constant(_schedule: Schedule, progress: np.ndarray, _epoch: int, _losses: np.ndarray) -> np.ndarray:
    return np.ones_like(progress)


# Each gives the share of the peak at every step, float (steps,).
SCHEDULES: dict[str, Callable[[Schedule, np.ndarray, int, np.ndarray], np.ndarray]] = {
    "one_cycle": _one_cycle,
    "cosine": _cosine,
    "exponential": _exponential,
    "steps": _steps,
    "plateau": _plateau,
    "constant": _constant,
}
