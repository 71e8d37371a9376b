"""A model directory -> Segmenter: frames in, label maps out."""

from dashseg.inference.loading import load
from dashseg.inference.model_directory import save_model
from dashseg.inference.predict import PredictReport, predict_files
from dashseg.inference.segmenter import Result, Segmenter, upsample

__all__ = [
    "PredictReport",
    "Result",
    "Segmenter",
    "load",
    "predict_files",
    "save_model",
    "upsample",
]
