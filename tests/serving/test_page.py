"""The page at /, used in a real browser as people use it."""

import base64
import io
import json
import re
import shutil

import cv2
import numpy as np
import PIL.Image
import pytest

import dashseg
from dashseg.inference import Segmenter
from dashseg.labels import COMMA10K

playwright = pytest.importorskip("playwright.sync_api")

SIZE = 90, 231  # H, W: odd, so that a row of a PNG is no multiple of anything
WAIT = 20_000  # ms


@pytest.fixture(scope="module")
def models(model_directory, segmenter) -> dict[str, Segmenter]:
    """Two that differ."""
    return {
        "plain": segmenter,
        "flipped too": dashseg.load(model_directory, device="cpu", tta=["flip"]),
    }


@pytest.fixture(scope="module")
def address(serve, models):
    with serve(models) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome to open the page in")
    webcam = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *webcam])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser):
    tab = browser.new_page()
    tab.set_default_timeout(WAIT)
    return tab


@pytest.fixture
def errors(tab):
    """What the console says of scripts that fail, and of what the page's policy forbids."""
    found: list[str] = []

    def note(message) -> None:
        if message.type == "error":
            found.append(message.text)

    def crash(error) -> None:
        found.append(str(error))

    tab.on("console", note)
    tab.on("pageerror", crash)
    yield found
    tab.remove_listener("console", note)
    tab.remove_listener("pageerror", crash)
    assert found == []


