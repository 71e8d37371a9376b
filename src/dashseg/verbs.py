"""The verbs as functions: what `dashseg VERB` does, for notebooks and programs.

The command line calls these. PyTorch and the like are imported when a function needs them.
"""

from __future__ import annotations

import base64
import html
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashseg.errors import InputError

if TYPE_CHECKING:
    from dashseg.config import DataConfig, Recipe
    from dashseg.data import Dataset
    from dashseg.evaluation import Metrics
    from dashseg.hub.push import Pushed
    from dashseg.inference import Segmenter

Progress = Callable[[int, int], None]


@dataclass(frozen=True, repr=False)
class Run:
    """A trained run. A notebook shows its path, its training curves and its metrics.

    path: the run directory. metrics: those of this call's evaluation; None: it did not evaluate.
    """

    path: Path
    metrics: Metrics | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.metrics or 'not evaluated'})"

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        from dashseg.run_directory import RunDirectory

        curves = RunDirectory(self.path).curves
        parts = [f"<p>run: <code>{html.escape(str(self.path))}</code></p>"]
        if curves.is_file():
            picture = base64.b64encode(curves.read_bytes()).decode()
            parts.append(f'<img alt="training curves" src="data:image/png;base64,{picture}">')
        if self.metrics is not None:
            parts.append(self.metrics._repr_html_())
        return "".join(parts)


def train(
    recipe: str | Path | Recipe,
    *,
    data: str | Path | None = None,
    dataset: str | None = None,
    split: str | Path | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    device: str = "auto",
) -> Run:
    """Train a model by a recipe, then evaluate it on the held-out frames.

    Args:
        recipe: the name of a shipped recipe, the path of a .yaml file, or a `Recipe`.
        data: a folder of frames and masks, or "synthetic:N[:SEED]"; None: the recipe's.
        dataset: the folder's layout ("comma10k", …); None: recognised.
        split: a split file; None: the data set's own rule.
        overrides: changes to the recipe, such as "training.epochs=80".
        name: of the run; None: the recipe's.
        runs: the folder that holds runs.
        device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1".

    Raises:
        InputError: recipe, data or device cannot be used; the run exists; a loss that is not
            finite.
        Interrupted: by Ctrl-C, once there is a run directory; `resume` continues.

    >>> import dashseg
    >>> small = ["training.epochs=1", "model.input.size=[64, 96]"]
    >>> run = dashseg.train("demo", data="synthetic:10:1", overrides=small, name="mine")
    training frames: ...
    >>> run
    Run('runs/mine', Metrics(mIoU ..., cross-entropy ..., 1 frames of synthetic:10:1, val))
    """
    from dashseg.training.run import train_run

    chosen = chosen_recipe(recipe, data=data, dataset=dataset, split=split, overrides=overrides)
    if name is None:
        if not isinstance(recipe, str | Path):
            raise InputError("a Recipe has no name: name the run")
        name = Path(recipe).stem
    root, metrics = Path(runs) / name, None

    def then() -> None:
        nonlocal metrics
        metrics = _evaluate_run(root, (), device)

    train_run(chosen, root, sys.argv, device=device, then=then)
    return Run(root, metrics)


def resume(run: str | Path | Run, *, overrides: Sequence[str] = (), device: str = "auto") -> Run:
    """Resume a stopped run from its last checkpoint, or in its evaluation.

    The final weights are those of a run without the stop: bit for bit on a CPU.

    Args:
        run: the run directory.
        overrides: changes to the run's recipe, such as "training.epochs=80".
        device: as `train` takes it.

    Raises:
        Finished: the run is trained and evaluated.
        InputError: not a run; another process trains it; settings that cannot change on resume.
        Interrupted: by Ctrl-C.

    >>> import dashseg
    >>> run = dashseg.resume("runs/mine", overrides=["training.epochs=2"])
    resuming runs/mine after epoch 1...
    """
    from dashseg.run_directory import RunDirectory
    from dashseg.training.failures import Finished
    from dashseg.training.processes import launched
    from dashseg.training.run import resume_run

    root, metrics = Path(run), None

    def then() -> None:
        nonlocal metrics
        metrics = _evaluate_run(root, overrides, device)

    try:
        resume_run(root, overrides, device=device, then=then)
    except Finished:
        if launched().first:
            with RunDirectory(root).held():
                if _is_evaluated(root, overrides):
                    raise
                then()
    return Run(root, metrics)


