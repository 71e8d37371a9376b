"""The desk: labels in the order worth looking at, edits of several people, a journal of all."""

from dashseg.serving.desk.api import desk_router
from dashseg.serving.desk.desk import Desk
from dashseg.serving.desk.frames import open_frames

__all__ = ["Desk", "desk_router", "open_frames"]
