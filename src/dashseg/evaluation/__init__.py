"""Segmenter + labelled frames -> metrics.json, per_image.csv and a report."""

from dashseg.evaluation.folder import default_folder, is_evaluated
from dashseg.evaluation.measure import evaluate
from dashseg.evaluation.metrics import ConfusionMatrix, iou_per_class, mean_iou, pixel_accuracy
from dashseg.evaluation.results import Metrics

__all__ = [
    "ConfusionMatrix",
    "Metrics",
    "default_folder",
    "evaluate",
    "iou_per_class",
    "is_evaluated",
    "mean_iou",
    "pixel_accuracy",
]