def evaluate(
    model: str | Path | Run | Segmenter,
    *,
    data: str | Path | Dataset,
    dataset: str | None = None,
    split: str = "val",
    out: str | Path | None = None,
    tta: Sequence[str] | None = None,
    examples: int | None = None,
    overrides: Sequence[str] = (),
    classes: str | Path | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    batch_size: int | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    on_progress: Progress | None = None,
) -> Metrics:
    """Measure a model on labelled frames.

    Args:
        model: what `load` takes, a `Run`, or a `Segmenter`, which is used as it is.
        data: a folder of frames and masks, "synthetic:N[:SEED]", or an open data set, which is
            used as it is.
        dataset: the folder's layout; None: recognised.
        split: "val", "train", "all", or a split file (its "val" side).
        out: the folder for metrics.json, per_image.csv and report/index.html. None: a run's own
            evaluation/; for a model without a run, nothing is written.
        tta: test-time augmentation: "flip", "multiscale" or both; None: as the run's recipe says.
        examples: best and worst frames in the report; None: as the run's recipe says.
        overrides: how to read the data, such as "data.parts=[imgs2]".
        classes, device: as `load` takes them.
        skip_broken: leave out frames that cannot be read; `Metrics.data["unreadable"]` says why.
        batch_size: frames that the network gets at once; None: 1 on a CPU, 8 on a GPU.
        workers: threads that read, compute and score; None: by the cores. With `cluster`: cores of
            each actor.
        cluster: "auto" or HOST:PORT of a Ray cluster whose machines score the frames; they see
            `data` under the same name.
        on_progress: called with (frames done, frames in all).

    Raises:
        InputError: model, data, `out` or `cluster` cannot be used; model and data have different
            classes.

    >>> import dashseg
    >>> metrics = dashseg.evaluate("small", data="synthetic:10:1", out="scores")
    >>> 0 < metrics.miou < 1, metrics.iou["road"] > 0.5, metrics.ce["native"] < 2
    (True, True, True)
    """
    from dashseg.data import open_dataset
    from dashseg.evaluation import default_folder
    from dashseg.evaluation import evaluate as measure
    from dashseg.inference import Segmenter, load
    from dashseg.inference.pipeline import Pace

    pace, scorer = Pace(batch_size, workers), None
    if isinstance(model, Segmenter):
        if tta is not None or classes is not None:
            raise InputError("a Segmenter has its own tta and classes: give them to load")
        if cluster is not None:
            raise InputError("machines of a cluster load the model themselves: name its files")
        segmenter, recipe = model, _recipe_of(model.run, overrides)
    else:
        recipe = _recipe_of(_run_of(model), overrides)
        ways = recipe.evaluation.tta if tta is None else tta
        if cluster is not None:
            from dashseg.scale import require_packages

            require_packages()
            from dashseg.scale.evaluate import scorer as scorer_on

            scorer = scorer_on(
                _name(model), cluster, tta=ways, classes=classes, device=device,
                batch_size=batch_size, cores=workers,
            )  # fmt: skip
            device = "cpu"  # here it is only looked at
        segmenter = load(
            _name(model), device=device, tta=ways, classes=classes, many=pace.one_by_one
        )
    if isinstance(data, str | Path):
        frames = open_dataset(_pointed_at(recipe, str(data), dataset), split)
    else:
        frames = data
    if out is None and segmenter.run is not None:
        out = default_folder(segmenter.run, frames, segmenter.tta)
    return measure(
        segmenter,
        frames,
        None if out is None else Path(out),
        examples=recipe.evaluation.examples if examples is None else examples,
        skip_broken=skip_broken,
        pace=pace,
        scorer=scorer,
        on_progress=on_progress,
    )


