"""Packs: decoded frames and labels in memory-mapped uint8 arrays."""

from dashseg.data.pack.dataset import PackDataset
from dashseg.data.pack.format import is_pack

__all__ = ["PackDataset", "is_pack"]
