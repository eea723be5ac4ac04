"""How good are the predictions? Counts, rankings, calibration, pictures; how far a measured number can be trusted."""

from nnlab_helpers.metrics.calibration import (
    CalibrationTable,
    calibration_table,
    expected_calibration_error,
    fit_temperature,
)
from nnlab_helpers.metrics.counts import accuracy, classification_report, confusion_matrix
from nnlab_helpers.metrics.images import psnr, ssim
from nnlab_helpers.metrics.ranking import (
    PrecisionRecallCurve,
    RocCurve,
    auroc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)
from nnlab_helpers.metrics.uncertainty import PairedDifference, mcnemar_test, paired_difference, wilson_interval

__all__ = [
    "CalibrationTable",
    "PairedDifference",
    "PrecisionRecallCurve",
    "RocCurve",
    "accuracy",
    "auroc",
    "average_precision",
    "calibration_table",
    "classification_report",
    "confusion_matrix",
    "expected_calibration_error",
    "fit_temperature",
    "mcnemar_test",
    "paired_difference",
    "precision_recall_curve",
    "psnr",
    "roc_curve",
    "ssim",
    "wilson_interval",
]
