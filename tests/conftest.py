"""Data sets written by Pillow, real frames where they are, a disk that is full, a web browser.

The writers share no code with dashseg: what they draw is the truth that readers are held to.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

# Tensors this small are shared out among threads for longer than they are worked on. PyTorch looks
# when it is imported, here and in the programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SIZE = 40, 56  # H, W of a frame
COMMA_COLOURS = ("#402020", "#ff0000", "#808060", "#00ff66", "#cc00ff", "#00ccff")  # of comma10k
Labels = dict[str, NDArray[np.uint8]]


def rgb(colours: Iterable[str]) -> NDArray[np.uint8]:
    """ "#rrggbb" strings -> uint8 (n, 3)."""
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.uint8)


def draw_label(name: str, classes: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Blocks of random ids, the same for the same name."""
    rng = np.random.default_rng(list(name.encode()))
    blocks = rng.integers(0, classes, (-(-size[0] // 8), -(-size[1] // 8)), np.uint8)
    return np.kron(blocks, np.ones((8, 8), np.uint8))[: size[0], : size[1]]


def write_frame(path: Path, size: tuple[int, int] = SIZE) -> None:
    """A frame of noise around a grey that differs from file to file."""
    rng = np.random.default_rng(list(path.name.encode()))
    pixels = rng.normal(rng.integers(40, 200), 30, (*size, 3)).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def write_comma10k() -> Callable[..., Labels]:
    """write(root, names, part="imgs", size=(40, 56)) -> the label of each name."""

    def write(
        root: Path, names: Sequence[str], part: str = "imgs", size: tuple[int, int] = SIZE
    ) -> Labels:
        colours = rgb(COMMA_COLOURS)
        labels = {name: draw_label(name, 6 if part == "imgsd" else 5, size) for name in names}
        for name, label in labels.items():
            write_frame(root / part / f"{name}.png", size)
            save(root / part.replace("imgs", "masks") / f"{name}.png", colours[label])
        return labels

    return write


@pytest.fixture
def write_camvid11() -> Callable[..., Labels]:
    """write(root, {"train": names, …}) -> the stored ids (11 = unlabelled) of each split/name."""

    def write(root: Path, splits: dict[str, Sequence[str]]) -> Labels:
        labels = {}
        for split, names in splits.items():
            for name in names:
                labels[f"{split}/{name}"] = label = draw_label(name, 12)
                write_frame(root / split / f"{name}.jpg")
                save(root / f"{split}annot" / f"{name}.png", label)
        return labels

    return write


@pytest.fixture
def write_folder() -> Callable[..., Labels]:
    """write(root, names, palette, colours) -> the label of each name.

    `palette` is the text of palette.yaml; `colours` are those that ids are painted in, None for
    masks that hold ids.
    """

    def write(
        root: Path, names: Sequence[str], palette: str, colours: Sequence[str] | None
    ) -> Labels:
        labels = {name: draw_label(name, len(colours) if colours else 3) for name in names}
        for name, label in labels.items():
            write_frame(root / "images" / f"{name}.jpg")
            save(root / "masks" / f"{name}.png", rgb(colours)[label] if colours else label)
        (root / "palette.yaml").write_text(palette)
        return labels

    return write


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first: in large parts, so that few set up the same module twice."""
    slow = ("benchmarks", "test_examples.py", "training", "bench", "inference", "cli", "models")

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return slow.index(folder) if folder in slow else len(slow)

    items.sort(key=place)  # which keeps the order within a folder


def pytest_collection_finish() -> None:
    """What is imported by now stays: a collection of garbage need not go through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real frames: DASHSEG_REAL_FRAMES, else ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DASHSEG_REAL_FRAMES", beside))
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}: set DASHSEG_REAL_FRAMES to their folder")
    return folder


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with random weights that sees several classes in any frame.

    Read it, or copy it to change it: it is shared by all tests.
    """
    import torch
    from torch import nn

    from dashseg.config import (
        AsppConfig,
        DecoderConfig,
        DecoderLevel,
        EncoderConfig,
        InputConfig,
        ModelConfig,
    )
    from dashseg.inference import save_model
    from dashseg.labels import COMMA10K
    from dashseg.models import build_model

    torch.manual_seed(0)
    config = ModelConfig(
        input=InputConfig(size=(36, 64), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)),
        encoder=EncoderConfig(output_stride=16, width=0.25),
        aspp=AsppConfig(channels=8, rates=(1, 2, 3)),
        decoder=DecoderConfig(name="gradual", levels=(DecoderLevel(stride=4, skip=8, channels=8),)),
    )
    network = build_model(config)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.3)
    with torch.no_grad():  # no class wins everywhere
        mean = network.eval()(torch.randn(8, 3, 36, 64)).mean((0, 2, 3))
        network.decoder.classifier.bias -= mean
    folder = tmp_path_factory.mktemp("tiny") / "model"
    save_model(folder, network.state_dict(), config, COMMA10K)
    return folder


@pytest.fixture(scope="session")
def senders() -> Any:
    """The module senders.py, which sends live video."""
    pytest.importorskip("av")
    path = Path(__file__).with_name("senders.py")
    spec = importlib.util.spec_from_file_location("senders", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def timm() -> Any:
    """The library timm; see torchvision_operators.py."""
    path = Path(__file__).with_name("torchvision_operators.py")
    spec = importlib.util.spec_from_file_location("torchvision_operators", path)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # it stays alive there
    spec.loader.exec_module(module)
    module.declare_missing()
    return pytest.importorskip("timm", exc_type=ImportError)


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Recipe changes for a network whose epoch takes a second."""
    return [
        "model.input.size=[64, 96]", "model.encoder.output_stride=32", "model.encoder.width=0.25",
        "model.aspp.channels=16", "training.epochs=1", "training.batch_size=4",
        "training.precision=float32", "training.loggers=[]", "data.workers=0",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty small scenes in comma10k's layout: 18 for training, 2 for validation."""
    from dashseg.scenes import synthesise

    folder = tmp_path_factory.mktemp("data") / "scenes"
    synthesise(folder, 20, seed=5, workers=1, size=(109, 145))
    return folder


class Forks:
    """Runs Python programs without waiting for their imports: see prefork.py."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder  # of what the programs print
        self.count = 0
        self.client = socket.socket(socket.AF_UNIX)
        self.client.connect(server)
        self.lines = self.client.makefile("rw")

    def run(
        self, *arguments: object, cwd: Path, disk: Path | None = None, mount: str = "",
        forking: bool = False, timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """As subprocess.run([sys.executable, *arguments], capture_output=True, text=True).

        Args:
            disk: where to mount an empty disk that the program alone sees.
            mount: its options: size=64k, ro.
            forking: Python programs that it starts are forks as well; it must have no threads.
        """
        self.count += 1
        command = [*map(str, arguments)]
        printed = [self.folder / f"{self.count}.{name}" for name in ("stdout", "stderr")]
        program = {
            "arguments": command, "folder": str(cwd),
            "environment": dict(os.environ), "stdout": str(printed[0]),
            "stderr": str(printed[1]), "disk": str(disk) if disk else None, "mount": mount,
            "forking": forking,
        }  # fmt: skip
        print(json.dumps(program), file=self.lines, flush=True)
        line = self.lines.readline()
        assert line, "prefork.py has ended"
        child = int(line)
        watch = threading.Timer(timeout, os.killpg, (child, signal.SIGKILL))
        watch.start()
        status = int(self.lines.readline())
        watch.cancel()
        return subprocess.CompletedProcess(command, status, *(path.read_text() for path in printed))


@contextmanager
def prefork() -> Iterator[str]:
    """A server that runs programs: the path of its socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path is short
        path = str(Path(folder) / "socket")
        command = [sys.executable, str(Path(__file__).with_name("prefork.py")), path]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
            while not Path(path).exists():  # it listens before it imports
                assert server.poll() is None, "prefork.py failed"
                time.sleep(0.01)
            yield path  # then its input is closed, which ends it


def pytest_configure(config: pytest.Config) -> None:
    """Of several workers, all use one server."""
    if config.getoption("numprocesses", None):
        stack = ExitStack()
        stack.callback(os.environ.pop, "DASHSEG_PREFORK")
        os.environ["DASHSEG_PREFORK"] = stack.enter_context(prefork())
        config.add_cleanup(stack.close)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """forks.run(script or "-c", …): a Python program of its own, quickly."""
    folder = tmp_path_factory.mktemp("forks")
    running = os.environ.get("DASHSEG_PREFORK")
    with nullcontext(running) if running else prefork() as server:
        forks = Forks(folder, server)
        yield forks
        forks.lines.close()
        forks.client.close()


SmallDisk = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def in_small_disk(tmp_path: Path, forks: Forks) -> SmallDisk:
    """Run Python code that sees a real disk of a given size, or one that is read-only.

    run(script, *arguments, size="64k", read_only=False): `script` is Python source; its
    sys.argv[1] is the disk's folder, empty at first, and `arguments` follow. What it leaves there
    is gone when it ends, so it prints what the test is to look at.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    tried = forks.run("-c", "", cwd=tmp_path, disk=disk, mount="size=64k")
    if tried.returncode:
        pytest.skip(f"mounting a disk of its own is not permitted here: {tried.stderr}")

    def run(
        script: str, *arguments: object, size: str = "64k", read_only: bool = False
    ) -> subprocess.CompletedProcess[str]:
        mount = "ro" if read_only else f"size={size}"
        return forks.run("-c", script, disk, *arguments, cwd=Path.cwd(), disk=disk, mount=mount)

    return run


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


@pytest.fixture
def parse_tags() -> Callable[[str], Tags]:
    """parse_tags(html) -> its tags."""
    return Tags


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., str]:
    """browse(url, *flags) -> what a real headless browser prints; skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome to open the page in")
    quiet = ("background-networking", "component-update", "sync", "gpu", "extensions")
    command = [
        program,
        "--headless",
        "--no-sandbox",  # its sandbox does not start for root, as in most containers
        "--no-first-run",
        *(f"--disable-{what}" for what in quiet),
        f"--user-data-dir={tmp_path / 'browser-profile'}",
    ]

    def run(url: str, *flags: str) -> str:
        return subprocess.run(
            [*command, *flags, url],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip

    return run
