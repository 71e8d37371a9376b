"""A model -> a repository of the hub, in one commit: `push`; or a folder, to look at it first."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashseg.config import load_run_recipe
from dashseg.errors import InputError
from dashseg.files import join_inside, make_folder, read_json, sha256, write_json, write_text
from dashseg.hub.evaluations import find_evaluations
from dashseg.hub.training_data import KEY, Source, training_data
from dashseg.hub_client import LOG_IN, HubName, reason
from dashseg.inference.loading import find_model
from dashseg.inference.model_directory import load_model
from dashseg.inference.runtimes import FORMATS
from dashseg.outputs import replace_folder, temporary_folder
from dashseg.run_directory import CONFIG, EXPORT, WEIGHTS, RunDirectory
from dashseg.training.environment import read_environment

CARD = "README.md"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{1,60}")
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Options:
    """What `push` does with a model; `dashseg.verbs.push` describes each."""

    license: str | None
    private: bool = False
    exports: Sequence[Path] = ()
    metrics: Sequence[Path] = ()
    bench: Path | None = None
    non_commercial: bool = False
    new_card: bool = False


@dataclass(frozen=True)
class Pushed:
    """What a push wrote.

    Args:
        files: paths in the repository, sorted.
        url: of the commit; None: a dry run, or nothing had changed.
        commit: its id; None: a dry run.
    """

    name: HubName
    files: tuple[str, ...]
    url: str | None = None
    commit: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": 1,
            "repository": self.name.repository,
            "revision": self.name.revision,
            "files": list(self.files),
            "url": self.url,
            "commit": self.commit,
        }


def push(model: str, name: HubName, options: Options) -> Pushed:
    """Upload a model directory with its card and exports, in one commit.

    Everything is checked before the hub is asked for anything. A stopped or refused upload changes
    no file of the repository.

    Raises:
        InputError: as `write_folder`; no token; the hub refuses or cannot be reached; the
            repository is public, and `options.private` is set.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    wanted = Path(tempfile.gettempdir()) / "push"
    with temporary_folder(wanted.parent, wanted) as temporary:
        folder = make_folder(temporary / "model")
        files = write_folder(model, name, options, folder)
        if get_token() is None:
            raise InputError(f"the hub needs a token to push: {LOG_IN}, with write access")
        api = HfApi(library_name="dashseg")
        try:
            api.create_repo(name.repository, private=options.private or None, exist_ok=True)
            if options.private and not api.model_info(name.repository).private:
                raise InputError(
                    f"{name.repository} is public already: nothing was pushed. Leave --private out,"
                    " make it private on the hub, or name another repository"
                )
            if name.revision is not None:
                api.create_branch(name.repository, branch=name.revision, exist_ok=True)
            operations = [
                CommitOperationAdd(path_in_repo=file, path_or_fileobj=folder / file)
                for file in files
            ]
            done = api.create_commit(
                name.repository,
                operations,
                commit_message=f"Push {name.repository.partition('/')[2]} by dashseg",
                revision=name.revision,
            )
        except InputError:
            raise
        except Exception as error:  # the client's errors have no common base
            raise InputError(f"{name} was not pushed: {reason(error)}") from error
    return Pushed(name, files, str(done.commit_url), str(done.oid))


def write_dry_run(model: str, name: HubName, options: Options, out: Path) -> Pushed:
    """Write what `push` would upload to the new folder `out`.

    Raises:
        InputError: as `write_folder`, or `out` is taken.
    """
    with replace_folder(out, last=CONFIG) as folder:
        return Pushed(name, write_folder(model, name, options, folder))


def write_folder(model: str, name: HubName, options: Options, folder: Path) -> tuple[str, ...]:
    """Write the files of the repository to an empty folder; returns their paths in it, sorted.

    Raises:
        InputError: not a model directory or a run; no licence, or one that the training data
            forbids; metrics, bench or exports that are damaged or of another model.
    """
    license = _checked_license(options.license)
    found, run = find_model(model)
    if found.name != CONFIG:
        raise InputError(
            f"{model} is an export: push the run or model directory that it was made from, and add"
            f" --exports {found.parent}"
        )
    sources = training_data(found.parent, run)
    _require_permission(model, sources, license, options.non_commercial)
    for file in (CONFIG, WEIGHTS):
        if not (found.parent / file).is_file():
            raise InputError(f"{found.parent / file}: no such file")
        shutil.copyfile(found.parent / file, folder / file)
    network, config, classes = load_model(folder)
    if sources is not None:
        values = read_json(folder / CONFIG)
        write_json(folder / CONFIG, values | {KEY: [source.to_dict() for source in sources]})
    exports = _copy_exports(options.exports, folder)

    from dashseg.hub.card import Facts, kept_card, new_card

    recipe = load_run_recipe(run) if run else None
    environment = read_environment(RunDirectory(run)) if run else {}
    weights = sha256(folder / WEIGHTS)
    facts = Facts(
        repository=name.repository,
        license=license,
        classes=classes,
        model=config,
        parameters=sum(value.numel() for value in network.parameters()),
        weights=weights,
        sources=sources,
        evaluations=find_evaluations(
            run, options.metrics, weights, recipe, environment.get("data")
        ),
        recipe=recipe,
        environment=environment,
        bench=_read_bench(options.bench) if options.bench else None,
        exports=exports,
    )
    own = found.parent / CARD
    keep = own.is_file() and not options.new_card
    write_text(folder / CARD, kept_card(own, facts) if keep else new_card(facts))
    return tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))


