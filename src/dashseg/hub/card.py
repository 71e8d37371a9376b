"""What is known of a model -> its card: README.md with the hub's front matter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import jinja2
import yaml
from huggingface_hub import CardData, EvalResult, ModelCard

import dashseg
from dashseg.config import InputConfig, ModelConfig, Recipe
from dashseg.errors import InputError
from dashseg.files import read_text
from dashseg.hub.evaluations import Evaluation, Interval
from dashseg.hub.training_data import Source
from dashseg.labels import Classes

_TASK = "image-segmentation"
_LONGEST = 1 << 20  # bytes of a card


@dataclass(frozen=True)
class Facts:
    """What a card states.

    Args:
        weights: SHA-256 of model.safetensors.
        sources: the training data; None: not recorded.
        recipe: None: the model is of no run.
        environment: the run's environment.json, or {}.
        bench: what `dashseg bench --json` printed, checked; or None.
        exports: a row for each export folder: folder, format, precision, size, agreement.
    """

    repository: str
    license: str
    classes: Classes
    model: ModelConfig
    parameters: int
    weights: str
    sources: tuple[Source, ...] | None
    evaluations: Sequence[Evaluation]
    recipe: Recipe | None
    environment: dict[str, Any]
    bench: dict[str, Any] | None
    exports: Sequence[dict[str, str]]

    @property
    def non_commercial(self) -> bool:
        """Whether the terms of some of the training data forbid commercial use."""
        return any(source.commercial_use is False for source in self.sources or ())


def new_card(facts: Facts) -> str:
    """Write a card."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("dashseg.hub"),
        undefined=jinja2.StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": _number, "interval": _interval}
    model = facts.model
    text = templates.get_template("card.md.jinja").render(
        vars(facts)
        | {
            "name": facts.repository.partition("/")[2],
            "classes": facts.classes.names,
            "encoder": model.encoder.name,
            "output_stride": model.encoder.output_stride,
            "aspp": model.aspp.channels,
            "decoder": model.decoder.name,
            "input": _input(model.input),
            "non_commercial": facts.non_commercial,
            "recipe": facts.recipe and Verbatim(_changes(facts.recipe)),
            "training": _training(facts.environment),
            "speed": facts.bench and _speed(facts.bench),
            "version": dashseg.__version__,
        }
    )
    card = ModelCard(f"---\n{{}}\n---\n{text}")
    _fill_in(card.data, facts)
    return str(card) + "\n"


def kept_card(path: Path, facts: Facts) -> str:
    """A card that its author wrote, with what the hub needs added to its front matter.

    Raises:
        InputError: the front matter is damaged, or names another licence.
    """
    try:
        text = read_text(path, _LONGEST)
        # Without front matter, the client warns.
        card = ModelCard(text if text.startswith("---") else f"---\n{{}}\n---\n{text}")
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: its front matter is not the hub's: mend it, or use --new-card"
        ) from error
    if card.data.get("license", facts.license) != facts.license:
        raise InputError(
            f"{path}: says license: {card.data['license']}, and --license says {facts.license}:"
            " make them the same, or use --new-card"
        )
    _fill_in(card.data, facts)
    return str(card)


class Verbatim(str):
    """Text for a block of code."""


def _fill_in(data: CardData, facts: Facts) -> None:
    """Set each field of the front matter that has no value yet."""
    tags = ["dashseg", "semantic-segmentation", "dash-camera", *_kinds(facts)]
    fields: dict[str, Any] = {
        "license": facts.license,
        "pipeline_tag": _TASK,
        "library_name": "dashseg",
        "tags": tags,
    }
    if facts.license == "other":
        terms = "non-commercial-training-data" if facts.non_commercial else "see-the-card"
        fields |= {"license_name": terms, "license_link": "README.md"}
    if facts.evaluations:
        fields |= {
            "metrics": ["mean_iou"],
            "model_name": facts.repository.partition("/")[2],
            "eval_results": _results(facts.evaluations),
        }
    for key, value in fields.items():
        if data.get(key) is None:
            data[key] = value


def _kinds(facts: Facts) -> list[str]:
    known = {"comma10k", "camvid"}
    return sorted({result.kind for result in facts.evaluations} & known)


def _results(evaluations: Sequence[Evaluation]) -> list[EvalResult]:
    """The scores in the hub's form, which becomes `model-index`."""
    results = []
    for found in evaluations:
        scores = {
            ("mean_iou", "mIoU"): found.miou,
            ("cross_entropy", "cross-entropy"): found.cross_entropy,
        }
        scores |= {("iou", f"IoU {name}"): value for name, value in found.iou.items()}
        intervals = {"mean_iou": found.miou_95, "cross_entropy": found.cross_entropy_95}
        for (kind, name), value in scores.items():
            interval = intervals.get(kind)
            if value is not None:
                results.append(
                    EvalResult(
                        task_type=_TASK,
                        dataset_type=found.kind,
                        dataset_name=found.data,
                        dataset_split=found.split,
                        metric_type=kind,
                        metric_name=name,
                        metric_value=round(value, 4),
                        metric_args={"interval_95": [round(x, 4) for x in interval]}
                        if interval
                        else None,
                    )
                )
    return results


def _changes(recipe: Recipe) -> str:
    """What differs from the defaults, as YAML. Paths become their last part: they are private."""
    values = recipe.model_dump(exclude_defaults=True)
    return yaml.safe_dump(_without_folders(values), sort_keys=False, width=100).rstrip()


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(part) for part in value]
    if isinstance(value, PurePath) or (isinstance(value, str) and PurePath(value).is_absolute()):
        return PurePath(value).name if PurePath(value).is_absolute() else str(value)
    return value


def _training(environment: dict[str, Any]) -> str:
    """Date, machine and versions in a sentence; "" if they were not noted."""
    try:
        versions = ", ".join(f"{name} {v}" for name, v in environment["versions"].items())
        where = ", ".join(environment["gpus"]) or environment["processor"]
        processes, resumed = environment["processes"], len(environment.get("resumed", []))
        more = f", {processes} processes" if processes != 1 else ""
        more += f", resumed {resumed} times" if resumed else ""
        return (
            f"Started {environment['started'][:10]} on {where}, seed {environment['seed']}{more}."
            f" Python {environment['python']}, {versions}; commit {environment['commit']}."
        )
    except (KeyError, TypeError, AttributeError):
        return ""


def _speed(bench: dict[str, Any]) -> dict[str, Any]:
    machine = bench["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    size = "×".join(map(str, bench["size"]))
    return {**machine, "packages": packages, "size": size, "rows": bench["rows"]}


def _input(rule: InputConfig) -> str:
    if rule.size is None:
        return "Frames go in at their own size."
    height, width = rule.size
    how = "their aspect ratio kept" if rule.resize == "fit" else "their aspect ratio not kept"
    return f"Frames are resized to {height}×{width}, with {how}."


def _plain(value: Any) -> Any:
    """Names are the user's: they must not break a table, nor hold markup."""
    if isinstance(value, Verbatim):
        return value.replace("```", "'''")
    if isinstance(value, str):
        return re.sub(r"[|<>\x00-\x1f]", " ", value)
    return value


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _interval(interval: Interval) -> str:
    return "" if interval is None else f"{interval[0]:.4f}–{interval[1]:.4f}"
