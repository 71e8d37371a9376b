"""`POST /v1/segment` gives what the Segmenter gives; Pillow decodes what goes in and comes out."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import PIL.Image
import pytest


def picture(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def post(ask, address, body, query="", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, answer = ask(address, "POST", f"/v1/segment{query}", body, named)
    return status, answer


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})],
)
def test_the_label_is_the_segmenters_for_every_lossless_format(
    ask, tiny_service, segmenter, frame, encoded, kind, options
) -> None:
    status, body = post(ask, tiny_service, encoded(kind, **options))
    answer = json.loads(body)
    expected = segmenter(frame).label
    assert status == 200 and len(np.unique(expected)) > 1
    assert answer["image"] == {"width": 110, "height": 70}
    assert np.array_equal(picture(base64.b64decode(answer["segmentation_mask"])), expected)
    names = [answer["class_map"][str(class_id)] for class_id in range(5)]
    assert names == [entry["name"] for entry in answer["classes"]] == [*segmenter.classes.names]
    for class_id, name in enumerate(names):
        assert answer["shares"][name] == pytest.approx(np.mean(expected == class_id))


def test_a_jpeg_is_turned_as_its_exif_data_say(
    ask, tiny_service, segmenter, frame, encoded
) -> None:
    exif = PIL.Image.Exif()
    exif[0x112] = 6  # the camera was held upright
    status, body = post(ask, tiny_service, encoded("JPEG", quality=95, exif=exif))
    mask = picture(base64.b64decode(json.loads(body)["segmentation_mask"]))
    turned = PIL.Image.open(io.BytesIO(encoded("JPEG", quality=95))).transpose(
        PIL.Image.Transpose.ROTATE_270
    )
    assert status == 200 and mask.shape == (110, 70)
    assert np.mean(mask == segmenter(turned).label) > 0.99  # decoders of JPEG differ a little


def test_a_form_gives_what_the_raw_body_gives(ask, tiny_service, encoded) -> None:
    form = (
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="../../etc/passwd"\r\n'
        b"Content-Type: image/png\r\n\r\n" + encoded() + b"\r\n--xyz--\r\n"
    )
    _, raw = post(ask, tiny_service, encoded())
    status, body = post(ask, tiny_service, form, Content_Type="multipart/form-data; boundary=xyz")
    assert status == 200
    assert json.loads(body)["segmentation_mask"] == json.loads(raw)["segmentation_mask"]


def test_pictures_by_kind(ask, tiny_service, segmenter, frame, encoded) -> None:
    expected = segmenter(frame)
    for query, pixels in {
        "?kind=label": expected.label,
        "?kind=overlay": np.asarray(expected.overlay()),
        "?kind=mask": np.asarray(expected.mask()),
        "": np.asarray(expected.mask()),
    }.items():
        status, body = post(ask, tiny_service, encoded(), query, Accept="image/png")
        assert status == 200 and np.array_equal(picture(body), pixels)


def test_probabilities_and_confidence(ask, tiny_service, segmenter, frame, encoded) -> None:
    expected = segmenter(frame).probabilities
    status, body = post(ask, tiny_service, encoded(), Accept="application/octet-stream")
    found = np.load(io.BytesIO(body), allow_pickle=False)
    assert status == 200 and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    _, body = post(ask, tiny_service, encoded(), "?confidence=1")
    confidence = picture(base64.b64decode(json.loads(body)["confidence"]))
    assert np.abs(confidence - expected.max(0) * 255).max() < 1.1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/html, image/*;q=0.9, */*;q=0.1", "image/png"),
        ("application/json;q=0, */*", "image/png"),
        ("text/html", None),
        ("image/png;q=high", None),
    ],
)
def test_accept_chooses_the_answer(ask, tiny_service, encoded, accept, kind) -> None:
    status, headers, _ = ask(tiny_service, "POST", "/v1/segment", encoded(), {"Accept": accept})
    assert (status, headers["content-type"]) == ((200, kind) if kind else (406, "application/json"))


def test_models_are_chosen_by_name(ask, serve, segmenter, encoded) -> None:
    with serve({"first": segmenter, "second": segmenter}) as address:
        listed = json.loads(ask(address, "GET", "/v1/models")[2])
        assert [(entry["name"], entry["default"]) for entry in listed] == [
            ("first", True), ("second", False),
        ]  # fmt: skip
        assert listed[0]["classes"][1] == {"id": 1, "name": "lane markings", "colour": "#ff0000"}
        assert json.loads(post(ask, address, encoded())[1])["model"] == "first"
        assert json.loads(post(ask, address, encoded(), "?model=second")[1])["model"] == "second"
        status, body = post(ask, address, encoded(), "?model=../../etc/passwd")
        assert status == 404 and "first, second" in json.loads(body)["detail"]


def test_probabilities_that_would_be_too_large_are_refused(ask, serve, segmenter, encoded) -> None:
    with serve({"tiny": segmenter}, max_answer=110 * 70 * 5 * 4 - 1) as address:
        status, body = post(ask, address, encoded(), Accept="application/octet-stream")
        assert status == 413 and "154000 bytes" in json.loads(body)["detail"]
