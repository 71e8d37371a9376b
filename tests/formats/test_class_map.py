"""Which source class becomes which class."""

import pytest

from dashseg.errors import InputError
from dashseg.formats.class_map import UNMAPPED, read_class_map, same_classes
from dashseg.formats.source import SourceClass
from dashseg.labels import IGNORE

SOURCE = (
    SourceClass("road", 7, (128, 64, 128)),
    SourceClass("car", 26, (0, 0, 142)),
    SourceClass("truck", 27, (0, 0, 70)),
    SourceClass("void", 0, (0, 0, 0), ignore=True),
)


@pytest.fixture
def read(tmp_path):
    def read(text, source=SOURCE):
        path = tmp_path / "MAP.yaml"
        path.write_text(text, "utf-8")
        return read_class_map(str(path), source, "coco")

    return read


def test_without_a_map_the_source_keeps_its_classes_and_colours():
    found = same_classes(SOURCE)
    assert found.classes.names == ("road", "car", "truck")
    assert found.classes.colours[0] == (128, 64, 128)
    assert found.targets.tolist() == [0, 1, 2, IGNORE]
    assert found.ranks is None


def test_a_class_called_ignore_is_ignored_and_missing_colours_are_chosen():
    found = same_classes((SourceClass("a"), SourceClass("ignore"), SourceClass("b")))
    assert found.targets.tolist() == [0, IGNORE, 1]
    assert len(set(found.classes.colours)) == 2


def test_a_map_takes_names_ids_and_colours(read):
    found = read('classes: {ground: road, vehicle: ["26", "#000046"]}\nbackground: ground\n')
    assert found.classes.names == ("ground", "vehicle")
    assert found.targets.tolist() == [0, 1, 1, IGNORE]
    assert found.background == 0
    assert found.ranks is None


def test_shapes_keep_the_sources_order_if_it_has_one(read, tmp_path):
    path = tmp_path / "MAP.yaml"
    text = "classes: {ground: road, vehicle: [car, truck]}\n"
    for overlap, ordered, by_class in (
        ("", True, False), ("", False, True),
        ("overlap: classes\n", True, True), ("overlap: source\n", False, False),
    ):  # fmt: skip
        path.write_text(text + overlap)
        assert read_class_map(str(path), SOURCE, "cvat", ordered).by_class == by_class
    with pytest.raises(InputError, match="overlap is 'z'"):
        read(text + "overlap: z\n")


def test_yamls_own_words_are_names(read):
    source = (SourceClass("on"), SourceClass("1e3"), SourceClass("2026-01-01"))
    found = read("classes: {no: [on], yes: [1e3, 2026-01-01]}", source)
    assert found.classes.names == ("no", "yes")
    assert found.targets.tolist() == [0, 1, 1]


def test_what_the_map_leaves_out_is_unmapped(read):
    found = read("classes: {road: road, other: boat}")
    assert found.targets.tolist() == [0, UNMAPPED, UNMAPPED, IGNORE]
    assert found.unused == ("boat",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- road", "expected a mapping"),
        ("classes: {a: [road], b: ['7']}", "both mean the source's class 'road'"),
        ("classes: {a: road}\nbackground: sky", "'sky' is none of a, ignore"),
        ("classes: {a: {from: road, color: red}}", "unknown key 'color'"),
        ("classes: {a: {from: road, colour: red}}", "not a colour"),
        ("klasses: {}", "expected a mapping"),
        ("classes: {a: road}\nz: 1", "unknown key 'z'"),
        ("classes: {a: [[road]]}", "expected a name"),
        ("{", "not valid YAML"),
    ],
)
def test_a_wrong_map_is_an_error_that_names_the_place(read, text, message):
    with pytest.raises(InputError, match=message):
        read(text)
