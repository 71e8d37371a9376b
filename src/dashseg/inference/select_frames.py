"""A model and frames of any number -> those worth labelling next, in memory that does not grow."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from dashseg.config import DataConfig
from dashseg.curate.select import WAYS, Candidate, Pick, Pool, choose
from dashseg.data.dataset import FileDataset
from dashseg.data.frame_names import parse_name
from dashseg.data.sources import find_layout, open_whole
from dashseg.errors import InputError
from dashseg.files import natural_key
from dashseg.images import image_files, is_image_file, read_image, visible_files
from dashseg.inference.predict import expand
from dashseg.inference.segmenter import Segmenter
from dashseg.inference.unsureness import unsureness, with_features
from dashseg.inference.video import is_video_file
from dashseg.inference.video.read import open_clip
from dashseg.labels import Image
from dashseg.outputs import identity

Group = Literal["segment", "drive", "device", "folder"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass
class Selection:
    """The frames that were chosen.

    Args:
        picks: the most useful one first.
        seen: number of frames without labels that were looked at.
        labelled: number of frames that have labels.
        left_out: frames of the inputs that have labels already.
        unreadable: what could not be read, and why.
    """

    picks: list[Pick] = field(default_factory=list)
    seen: int = 0
    labelled: int = 0
    left_out: int = 0
    unreadable: list[str] = field(default_factory=list)


class Source(NamedTuple):
    """An image file or a frame of a video."""

    name: str
    path: Path
    frame: int | None  # its number in a video
    image: Image | Path


class Look(NamedTuple):
    """How frames are looked at.

    Args:
        need_encoder: as `with_features` takes it.
        every: of videos, only each such frame.
        labelled: names of frames to leave out of videos.
    """

    need_encoder: bool
    every: int
    labelled: frozenset[str]


# (how, images by name, videos by name) -> what each frame is like, in order, or why it cannot be
# read; None: it is left out
Looker = Callable[
    [Look, dict[str, Path], dict[str, Path]], Generator[Candidate | InputError | None, None, None]
]


def select_frames(
    segmenter: Segmenter,
    inputs: Sequence[str],
    count: int,
    *,
    by: str = "both",
    group: str | None = None,
    most: int | None = None,
    labelled: str | None = None,
    every: int = 1,
    looker: Looker | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Choose the frames to label next.

    Args:
        inputs: images, videos, folders of both, and glob patterns.
        count: frames to choose.
        by: "uncertainty", "diversity" or "both", as `dashseg.curate.select.choose` has them.
        group: what `most` counts: "segment", "drive" or "device" as names of frames have them (a
            video is one, and so is a folder of other names), or "folder". None: no groups.
        most: frames of a group at most; None, with `group`: twice an equal share.
        labelled: a data set, or a folder of images: frames that have labels.
        every: of videos, only each such frame.
        looker: looks at the frames elsewhere, with the same model; None: here.
        on_progress: called with (frames done, frames in all; 0 where that is not known).

    Raises:
        InputError: an option out of range; no frame found, or none that can be read; an exported
            model with anything but "uncertainty"; test-time augmentation.
    """
    if by not in WAYS:
        raise InputError(f"--by {by}: choose of {', '.join(WAYS)}")
    if group is not None and group not in GROUPS:
        raise InputError(f"--group {group}: choose of {', '.join(GROUPS)}")
    if count < 1 or (most is not None and most < 1):
        raise InputError("--n and --most: 1 or more frames")
    if most is not None and group is None:
        raise InputError("--most counts frames of a --group: name one")
    selection = Selection()
    images, videos = find_frames(inputs, selection.unreadable)
    taken = _labelled_images(labelled) if labelled is not None else {}
    own = {identity(path) for path in taken.values()} - {None}
    left = {n: path for n, path in images.items() if n not in taken and identity(path) not in own}
    selection.left_out = len(images) - len(left)
    total = 0 if videos else len(taken) + len(left)
    numbers = itertools.count(1)

    task = Look(by != "uncertainty", every, frozenset(taken))
    look = looker or partial(look_here, segmenter)

    def fill(pool: Pool, images: dict[str, Path], videos: dict[str, Path]) -> int:
        """Offer every frame to the pool; returns how many there were."""
        with closing(look(task, images, videos)) as outcomes:
            for outcome in outcomes:
                if outcome is None:
                    selection.left_out += 1
                    continue
                if isinstance(outcome, Candidate):
                    pool.offer(outcome)
                else:
                    selection.unreadable.append(str(outcome))
                if on_progress:
                    on_progress(next(numbers), total)
        return pool.offered

    known, pool = Pool(_any), Pool(_any if by == "diversity" else _unsure)
    selection.labelled = fill(known, taken, {})
    selection.seen = fill(pool, left, videos)
    candidates = list(pool)
    if not candidates:
        reason = f": {selection.unreadable[0]}" if selection.unreadable else ""
        raise InputError(f"no frame to choose from{reason}")
    groups = [group_of(candidate, group) for candidate in candidates]
    if group is not None and most is None:
        most = -(-2 * count // len(set(groups)))
    selection.picks = choose(candidates, groups, count, by, list(known), most)
    return selection


def group_of(candidate: Candidate, group: str | None) -> str:
    """The name of a frame's segment, drive, device or folder; "" without groups."""
    folder = str(PurePosixPath(Path(candidate.source).as_posix()).parent)
    if group is None:
        return ""
    if group == "folder":
        return folder
    parsed = parse_name(candidate.name)
    if parsed is None:
        return candidate.source if candidate.frame is not None else folder
    return {"segment": parsed.segment, "drive": parsed.route, "device": parsed.device}[group]


def find_frames(
    inputs: Sequence[str], unreadable: list[str]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Name -> path of every image, in order; and of every video.

    A name is the path below the folder named, without suffix.

    Raises:
        InputError: nothing found; two frames or videos of one name.
    """
    named: dict[str, Path] = {}
    videos: dict[str, Path] = {}
    for entry in inputs:
        folder = Path(entry)
        if folder.is_dir():
            paths = [
                path
                for path in visible_files(folder, unreadable)
                if is_image_file(path) or is_video_file(path)
            ]
            paths.sort(key=lambda path: natural_key(path.as_posix()))
            if not paths:
                raise InputError(f"{entry}: no images and no videos in this folder")
            names = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
        else:
            paths = expand(entry)
            names = [path.stem for path in paths]
        for name, path in zip(names, paths, strict=True):
            known = videos if is_video_file(path) else named
            if known.setdefault(name, path) != path:
                raise InputError(
                    f"{path} and {known[name]} have the same name, {name}: name the folder that"
                    " both are in, or choose from them one after the other"
                )
    return named, videos


def _any(candidate: Candidate) -> float:
    return 0.0


def _unsure(candidate: Candidate) -> float:
    return candidate.score


def _labelled_images(root: str) -> dict[str, Path]:
    """Name -> image of a data set's frames, or of a folder of images."""
    if not Path(root).is_dir():
        raise InputError(f"{root}: no such folder")
    try:
        find_layout(root)
    except InputError:  # no layout of a data set
        found = image_files(Path(root))
        if not found:
            raise InputError(f"{root}: no images in this folder") from None
        return {path.relative_to(root).with_suffix("").as_posix(): path for path in found}
    frames, _ = open_whole(DataConfig(root=root))
    if not isinstance(frames, FileDataset):
        raise InputError(f"{root}: name the folder of the frames' files")
    return {frame.name: frame.image for frame in frames.frames}


def _files(images: dict[str, Path]) -> Iterator[Source]:
    return (Source(name, path, None, path) for name, path in images.items())


def _clips(videos: Mapping[str, Path], every: int, unreadable: list[str]) -> Iterator[Source]:
    """The frames of each video; one that cannot be read is reported, and the others follow.

    A frame is called VIDEO_NUMBER, VIDEO being the name of the video.
    """
    for name, path in videos.items():
        try:
            clip = open_clip(path, every=every)
            with closing(clip):
                for frame in clip.frames():
                    number = int(frame.name.rpartition("_")[2])
                    own = PurePosixPath(name).with_name(frame.name).as_posix()
                    yield Source(own, path, number, frame.image)
                if clip.broken:
                    unreadable.append(f"{clip.broken} frames of {path} that could not be decoded")
        except InputError as error:
            unreadable.append(str(error))


def look_here(
    segmenter: Segmenter, task: Look, images: dict[str, Path], videos: dict[str, Path]
) -> Generator[Candidate | InputError | None, None, None]:
    """A `Looker`, of this process."""
    waiting: deque[Source] = deque()  # read ahead of the network: a few frames
    aside: deque[InputError | None] = deque()  # of frames that the network does not see

    def feed() -> Iterator[Image | Path]:
        unreadable = list[str]()
        for source in itertools.chain(_files(images), _clips(videos, task.every, unreadable)):
            if source.frame is not None and source.name in task.labelled:
                aside.append(None)
                continue
            waiting.append(source._replace(image=source.path))
            yield source.image
        aside.extend(map(InputError, unreadable))

    with closing(with_features(segmenter, feed(), task.need_encoder)) as outcomes:
        for outcome in outcomes:
            source = waiting.popleft()
            if isinstance(outcome, InputError):
                yield outcome
                continue
            found = unsureness(outcome.result)
            about = source.name, str(source.path), source.frame
            yield Candidate(*about, found.mean, found.worst, found.box, outcome.feature)
    yield from aside


def read_picks(picks: Iterable[Pick]) -> Iterator[tuple[int, Image | InputError]]:
    """(index of the pick, its frame again), each video decoded once; in no order.

    A frame that can no longer be read is its error.
    """
    of_videos: dict[str, dict[int, int]] = {}
    for index, pick in enumerate(picks):
        candidate = pick.candidate
        if candidate.frame is not None:
            of_videos.setdefault(candidate.source, {})[candidate.frame] = index
            continue
        try:
            yield index, read_image(Path(candidate.source))
        except InputError as error:
            yield index, error
    for video, wanted in of_videos.items():
        unreadable: list[str] = []
        for source in _clips({Path(video).stem: Path(video)}, 1, unreadable):
            if source.frame in wanted and not isinstance(source.image, Path):
                yield wanted.pop(source.frame), source.image
            if not wanted:
                break
        reason = unreadable[0] if unreadable else f"{video}: the file has changed"
        for index in wanted.values():
            yield index, InputError(reason)


def show(segmenter: Segmenter, image: Image) -> tuple[Image, NDArray[np.float32]]:
    """The overlay of a frame, and how unsure the model is of each part: float32 (h, w), 0 to 1."""
    result = segmenter(image)
    return np.asarray(result.overlay()), unsureness(result).map