def load(
    model: str | Path | Run,
    *,
    device: str = "auto",
    tta: Sequence[str] = (),
    classes: str | Path | None = None,
    many: bool = False,
    half: bool = False,
) -> Segmenter:
    """Load a model: frames in, labels out.

    Args:
        model: a run, a model directory, "small" (comes with dashseg), a hub id "owner/name" or
            "owner/name@revision", an exported folder, or the .onnx or .xml in it.
        device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        tta: test-time augmentation: "flip", "multiscale" or both.
        classes: palette.yaml with the classes of an ONNX file that dashseg did not export.
        many: for `Segmenter.many`: exported models then compute several frames at once on a CPU.
            One frame alone takes longer.
        half: on an NVIDIA GPU, compute a trained model in float16 if that keeps 99.9 % of the label
            of the first frames.

    Raises:
        InputError: nothing there, not a model, damaged, or no such device.

    >>> import dashseg
    >>> segment = dashseg.load("small")
    >>> frame = dashseg.open_dataset("synthetic:10:1")[0].image  # or a path, or a PIL image
    >>> segment(frame).label.shape == frame.shape[:2]  # uint8 class ids, at the frame's own size
    True
    """
    from dashseg.inference import load as load_segmenter

    return load_segmenter(
        _name(model), device=device, tta=tta, classes=classes, many=many, half=half
    )


def push(
    model: str | Path | Run,
    repository: str,
    *,
    license: str | None = None,
    private: bool = False,
    revision: str | None = None,
    exports: Sequence[str | Path] = (),
    metrics: Sequence[str | Path] = (),
    bench: str | Path | None = None,
    non_commercial: bool = False,
    new_card: bool = False,
    dry_run: str | Path | None = None,
) -> Pushed:
    """Publish a model on the Hugging Face hub: weights, config, card and exports in one commit.

    Args:
        model: a run, a model directory, or "small".
        repository: "owner/name"; created if needed. `load` takes the same name.
        license: of the model, by the hub's name: "mit", "apache-2.0", "other", …
        private: only you see it; an error if the repository is public already.
        revision: branch, created if needed; None: main.
        exports: folders of `dashseg export` to add.
        metrics: metrics.json files for the card, besides those in the run.
        bench: a file with what `dashseg bench MODEL --json` printed, for the card.
        non_commercial: publish a model although its training data is for non-commercial use
            only; `license` must then say so, or be "other".
        new_card: write a card although the model directory has a README.md; else that is kept.
        dry_run: a new folder that gets what would be pushed; nothing is sent.

    Raises:
        InputError: not a model, no licence, training data that forbids it, no token, or the hub
            refuses or cannot be reached. The repository's files are then as they were.

    >>> import dashseg
    >>> pushed = dashseg.push("small", "me/roads", license="mit", dry_run="looked-at")
    >>> pushed.files
    ('README.md', 'config.json', 'model.safetensors')
    """
    from dashseg.hub.push import Options, write_dry_run
    from dashseg.hub.push import push as upload
    from dashseg.hub_client import HubName

    name = HubName(repository, revision)
    options = Options(
        license,
        private,
        [Path(folder) for folder in exports],
        [Path(file) for file in metrics],
        None if bench is None else Path(bench),
        non_commercial,
        new_card,
    )
    if dry_run is not None:
        return write_dry_run(_name(model), name, options, Path(dry_run))
    return upload(_name(model), name, options)


