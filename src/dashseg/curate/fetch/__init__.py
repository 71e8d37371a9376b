"""Fetch comma10k's git repository, without history, into a folder of frames and masks.

DIR/imgs/ DIR/masks/ …       the parts asked for, and the files at the repository's root
DIR/.git/                    a shallow, partial, sparse clone; dashseg-fetch.json is its record
"""

from dashseg.curate.fetch.transfer import COMMA10K_URL, Fetched, PartFiles, fetch

__all__ = ["COMMA10K_URL", "Fetched", "PartFiles", "fetch"]
