"""Frames and labels decoded once and for all, as uint8 arrays in memory-mapped files."""

from dashseg.data.pack.dataset import PackDataset
from dashseg.data.pack.format import is_pack

__all__ = ["PackDataset", "is_pack"]