def open_dataset(
    path: str | Path,
    split: str = "train",
    *,
    dataset: str | None = None,
    overrides: Sequence[str] = (),
) -> Dataset:
    """Open a data set: a sequence of (image, label, name) with `classes` and `names`.

    Args:
        path: a folder of frames and masks, a pack, or "synthetic:N[:SEED]" for drawn scenes.
        split: "train", "val", "all", or a split file (its "val" side).
        dataset: the folder's layout ("comma10k", …); None: recognised.
        overrides: how to read it, such as "data.parts=[imgs2]".

    Raises:
        InputError: no such folder, no known layout, images and masks that do not pair up.

    >>> import dashseg
    >>> frames = dashseg.open_dataset("synthetic:20:1", split="val")
    >>> image, label, name = frames[0]
    >>> len(frames), image.shape, label.shape
    (2, (874, 1164, 3), (874, 1164))
    >>> frames.classes.names
    ('road', 'lane markings', 'undrivable', 'movable', 'my car')
    """
    from dashseg.data import open_dataset as open_configured

    recipe = chosen_recipe(None, data=path, dataset=dataset, overrides=overrides)
    return open_configured(recipe.data, split)


def chosen_recipe(
    recipe: str | Path | Recipe | None,
    *,
    data: str | Path | None = None,
    dataset: str | None = None,
    split: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Recipe:
    """A recipe with `overrides`, then data, dataset and split in place of its own where given."""
    from dashseg.config import Recipe, change_recipe, load_recipe
    from dashseg.config.read import override_recipe

    if isinstance(recipe, Recipe):
        chosen = override_recipe(recipe, overrides)
    else:
        chosen = load_recipe(recipe, overrides)
    given = {"root": None if data is None else str(data), "dataset": dataset, "split": split}
    return change_recipe(chosen, data={k: v for k, v in given.items() if v is not None})


def data_settings(
    model: str, data: str, dataset: str | None = None, overrides: Sequence[str] = ()
) -> DataConfig:
    """How to read `data` for a model: as the model's run read its own, if it is of a run."""
    return _pointed_at(_recipe_of(_run_of(model), overrides), data, dataset)


def _evaluate_run(root: Path, overrides: Sequence[str], device: str) -> Metrics | None:
    """Evaluate a run on its held-out frames if its recipe asks for that."""
    from dashseg.data import open_dataset
    from dashseg.evaluation import default_folder
    from dashseg.progress import progress
    from dashseg.training.failures import Interrupted

    recipe = _recipe_of(root, overrides)
    if not recipe.evaluation.run:
        return None
    try:
        frames = open_dataset(recipe.data, "val")
        out = default_folder(root, frames, recipe.evaluation.tta)
        with progress("evaluating", "frames") as advance:
            return evaluate(
                root, data=frames, out=out, overrides=overrides, device=device, on_progress=advance
            )
    except KeyboardInterrupt as stop:
        raise Interrupted from stop


def _is_evaluated(root: Path, overrides: Sequence[str]) -> bool:
    """Whether a trained run has the evaluation that its recipe asks for, if it asks for one."""
    from dashseg.data import open_dataset
    from dashseg.evaluation import is_evaluated

    recipe = _recipe_of(root, overrides)
    if not recipe.evaluation.run:
        return True
    return is_evaluated(root, open_dataset(recipe.data, "val"), recipe.evaluation.tta)


def _name(model: str | Path | Run) -> str:
    return str(model.path if isinstance(model, Run) else model)


def _run_of(model: str | Path | Run) -> Path | None:
    from dashseg.inference.loading import find_run

    return find_run(Path(_name(model)))


def _recipe_of(run: Path | None, overrides: Sequence[str]) -> Recipe:
    """The recipe that a run recorded; the defaults for a model of no run."""
    from dashseg.config import load_recipe, load_run_recipe

    return load_recipe(None, overrides) if run is None else load_run_recipe(run, overrides)


def _pointed_at(recipe: Recipe, data: str, dataset: str | None) -> DataConfig:
    """The data settings of `recipe` for the data at `data`.

    The run's split file holds for its own data only: there it keeps training frames out of "val".
    """
    from dashseg.config import change_recipe

    trained = recipe.data
    same = trained.root is not None and Path(trained.root).resolve() == Path(data).resolve()
    update: dict[str, Any] = {"root": data, "split": trained.split if same else None}
    kind = dataset or (trained.dataset if same else None)
    return change_recipe(recipe, data=update | {"dataset": kind}).data
