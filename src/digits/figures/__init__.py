"""Pure functions, arrays in, a matplotlib figure out; one style for all of them."""

from digits.figures.clusters import (
    centroid_sheet,
    cluster_map,
    cluster_matrix,
    cluster_sheet,
    cluster_sizes,
    cluster_sweep,
    controls,
    mean_images,
    neighbour_curve,
    score_table,
    silhouette_plot,
)
from digits.figures.convergence import convergence
from digits.figures.evaluation import confusion_matrix
from digits.figures.history import training_history
from digits.figures.sheets import sheet
from digits.figures.tuning import (
    hyperparameter_importance,
    pairwise_slices,
    parallel_coordinates,
    search_progress,
)

__all__ = [
    "centroid_sheet",
    "cluster_map",
    "cluster_matrix",
    "cluster_sheet",
    "cluster_sizes",
    "cluster_sweep",
    "confusion_matrix",
    "controls",
    "convergence",
    "hyperparameter_importance",
    "mean_images",
    "neighbour_curve",
    "pairwise_slices",
    "parallel_coordinates",
    "score_table",
    "search_progress",
    "sheet",
    "silhouette_plot",
    "training_history",
]