@pytest.fixture
def page(tab, errors, address):
    """The page, freshly opened: it keeps nothing between visits."""
    answer = tab.goto(f"http://{address}/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy
    tab.locator("#model-a option").first.wait_for(state="attached")
    return tab


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 256, (9, 24, 3), np.uint8)
    return blocks.repeat(10, 0).repeat(10, 1)[: SIZE[0], : SIZE[1]]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def choose(page, data: bytes, name: str = "frame.png", kind: str = "image/png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})


def wait_for_status(page, text: str) -> None:
    playwright.expect(page.locator("#status")).to_contain_text(text, timeout=WAIT)


def show(page, frame: np.ndarray) -> None:
    choose(page, png(frame))
    wait_for_status(page, f"{frame.shape[1]} × {frame.shape[0]} pixels")


def canvas(page, name: str, view: int = 0) -> np.ndarray:
    """uint8 H×W×4 RGBA of a view's canvas "mask" or "frame"."""
    text = page.evaluate(
        """([name, view]) => {
            const canvas = document.querySelectorAll(`canvas.${name}`)[view];
            const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const letters = Array.from(image.data, (byte) => String.fromCharCode(byte)).join("");
            return [canvas.height, canvas.width, btoa(letters)];
        }""",
        [name, view],
    )
    return np.frombuffer(base64.b64decode(text[2]), np.uint8).reshape(text[0], text[1], 4)


def download(page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).first.click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


GIVE = """([data, way]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], "frame.png", { type: "image/png" }));
    const event = way === "drop"
        ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true });
    document.getElementById("drop").dispatchEvent(event);
}"""


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_is_coloured_as_the_model_labels_it(page, models, frame, way) -> None:
    page.evaluate(GIVE, [base64.b64encode(png(frame)).decode(), way])
    wait_for_status(page, "231 × 90 pixels")
    result = models["plain"](frame)
    drawn = canvas(page, "mask")
    np.testing.assert_array_equal(drawn[..., :3], np.asarray(result.mask()))
    assert (drawn[..., 3] == 255).all()
    np.testing.assert_array_equal(canvas(page, "frame")[..., :3], frame)
    for name, share in result.shares.items():
        row = page.locator("#classes tr", has_text=name)
        shown = re.sub("[<>]", "", row.locator("td").first.inner_text())
        assert float(shown) == pytest.approx(100 * share, abs=0.11)


def test_an_image_is_turned_as_its_camera_says(page, models, frame) -> None:
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    PIL.Image.fromarray(frame).save(file, "JPEG", exif=exif)
    choose(page, file.getvalue(), "phone.jpg", "image/jpeg")
    wait_for_status(page, "90 × 231 pixels")
    result = models["plain"](PIL.Image.open(file))
    np.testing.assert_array_equal(canvas(page, "mask")[..., :3], np.asarray(result.mask()))
    close = np.abs(canvas(page, "frame")[..., :3].astype(int) - result.image) <= 4  # two decoders
    assert close.mean() > 0.99


def test_an_image_that_the_browser_cannot_show_has_its_mask(page, models, frame) -> None:
    file = io.BytesIO()
    PIL.Image.fromarray(frame).save(file, "TIFF")
    choose(page, file.getvalue(), "frame.tif", "image/tiff")
    wait_for_status(page, "the mask alone")
    np.testing.assert_array_equal(
        canvas(page, "mask")[..., :3], np.asarray(models["plain"](frame).mask())
    )


def test_classes_go_and_come_back(page, models, frame) -> None:
    show(page, frame)
    label = models["plain"](frame).label
    present = np.unique(label)
    page.keyboard.press(str(present[0] + 1))
    np.testing.assert_array_equal(canvas(page, "mask")[..., 3] == 0, label == present[0])
    page.get_by_role("checkbox", name=COMMA10K.names[present[1]]).uncheck()
    gone = np.isin(label, present[:2])
    np.testing.assert_array_equal(canvas(page, "mask")[..., 3] == 0, gone)
    page.keyboard.press("0")
    assert (canvas(page, "mask")[..., 3] == 255).all()


def test_the_pixel_under_the_pointer_and_the_crosshair_is_named(page, models, frame) -> None:
    show(page, frame)
    result = models["plain"](frame)
    readout = page.locator("#readout")

    def check(x: int, y: int) -> None:
        sure = 100 * result.probabilities[:, y, x].max()
        text = readout.inner_text()
        match = re.fullmatch(r"(\d+), (\d+): (.+), (\d+) % sure", text)
        assert match, text
        assert (int(match[1]), int(match[2])) == (x, y)
        assert match[3] == COMMA10K.names[result.label[y, x]]
        assert int(match[4]) == pytest.approx(sure, abs=1)

    stage = page.locator(".stage")
    box = stage.bounding_box()
    for x, y in ((0, 0), (230, 89), (33, 70)):
        stage.hover(
            position={"x": (x + 0.5) * box["width"] / 231, "y": (y + 0.5) * box["height"] / 90}
        )
        check(x, y)
    stage.focus()
    page.keyboard.press("ArrowRight")  # a hundredth of the width
    check(35, 70)
    for _ in range(3):
        page.keyboard.press("Shift+ArrowUp")
    check(35, 67)


def test_opacity_and_split_show_frame_and_mask(page, models) -> None:
    grey = np.full((90, 120, 3), 128, np.uint8)
    grey[:, 60:] = 20
    show(page, grey)
    mask = np.asarray(models["plain"](grey).mask()).astype(int)

    def seen(x: int) -> np.ndarray:
        picture = PIL.Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("RGB")
        scale = picture.width / 120
        return np.asarray(picture)[round(45.5 * scale), round((x + 0.5) * scale)].astype(int)

    page.locator("#opacity").fill("100")
    page.locator("#split").fill("50")
    np.testing.assert_array_equal(seen(20), (128, 128, 128))  # before
    assert np.abs(seen(90) - mask[45, 90]).max() <= 1  # after
    page.keyboard.press(",")  # 45: the split moves left
    assert page.locator("#split").input_value() == "45"
    page.locator("#opacity").fill("60")
    page.keyboard.press("[")
    assert np.abs(seen(90) - (20 + mask[45, 90]) / 2).max() <= 1
    page.keyboard.press("o")
    np.testing.assert_array_equal(seen(90), (20, 20, 20))


def test_downloads_are_what_is_shown(page, models, frame) -> None:
    show(page, frame)
    result = models["plain"](frame)
    name, data = download(page, "Download Mask")
    assert name == "frame-mask.png"
    mask = PIL.Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(np.asarray(mask), np.asarray(result.mask()))
    name, data = download(page, "Download Overlay")
    assert name == "frame-overlay.png"
    overlay = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(overlay - np.asarray(result.overlay(0.6)).astype(int)).max() <= 1
    name, data = download(page, "Download JSON")
    assert name == "frame.json"
    answer = json.loads(data)
    label = PIL.Image.open(io.BytesIO(base64.b64decode(answer["segmentation_mask"])))
    np.testing.assert_array_equal(np.asarray(label), result.label)


def test_two_models_stand_side_by_side(page, models, frame) -> None:
    show(page, frame)
    page.select_option("#model-b", "flipped too")
    agreement = page.locator("#agreement")
    playwright.expect(agreement).to_contain_text("agree", timeout=WAIT)
    results = [model(frame) for model in models.values()]
    for view, result in enumerate(results):
        drawn = canvas(page, "mask", view)[..., :3]
        np.testing.assert_array_equal(drawn, np.asarray(result.mask()))
    share = np.mean(results[0].label == results[1].label)
    assert 0 < share < 1
    shown = re.search(r"[\d.]+", agreement.inner_text())
    assert shown and float(shown[0]) == pytest.approx(100 * share, abs=0.06)
    left, right = (stage.bounding_box() for stage in page.locator(".stage").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    name, data = download(page, "Download Mask of flipped too")
    assert name == "frame-flipped-too-mask.png"
    mask = PIL.Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(np.asarray(mask), np.asarray(results[1].mask()))


def test_the_webcam_is_segmented_and_its_last_frame_kept(page, models) -> None:
    page.keyboard.press("c")
    playwright.expect(page.locator(".about")).to_contain_text("frames/s", timeout=WAIT)
    assert (canvas(page, "mask")[..., 3] == 255).all()
    page.keyboard.press("c")
    wait_for_status(page, "webcam.png:")  # before, it says "Segmenting webcam.png …"
    kept = models["plain"](canvas(page, "frame")[..., :3].copy())
    np.testing.assert_array_equal(canvas(page, "mask")[..., :3], np.asarray(kept.mask()))


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Twelve frames of 96 × 64 pixels."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 96, 64
        for number in range(12):
            pixels = np.full((64, 96, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return file.getvalue()


def test_a_video_is_played_with_its_overlay_and_kept(page, clip) -> None:
    import av

    choose(page, clip, "drive.mp4", "video/mp4")
    wait_for_status(page, "drive.mp4 is segmented")
    player = page.get_by_label("The video with its overlay")
    if page.evaluate(
        "document.createElement('video').canPlayType('video/mp4; codecs=avc1.42E01E')"
    ):
        player.evaluate("""(video) => new Promise((resolve) =>
            video.readyState >= 2 ? resolve() : video.addEventListener("loadeddata", resolve))""")
        size = player.evaluate("(video) => [video.videoWidth, video.videoHeight, video.duration]")
        assert size == [96, 64, pytest.approx(1.2, abs=0.15)]
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download the video").click()
    assert waiting.value.suggested_filename == "drive-overlay.mp4"
    with av.open(str(waiting.value.path())) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


def test_a_video_shows_how_far_it_is_and_can_be_cancelled(page, serve, gated, clip) -> None:
    with serve({"gated": gated}) as address:
        page.goto(f"http://{address}/")
        page.locator("#model-a option").first.wait_for(state="attached")
        with page.expect_response("**/v1/video?*") as begun:
            choose(page, clip, "drive.mp4", "video/mp4")
        job = f"http://{address}/v1/video/{begun.value.json()['id']}"
        progress = page.get_by_role("progressbar", name="Starting")
        progress.wait_for()
        with page.expect_response(lambda answer: answer.request.method == "DELETE"):
            page.get_by_role("button", name="Cancel").click()
        assert not progress.is_visible()
        wait_for_status(page, "Stopped")
        gated.runtime.open.set()
        state = "running"
        for _ in range(500):
            if state != "running":
                break
            state = page.request.get(job).json()["status"]
            page.wait_for_timeout(20)
        assert state == "cancelled"


def test_a_video_that_is_none_is_one_line(page, errors) -> None:
    choose(page, b"not a video", "drive.mp4", "video/mp4")
    error = page.get_by_role("alert")
    error.wait_for()
    assert "not an MP4" in error.inner_text() and "\n" not in error.inner_text()
    assert not page.locator("#job").is_visible()
    assert page.locator("#drop").is_visible()
    assert "415" in errors.pop()


def test_page_and_webcam_work_behind_a_token(browser, serve, models) -> None:
    with serve(models, token="a-token") as address, browser.new_page() as page:
        page.goto(f"http://{address}/?token=a-token")
        assert page.url == f"http://{address}/"
        page.locator("#model-a option").first.wait_for(state="attached")
        page.keyboard.press("c")
        playwright.expect(page.locator(".about")).to_contain_text("frames/s", timeout=WAIT)


def test_an_error_is_one_line_and_the_next_image_works(page, errors, frame) -> None:
    choose(page, b"no image at all", "notes.png")
    error = page.get_by_role("alert")
    error.wait_for()
    assert error.inner_text() == "notes.png: not a JPEG, PNG, WebP, BMP or TIFF file"
    show(page, frame)
    assert not error.is_visible()
    assert "415" in errors.pop()  # the browser's own line on the answer


def test_a_server_without_a_desk_has_no_link_to_one(page) -> None:
    assert page.get_by_role("link").count() == 0


def test_keys_are_listed_in_a_dialog(page, frame) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.wait_for()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_every_control_has_a_name_and_the_page_fits(page, frame, width) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    show(page, frame)
    page.select_option("#model-b", "flipped too")
    playwright.expect(page.locator("#agreement")).to_contain_text("agree", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "checkbox", "combobox", "slider", "application", "group", "progressbar"}
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value"))
        for node in tree
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert {"button", "checkbox", "combobox", "slider", "application"} <= {
        role for role, _ in controls
    }
    assert all(name for _, name in controls), controls
    buttons = [name for role, name in controls if role == "button"]
    assert len(set(buttons)) == len(buttons), "two buttons share a name"
    rest = {node["role"]["value"]: node for node in tree if not node["ignored"]}
    assert "status" in rest  # a live region


def test_dark_and_light_follow_the_system(page) -> None:
    seen = set()
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert seen == {"rgb(18, 20, 24)", "rgb(255, 255, 255)"}


def test_ids_survive_any_png(page) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (37, 53), np.uint8)
    slope = (np.add.outer(np.arange(37), 3 * np.arange(53)) % 256).astype(np.uint8)
    blocks = rng.integers(0, 5, (4, 6), np.uint8).repeat(10, 0).repeat(9, 1)
    for label in (noise, slope, blocks, noise[:1], noise[:, :1]):
        files = [png(label)]
        for name in ("NONE", "SUB", "UP", "AVG", "PAETH"):
            kind = getattr(cv2, f"IMWRITE_PNG_FILTER_{name}", None)
            if kind is not None:
                files.append(
                    cv2.imencode(".png", label, [cv2.IMWRITE_PNG_FILTER, kind])[1].tobytes()
                )
        for file in files:
            ids, again, painted = page.evaluate(
                """async (text) => {
                    const { decodeIds, encodeIds } = await import("/static/page/ids.js");
                    const toText = (bytes) => btoa(Array.from(
                        new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join(""));
                    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                    const label = await decodeIds(bytes);
                    const colours = Array.from({ length: 256 }, (_, id) => [id, 255 - id, 7]);
                    const grey = await (await encodeIds(label)).arrayBuffer();
                    const painted = await (await encodeIds(label, colours)).arrayBuffer();
                    return [label.ids, grey, painted].map(toText);
                }""",
                base64.b64encode(file).decode(),
            )
            read = np.frombuffer(base64.b64decode(ids), np.uint8).reshape(label.shape)
            np.testing.assert_array_equal(read, label)
            grey = PIL.Image.open(io.BytesIO(base64.b64decode(again)))
            assert grey.mode == "L"
            np.testing.assert_array_equal(np.asarray(grey), label)
            colour = PIL.Image.open(io.BytesIO(base64.b64decode(painted))).convert("RGB")
            np.testing.assert_array_equal(
                np.asarray(colour), np.stack([label, 255 - label, np.full_like(label, 7)], -1)
            )


def test_a_file_that_is_no_label_is_an_error(page) -> None:
    whole = png(np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8))
    files = [whole[:80], b"no PNG at all", png(np.zeros((9, 9, 3), np.uint8)), b""]
    messages = page.evaluate(
        """async (files) => {
            const { decodeIds } = await import("/static/page/ids.js");
            return Promise.all(files.map((text) =>
                decodeIds(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)))
                    .then(() => "", (error) => error.message)));
        }""",
        [base64.b64encode(file).decode() for file in files],
    )
    assert all(messages), messages
