"""A model, trained or exported -> Segmenter: frames in, label maps out.

PyTorch is imported only where a model needs it: exported ones do not.
"""

from dashseg.inference.loading import load
from dashseg.inference.model_directory import save_model
from dashseg.inference.predict import PredictReport, predict_files
from dashseg.inference.segmenter import Result, Segmenter
from dashseg.inference.upsampling import upsample

__all__ = [
    "PredictReport",
    "Result",
    "Segmenter",
    "load",
    "predict_files",
    "save_model",
    "upsample",
]
