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
from digits.figures.eda import (
    augmentation_sheet,
    blank_map,
    class_images,
    closest_pairs,
    digit_samples,
    ink_and_slant,
    intensity_histograms,
    label_distribution,
    two_sample_test,
)
from digits.figures.evaluation import (
    agreement_matrix,
    confidence_histogram,
    confusion_matrix,
    coverage_curve,
    digit_scores,
    reliability_diagram,
    rescued_bars,
)
from digits.figures.history import fold_histories, training_history
from digits.figures.predictions import Panel, prediction_sheet
from digits.figures.sheets import save_grey, sheet
from digits.figures.tuning import (
    hyperparameter_importance,
    pairwise_slices,
    parallel_coordinates,
    search_progress,
)

__all__ = [
    "Panel",
    "agreement_matrix",
    "augmentation_sheet",
    "blank_map",
    "centroid_sheet",
    "class_images",
    "closest_pairs",
    "cluster_map",
    "cluster_matrix",
    "cluster_sheet",
    "cluster_sizes",
    "cluster_sweep",
    "confidence_histogram",
    "confusion_matrix",
    "controls",
    "convergence",
    "coverage_curve",
    "digit_samples",
    "digit_scores",
    "fold_histories",
    "hyperparameter_importance",
    "ink_and_slant",
    "intensity_histograms",
    "label_distribution",
    "mean_images",
    "neighbour_curve",
    "pairwise_slices",
    "parallel_coordinates",
    "prediction_sheet",
    "reliability_diagram",
    "rescued_bars",
    "save_grey",
    "score_table",
    "search_progress",
    "sheet",
    "silhouette_plot",
    "training_history",
    "two_sample_test",
]
