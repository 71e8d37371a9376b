"""The page of a difference, opened in a real browser."""

import re

import numpy as np
import pytest

from dashseg.config import DataConfig
from dashseg.curate.diff import compare_labels, write_page
from dashseg.data.sources import open_whole
from dashseg.errors import InputError
from dashseg.images import encode_png

WATCH = """<pre id="seen"></pre><script>
const seen = [];
const look = () => {
  const hidden = (kind) =>
    getComputedStyle(document.querySelector(`article img.${kind}`)).visibility === "hidden";
  seen.push(["old", "new"].filter((kind) => !hidden(kind)).join("+"));
};
look();
for (const key of [" ", " ", "j", "j", "k"]) {
  document.dispatchEvent(new KeyboardEvent("keydown", { key }));
  if (key === " ") look(); else seen.push(document.activeElement.id);
}
document.getElementById("seen").textContent = seen.join(" ");
</script>"""


@pytest.fixture
def page(tmp_path):
    """A page of two changed frames, one with a name that is markup."""
    colours = np.array([(64, 32, 32), (0, 255, 102)], np.uint8)
    for version in ("old", "new"):
        for count, name in ((3, "a"), (30, "<b>x&lt;")):
            label = np.zeros((20, 30), int)
            label.flat[:count] = version == "new"
            for kind, pixels in (("images", np.zeros((20, 30, 3), np.uint8)),
                                 ("masks", colours[label])):  # fmt: skip
                path = tmp_path / version / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(pixels))
        palette = 'classes: {road: "#402020", "<i>car": "#00ff66"}\n'
        (tmp_path / version / "palette.yaml").write_text(palette)
    old, new = (open_whole(DataConfig(root=str(tmp_path / v)))[0] for v in ("old", "new"))
    found = compare_labels(old, new)
    write_page(tmp_path / "page", found, old, new)
    with pytest.raises(InputError, match="exists"):
        write_page(tmp_path / "page", found, old, new)
    return tmp_path / "page" / "index.html"


def test_space_flips_old_and_new_and_keys_go_from_frame_to_frame(page, browse):
    html = page.read_text("utf-8")
    page.write_text(html.replace("</body>", WATCH + "</body>"), "utf-8")
    dom = browse(page.as_uri(), "--dump-dom")
    seen = re.search(r'<pre id="seen">(.*?)</pre>', dom)
    assert seen and seen[1] == "new old new frame-1 frame-2 frame-1"


def test_names_are_text_and_all_pictures_lie_beside_the_page(page, parse_tags):
    tags = parse_tags(page.read_text("utf-8"))
    assert not [tag for tag, _ in tags.tags if tag == "b" and "id" in _]
    html = page.read_text("utf-8")
    assert "&lt;b&gt;x&amp;lt;" in html and "<i>car" not in html
    assert html.index("x&amp;lt;") < html.index("<h3>a</h3>")  # most changed first
    for file in tags.values("src"):
        assert (page.parent / file).is_file()
