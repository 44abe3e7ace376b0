"""Train one network: the loop, and its compiled step for each Keras backend. Imports Keras."""

from digits.training.loop import (
    HISTORY,
    OPTIMIZERS,
    PREDICTION_BATCH,
    VIEWS,
    Network,
    Predict,
    Report,
    fit,
    predict_with,
    predictor,
    train,
)

__all__ = [
    "HISTORY",
    "OPTIMIZERS",
    "PREDICTION_BATCH",
    "VIEWS",
    "Network",
    "Predict",
    "Report",
    "fit",
    "predict_with",
    "predictor",
    "train",
]
