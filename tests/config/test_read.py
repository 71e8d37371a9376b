"""Reading a recipe: complete, repeatable, and strict about what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dashseg.config import (
    InputConfig,
    Recipe,
    change_recipe,
    load_recipe,
    load_run_recipe,
    parse_model,
    recipe_names,
)
from dashseg.errors import InputError

SECTIONS = ["data", "model", "augment", "loss", "optimizer", "training", "evaluation"]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def problem(path: Path, text: str) -> str:
    """The message with which a recipe of this text is refused."""
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_recipe(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_the_shipped_recipes_have_names() -> None:
    assert {"demo", "original", "comma10k-half", "comma10k-full", "camvid"} <= {*recipe_names()}


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_survives_yaml_and_its_network_builds(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "copy.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "copy.yaml") == recipe
    assert list(yaml.safe_load(recipe.to_yaml())) == SECTIONS

    import torch

    from dashseg.models import build_model

    random = recipe.model.encoder.model_copy(update={"weights": None})
    with torch.device("meta"):  # shapes without numbers: no memory, no time
        network = build_model(recipe.model.model_copy(update={"encoder": random}))
        logits = network.eval()(torch.empty(1, 3, 64, 96))
    assert logits.shape == (1, recipe.model.num_classes, 64, 96)


def test_what_differs_from_the_defaults_survives_yaml(tmp_path: Path) -> None:
    recipe = change_recipe(
        Recipe(),
        data={"root": "a: b", "split": "s.json", "parts": ["imgs", "imgsd"], "workers": 3},
        model={"weights": "runs/a", "input": {"size": None, "mean": [0, 0.1, 1e-05]}},
        loss={"class_weights": [1, 2.5, 3, 4, 5]},
        optimizer={"learning_rate": 1e-07},
        training={"gradient_clip": None, "loggers": []},
        evaluation={"tta": ["flip", "multiscale"]},
    )
    (tmp_path / "copy.yaml").write_text(recipe.to_yaml())
    copy = load_recipe(tmp_path / "copy.yaml")
    assert copy == recipe
    assert copy.data.split == Path("s.json")
    assert copy.model.input.size is None
    assert copy.loss.class_weights == (1, 2.5, 3, 4, 5)


def test_an_empty_recipe_is_the_defaults(recipe_file: Path) -> None:
    recipe_file.write_text("# nothing yet\n")
    assert load_recipe(recipe_file) == load_recipe(None) == Recipe()


def test_a_recipe_changes_what_it_says_and_nothing_else(recipe_file: Path) -> None:
    recipe_file.write_text("training: {epochs: 3}\nmodel: {encoder: {name: resnet34}}\n")
    assert load_recipe(recipe_file) == change_recipe(
        Recipe(), training={"epochs": 3}, model={"encoder": {"name": "resnet34"}}
    )


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("training.epochs=3", "training", "epochs", 3),
        ("training.epochs = 3", "training", "epochs", 3),
        ("optimizer.learning_rate=1e-4", "optimizer", "learning_rate", 0.0001),
        ("data.root=/a=b/c d", "data", "root", "/a=b/c d"),
        ("augment.scale=[0.5, 2]", "augment", "scale", (0.5, 2.0)),
        ("loss.class_weights=enet", "loss", "class_weights", "enet"),
        ("training.gradient_clip=null", "training", "gradient_clip", None),
        ("model.input.size=[64, 96]", "model", "input", InputConfig(size=(64, 96))),
    ],
)
def test_set_changes_one_key(override: str, section: str, key: str, value: Any) -> None:
    changed = load_recipe(None, [override])
    assert getattr(getattr(changed, section), key) == value
    assert change_recipe(changed, **{section: Recipe().model_dump()[section]}) == Recipe()


def test_set_wins_over_the_recipe_and_the_last_one_over_the_first() -> None:
    recipe = load_recipe("demo", ["training.epochs=2", "training.epochs=1"])
    assert recipe.training.epochs == 1
    assert recipe.optimizer == load_recipe("demo").optimizer


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "--set training.epochs: expected section.key=value"),
        ("=3", "--set =3: expected section.key=value"),
        ("training.epochs=[", "--set training.epochs=[: not valid YAML"),
        ("training.epoch=3", "unknown key 'training.epoch' (did you mean 'epochs'?)"),
        ("training=3", "training: Input should be a valid dictionary"),
        ("training.epochs=many", "training.epochs: Input should be a valid integer"),
        ("training.epochs.more=3", "training.epochs: Input should be a valid integer"),
        ("model.input.size=437x582", "model.input.size: Input should be a list in brackets"),
        ("training.seed=4294967296", "training.seed: Input should be less than 4294967296"),
    ],
)
def test_a_wrong_set_is_an_error_that_shows_it(override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_recipe("demo", [override])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", "unknown key 'training.epoch' (did you mean 'epochs'?); known"),
        ("trainings: {epochs: 3}", "unknown key 'trainings' (did you mean 'training'?); known"),
        ("model: {encoder: {strides: 8}}", "unknown key 'model.encoder.strides' (did you mean"),
        (
            "model: {decoder: {levels: [{stride: 4, skip: 0, channels: 8, conv: 2}]}}",
            "unknown key 'model.decoder.levels.conv' (did you mean 'convs'?)",
        ),
        ("zzz: 1", f"unknown key 'zzz'; known here: {', '.join(SECTIONS)}"),
    ],
)
def test_an_unknown_key_is_an_error_that_knows_the_right_one(
    recipe_file: Path, text: str, message: str
) -> None:
    assert message in problem(recipe_file, text)


def test_the_recipe_of_a_run_is_read_and_changed(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["data.root=frames"])
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert load_run_recipe(tmp_path) == recipe
    assert load_run_recipe(tmp_path, ["data.placement=memory"]).data.placement == "memory"


def test_a_run_without_a_recipe_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"recipe\.yaml: cannot be read: No such file"):
        load_run_recipe(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epochs: many}", "training.epochs: Input should be a valid integer"),
        ("training: {epochs: 2.5}", "training.epochs: Input should be a valid integer"),
        ("training: {epochs: 0}", "training.epochs: Input should be greater than or equal to 1"),
        ("training: {batch_size: }", "training.batch_size: Input should be a valid integer"),
        ("training: {precision: half}", "training.precision: Input should be 'auto', 'float32'"),
        ("training: {gradient_clip: -1}", "training.gradient_clip: Input should be greater than 0"),
        ("optimizer: {learning_rate: .nan}", "optimizer.learning_rate: Input should be a finite"),
        ("loss: {class_weights: [1, .inf]}", "(got [1, inf])"),
        ("augment: {scale: [0.5, .inf]}", "augment.scale: Input should be a finite number"),
        ("augment: {flip: 1.5}", "augment.flip: Input should be less than or equal to 1"),
        ("augment: {scale: [2, 1]}", "augment: scale: [2, 1] is not an ascending positive range"),
        ("augment: {crop: [8, 64]}", "augment.crop: Input should be greater than or equal to 32"),
        ("augment:", "augment: Input should be a valid dictionary"),
        ("loss: {class_weights: enett}", "loss.class_weights: Input should be 'none', 'enet'"),
        ("model: {input: {std: [0, 1, 1]}}", "model.input.std: Input should be greater than 0"),
        ("model: {input: {size: 256}}", "model.input.size: Input should be a list in brackets"),
        ("model: {encoder: {name: vgg}}", "model.encoder.name: Input should be 'resnet18'"),
        ("data: {parts: [imgs3]}", "data.parts: Input should be 'imgs', 'imgs2' or 'imgsd'"),
        ("data: {dataset: kitti}", "data.dataset: Input should be 'comma10k', 'camvid'"),
        ("1: 2", "Keys should be strings"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_key(
    recipe_file: Path, text: str, message: str
) -> None:
    assert message in problem(recipe_file, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss: {terms: [{name: hinge}]}", "loss.terms.name: Input should be 'cross_entropy',"),
        ("loss: {class_weights: [a, b]}", "loss.class_weights: Input should be 'none', 'enet'"),
        ("model: {aspp: {rates: [1, 2, x]}}", "model.aspp.rates: Input should be a valid integer"),
        ("1: 2", "Keys should be strings (got 1)"),
    ],
)
def test_one_problem_is_one_message(recipe_file: Path, text: str, message: str) -> None:
    said = problem(recipe_file, text).removeprefix(f"{recipe_file}: ")
    assert said.startswith(message)
    assert "; " not in said


def test_every_wrong_value_is_named_at_once(recipe_file: Path) -> None:
    message = problem(recipe_file, "training: {epochs: 0, seeds: 3}\naugment: {flip: 2}\n")
    for key in ("training.epochs", "training.seeds", "augment.flip"):
        assert key in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epochs: 3\nmodel:\n", "not valid YAML at line 2"),
        ("training:\n\tepochs: 3\n", "not valid YAML at line 2"),
        ("model: !!python/object/apply:os.getcwd []", "not valid YAML at line 1"),
        ("- demo", f"a recipe is a mapping of sections ({', '.join(SECTIONS)})"),
        ("demo", "a recipe is a mapping of sections"),
    ],
)
def test_a_file_that_is_no_recipe_is_an_error(recipe_file: Path, text: str, message: str) -> None:
    assert message in problem(recipe_file, text)


def test_a_recipe_in_another_encoding_is_an_error(recipe_file: Path) -> None:
    recipe_file.write_bytes("# für Zürich\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"mine\.yaml: not UTF-8 text"):
        load_recipe(recipe_file)


@pytest.mark.parametrize("length", [0, 1000, -300])
def test_a_recorded_recipe_that_was_cut_off_is_not_filled_with_defaults(
    tmp_path: Path, length: int
) -> None:
    text = load_recipe("demo").to_yaml()
    cut = text[: text.rindex("\n", 0, length % len(text)) + 1] if length else ""
    (tmp_path / "recipe.yaml").write_text(cut)
    with pytest.raises(InputError, match=r"recipe\.yaml: "):
        load_run_recipe(tmp_path)


def test_an_unknown_recipe_is_an_error_that_lists_the_shipped_ones() -> None:
    with pytest.raises(InputError) as error:
        load_recipe("comma10k-haf")
    message = str(error.value)
    assert "no recipe is called 'comma10k-haf' (did you mean 'comma10k-half'?)" in message
    assert all(name in message for name in recipe_names())


def test_a_missing_recipe_file_is_an_error_that_names_it(recipe_file: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml: cannot be read: No such file"):
        load_recipe(recipe_file)


def test_a_changed_recipe_is_checked_too() -> None:
    with pytest.raises(InputError, match=r"unknown key 'training\.epoch'"):
        change_recipe(Recipe(), training={"epoch": 3})
    with pytest.raises(InputError, match=r"num_classes: .* \(got 1\)"):
        parse_model({"num_classes": 1}, "config.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loss: {terms: []}", "loss.terms: "),
        ("loss: {terms: [{name: hinge}]}", "loss.terms.name: "),
        ("loss: {terms: [{name: dice, gamma: 1}]}", "'gamma' is no setting of dice"),
        ("loss: {label_smoothing: 0.1, terms: [{name: dice}]}", "neither cross_entropy nor ohem"),
        ("augment: {night: {darkness: [1, 0.5]}}", "augment.night: darkness: [1, 0.5] is not"),
        ("augment: {rain: {share: 0.7}, fog: {share: 0.7}}", "together more than 1"),
        ("augment: {dropout: {size: [0.3, 0.1]}}", "augment.dropout: size: [0.3, 0.1] is not"),
    ],
)
def test_losses_and_weather_that_make_no_sense_are_refused(
    recipe_file: Path, text: str, said: str
) -> None:
    assert said in problem(recipe_file, text)
