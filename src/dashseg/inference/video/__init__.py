"""Video in, segmented video out, by PyAV: `segment_video`."""

from dashseg.inference.video.read import VIDEO_SUFFIXES, is_video_file
from dashseg.inference.video.segment import VideoReport, segment_video

__all__ = ["VIDEO_SUFFIXES", "VideoReport", "is_video_file", "segment_video"]