def _checked_license(license: str | None) -> str:
    if license is None:
        raise InputError(
            "a model without a licence may not be used by anybody: name one with --license, by the"
            " hub's identifier, such as mit, apache-2.0, cc-by-4.0, cc-by-nc-4.0 or other"
        )
    if not _LICENSE.fullmatch(license):
        raise InputError(
            f"--license {license}: the hub's identifiers are in small letters, such as mit,"
            " apache-2.0, cc-by-nc-4.0 or other: huggingface.co/docs/hub/repositories-licenses"
        )
    return license


def _require_permission(
    model: str, sources: tuple[Source, ...] | None, license: str, non_commercial: bool
) -> None:
    """Raise InputError if the training data forbids to publish the model under this licence."""
    forbidden = [source for source in sources or () if source.commercial_use is False]
    if not forbidden:
        return
    first = forbidden[0]
    through = f", through {first.through}" if first.through else ""
    why = f"{model} was trained on {first.name} ({first.terms}){through}"
    if not non_commercial:
        raise InputError(
            f"{why}: its weights are for non-commercial use only. If these terms permit you to"
            " publish it, add --non-commercial with --license other or cc-by-nc-4.0; else train"
            " without this data"
        )
    if license != "other" and "-nc" not in license:
        raise InputError(
            f"{why}, and --license {license} would permit commercial use: choose --license other or"
            " one with nc, such as cc-by-nc-4.0"
        )


def _copy_exports(folders: Sequence[Path], to: Path) -> list[dict[str, str]]:
    """Copy export folders to folders of the same names; returns a row for the card of each.

    Raises:
        InputError: not a folder of `dashseg export`, or changed since; two have the same name.
    """
    rows = []
    for source in folders:
        name = source.resolve().name
        if not (source / EXPORT).is_file():
            raise InputError(f"{source}: not a folder of `dashseg export`: it has no {EXPORT}")
        if not _FOLDER.fullmatch(name) or (to / name).exists():
            raise InputError(
                f"--exports {source}: the folder's name becomes one in the repository: give each"
                " another name, of letters, digits, '-', '_' and '.'"
            )
        values = read_json(source / EXPORT)
        try:
            form = FORMATS[values["format"]]
            allowed = {form.file, form.weights(Path(form.file)).name}
            digests = dict(values["sha256"])
            agreement = values.get("label_agreement")
            row = {
                "folder": name,
                "format": str(values["format"]),
                "precision": str(values["precision"]),
                "size": "dynamic"
                if values["size"] == "dynamic"
                else "{}×{}".format(*values["size"]),
                "agreement": "–" if agreement is None else f"{agreement:.3%}",
            }
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{source / EXPORT}: damaged: export again") from error
        make_folder(to / name)
        if set(digests) != allowed:
            raise InputError(
                f"{source / EXPORT}: lists other files than {', '.join(sorted(allowed))}"
            )
        for file, digest in digests.items():
            original = join_inside(source, file)
            if not original.is_file():
                raise InputError(f"{original}: no such file: export again")
            shutil.copyfile(original, to / name / file)
            if sha256(to / name / file) != digest:
                raise InputError(f"{original}: changed since it was exported: export again")
        shutil.copyfile(source / EXPORT, to / name / EXPORT)
        rows.append(row)
    return rows


def _read_bench(path: Path) -> dict[str, Any]:
    """What `dashseg bench --json` printed.

    Raises:
        InputError: something else.
    """
    values = read_json(path)
    try:
        json.dumps([values["machine"][key] for key in ("processor", "threads", "packages")])
        good = values["schema"] == 1 and all(
            isinstance(row["ms_median"], float) and isinstance(row["throughput_fps"], float)
            for row in values["rows"]
        )
        [(row["runtime"], row["precision"], row["miou"]) for row in values["rows"]]
        dict(values["machine"]["packages"]), list(values["size"])
    except (KeyError, TypeError, ValueError, AttributeError):
        good = False
    if not good:
        raise InputError(f"{path}: not what `dashseg bench MODEL --json` prints")
    return dict(values)
