"""Kill parts of a real Ray cluster under `dashseg ... --cluster`, time it, and weigh its engine.

    python benchmarks/cluster.py [--frames 5000] [--model MODEL] [--smoke]
    python benchmarks/cluster.py --verb evaluate [--frames 1000] [--model MODEL]
    python benchmarks/cluster.py --repeats 3 [--frames 5000] [--model MODEL]
    python benchmarks/cluster.py --plan 10000000

The cluster is a head without cores and two worker nodes of one core each, held to it, as processes
of their own with addresses of their own (127.0.0.2 to .4). `--model` is any model; by default the
network of the recipe `real-time` with random weights. Frames are drawn at a quarter of comma's
size. One process does the work first, with two cores; then the cluster does, undisturbed with one
and with two nodes, and with a kill -9 of a node, of an actor, and of the driver, which is run
again. `--verb` is predict (default), evaluate, stats or pack (of `dashseg data`). The last three
keep nothing for a rerun, so their driver is not killed. They say every ten seconds how far they
are: give them frames for a minute or more. Exit status 1 if what the verb writes differs from that
of the one process.

Prints frames/s and milliseconds of a core that all processes took for a frame (the driver, actors,
all others: Ray's own, and processes of the one), both in the steady state: from the first fifth of
the frames to nine tenths. Ray's start, that of the actors and the first frames are not in it; they
are printed too: seconds until the first frames are there, and seconds of a core until then (the
empty cluster's own start is not in them). Memory is the driver's (without files that
are mapped, as those of a pack) and that of all object stores (of all programs, in /dev/shm), at a
quarter, half and three quarters of the frames, and at most.

`--repeats` weighs the engine alone: `predict --workers 2` without a cluster and with two nodes, in
turn, so many times; prints median and range of each, and of the ratio of their milliseconds.
--smoke starts no cluster unless --harm is given.

`--plan` measures the driver alone: time and memory to plan so many frames of a list, and to find
out in a rerun that half of them are done.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from common import SMALL, TINY, arguments, spread

HEAD, NODES = "127.0.0.2", ("127.0.0.3", "127.0.0.4")  # Ray takes 127.0.0.1 for the machine's own
SIZE = 218, 291  # H, W
DRAWN = 250  # scenes; more frames are links to them
STORE = 100 << 20  # bytes of each object store
HARMS = ("node", "actor", "driver")
KILL_AT = 0.3  # of the frames are done
ACTOR = "ray::MapWorker"  # begins the name of a process that holds the model
STEADY = 0.2, 0.9  # of the frames: a shard's come at once, so that both ends are cut alike
VERBS = ("predict", "evaluate", "stats", "pack")


class Sample(NamedTuple):
    """What was seen at a time.

    Args:
        cores: seconds of a core that were taken by the driver, actors, and all other processes.
        frames: that are done.
        driver, store: bytes in memory.
    """

    seconds: float
    cores: list[float]
    frames: int
    driver: int
    store: int


@dataclass
class Watch:
    """Looks at processes, and at what they have done, twice a second.

    Of processes that began before the watch, what they take from then on counts.
    """

    samples: list[Sample] = field(default_factory=list)

    @contextmanager
    def over(
        self, name: str, count: int, roots: Callable[[], list[int]], driver: Callable[[], int],
        done: Callable[[], int],
    ) -> Iterator[None]:  # fmt: skip
        """Watch the families of `roots` during the block, and say now and then how far they are."""
        stop = threading.Event()
        used, before, kinds = dict[int, float](), dict[int, float](), dict[int, int]()
        told = begin = time.time()

        def look() -> None:
            nonlocal told
            for pid, (process, started, seconds) in _families(roots()).items():
                before.setdefault(pid, 0.0 if started >= begin else seconds)
                used[pid] = seconds
                kinds[pid] = 0 if pid == driver() else 1 if ACTOR in process else 2
            memory = 0
            with suppress(psutil.Error):
                seen = psutil.Process(driver()).memory_info()
                memory = seen.rss - seen.shared
            cores = [0.0, 0.0, 0.0]
            for pid, seconds in used.items():
                cores[kinds[pid]] += seconds - before[pid]
            now = time.time()
            sample = Sample(now - begin, cores, done(), memory, _in_shared_memory())
            self.samples.append(sample)
            if now - told >= 15:
                told = now
                print(
                    f"  {name}: {sample.frames} of {count} frames after {sample.seconds:.0f} s,"
                    f" driver {memory / 1e6:.0f} MB, stores {sample.store / 1e6:.1f} MB",
                    file=sys.stderr, flush=True,
                )  # fmt: skip

        def watch() -> None:
            while not stop.wait(0.5):
                look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            look()

    def at(self, count: float) -> Sample:
        """When so many frames were done, or the last."""
        return next((sample for sample in self.samples if sample.frames >= count), self.samples[-1])

    def figures(self, count: int) -> Figures:
        """Those of a run of `count` frames."""
        first, last = (self.at(part * count) for part in STEADY)
        frames = max(1, last.frames - first.frames)
        start = self.at(1)
        quarters = [self.at(part * count) for part in (0.25, 0.5, 0.75)]
        return Figures(
            frames / max(1e-9, last.seconds - first.seconds),
            [1000 * (b - a) / frames for a, b in zip(first.cores, last.cores, strict=True)],
            start.seconds,
            sum(start.cores),
            [*(each.driver / 1e6 for each in quarters), max(s.driver for s in self.samples) / 1e6],
            [*(each.store / 1e6 for each in quarters), max(s.store for s in self.samples) / 1e6],
        )


class Figures(NamedTuple):
    """Frames/s, and milliseconds of a core a frame of driver, actors and others, steady; seconds,
    and those of a core, until the first frames; megabytes at each quarter and at most."""

    rate: float
    parts: list[float]
    start: float
    start_cores: float
    driver: list[float]
    store: list[float]

    @property
    def core_ms(self) -> float:
        return sum(self.parts)


def _families(pids: list[int]) -> dict[int, tuple[str, float, float]]:
    """Processes and all below them: name, when each began, and what it has taken of a core."""
    found, children = dict[int, tuple[str, float, float]](), dict[int, list[int]]()
    psutil.process_iter.cache_clear()  # which keeps names, and Ray names its processes later
    for process in psutil.process_iter(["name", "ppid", "create_time", "cpu_times"]):
        info = process.info
        if info["cpu_times"] is not None:
            used = sum(info["cpu_times"][:2])
            found[process.pid] = info["name"], info["create_time"], used
            children.setdefault(info["ppid"], []).append(process.pid)
    family, waiting = dict[int, tuple[str, float, float]](), list(pids)
    while waiting:
        pid = waiting.pop()
        if pid in found and pid not in family:
            family[pid] = found[pid]
            waiting += children.get(pid, ())
    return family


def _in_shared_memory() -> int:
    state = os.statvfs("/dev/shm")
    return (state.f_blocks - state.f_bfree) * state.f_frsize


class Cluster:
    """A head and worker nodes; `address` is for --cluster."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        settings: dict[str, Any] = {"object_store_memory": STORE, "include_dashboard": False}
        self.ray = RayCluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "node_ip_address": HEAD, **settings},
        )
        self.address = self.ray.address
        self.nodes = {}
        for core, address in enumerate(NODES[:nodes]):
            node = self.ray.add_node(num_cpus=1, node_ip_address=address, **settings)
            self.nodes[address] = node
            for pid in _families([_raylet(node)]):  # later ones inherit it
                with suppress(psutil.Error):
                    psutil.Process(pid).cpu_affinity([core])
        self.ray.wait_for_nodes()

    def processes(self) -> list[int]:
        nodes = [self.ray.head_node, *self.nodes.values()]
        return [
            info.process.pid
            for node in nodes
            for infos in node.all_processes.values()
            for info in infos
        ]

    def kill_node(self) -> None:
        """kill -9 of all processes of a worker node."""
        node = self.nodes[NODES[0]]
        pids = [info.process.pid for infos in node.all_processes.values() for info in infos]
        for pid in _families(pids):
            with suppress(psutil.Error):
                psutil.Process(pid).kill()

    def kill_actor(self) -> None:
        """kill -9 of one process that holds the model."""
        for pid, (name, *_) in _families(self.processes()).items():
            if ACTOR in name:
                psutil.Process(pid).kill()
                return
        raise LookupError("no actor is running")

    def close(self) -> None:
        self.ray.shutdown()


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def draw(folder: Path, count: int, size: tuple[int, int], verb: str) -> Path:
    """`count` frames: some scenes, and links to them; in 10 sub-folders, or beside their masks."""
    from dashseg.scenes import synthesise

    scenes = folder / "scenes"
    synthesise(scenes, min(count, DRAWN), seed=5, workers=1, size=size)
    for kind in ("imgs",) if verb == "predict" else ("imgs", "masks"):
        pictures = sorted((scenes / kind).iterdir())
        for number in range(count):
            below = f"drive{number % 10}" if verb == "predict" else kind
            target = folder / f"frames/{below}/{number:06d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(pictures[number % len(pictures)], target)
    return folder / "frames"


def save_network(folder: Path, smoke: bool) -> Path:
    import torch

    from dashseg.config import load_recipe
    from dashseg.inference import save_model
    from dashseg.labels import COMMA10K
    from dashseg.models import build_model

    torch.manual_seed(0)
    changes = [change for change in TINY if change.startswith("model.")] if smoke else []
    recipe = load_recipe("demo" if smoke else "real-time", [*changes, "model.weights=null"])
    network = build_model(recipe.model)
    save_model(folder, network.state_dict(), recipe.model, COMMA10K)
    return folder


@dataclass(frozen=True)
class Work:
    """A verb, and what it is given."""

    verb: str
    model: Path
    frames: Path
    count: int

    def begin(self, out: Path, *more: str) -> subprocess.Popen[str]:
        """Start it; what it says goes to files beside `out`."""
        model, frames, to = str(self.model), str(self.frames), ("--out", str(out))
        command = {
            "predict": ["predict", model, frames, *to],
            "evaluate": ["evaluate", model, "--data", frames, "--split", "all", *to],
            "stats": ["data", "stats", frames, "--no-cache", "--json"],
            "pack": ["data", "pack", frames, str(out)],
        }[self.verb]
        with out.with_suffix(".log").open("a") as log, out.with_suffix(".json").open("w") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "dashseg", *command, *more],
                stderr=log, stdout=said, text=True,
            )  # fmt: skip

    def done(self, out: Path) -> int:
        """How many frames it has written, or said that it has done."""
        if self.verb == "predict":
            with suppress(OSError):
                return sum(len(os.listdir(folder)) for folder in (out / "masks").iterdir())
            return 0
        said = re.findall(r": (\d+)/\d+, ", out.with_suffix(".log").read_text())
        return int(said[-1]) if said else 0

    def compare(self, ours: Path, theirs: Path) -> str:
        """ "" if both calls have written the same, else what differs."""
        if self.verb == "stats":
            same = [path.with_suffix(".json").read_text() for path in (ours, theirs)]
            return "" if same[0] == same[1] and len(same[0]) > 100 else "differs"
        found, wanted = self.written(ours), self.written(theirs)
        if not wanted or found.keys() != wanted.keys():
            missing, more = wanted.keys() - found.keys(), found.keys() - wanted.keys()
            return f"{len(missing)} missing, {len(more)} more"
        differing = sum(_content(found[name]) != _content(wanted[name]) for name in wanted)
        return f"{differing} differ" if differing else ""

    def written(self, folder: Path) -> dict[str, Path]:
        """The files whose bytes do not depend on who wrote them."""
        kinds = {
            "predict": ("masks/**/*", "overlays/**/*"),
            "evaluate": ("metrics.json", "per_image.csv", "report/**/*.png"),
            "pack": ("[!.]*",),
        }[self.verb]
        return {
            path.relative_to(folder).as_posix(): path
            for kind in kinds
            for path in folder.glob(kind)
            if path.is_file()
        }


def _content(path: Path) -> Any:
    """The bytes of a file; of metrics.json all but the speed."""
    if path.name != "metrics.json":
        return path.read_bytes()
    return {name: part for name, part in json.loads(path.read_text()).items()
            if name != "throughput"}  # fmt: skip


def finish(process: subprocess.Popen[str], out: Path) -> None:
    if process.wait():
        sys.exit(
            f"{out.name}: exit status {process.returncode}:\n" + out.with_suffix(".log").read_text()
        )


def run_here(work: Work, out: Path, name: str) -> Figures:
    """Do it in one process, or for `stats` and `pack` in two."""
    process, watch = work.begin(out, "--workers", "2"), Watch()
    with watch.over(
        name, work.count, lambda: [process.pid], lambda: process.pid, lambda: work.done(out)
    ):
        finish(process, out)
    return watch.figures(work.count)


def run_on_cluster(work: Work, out: Path, name: str, nodes: int, harm: str = "") -> Figures:
    """Do it on a cluster of its own, and harm that on the way."""
    cluster = Cluster(nodes)
    try:
        driver, watch = work.begin(out, "--cluster", cluster.address), Watch()

        def roots() -> list[int]:
            return [*cluster.processes(), driver.pid]

        with watch.over(name, work.count, roots, lambda: driver.pid, lambda: work.done(out)):
            while harm and work.done(out) < work.count * KILL_AT:
                if driver.poll() is not None:
                    sys.exit(out.with_suffix(".log").read_text())
                time.sleep(0.1)
            if harm == "driver":
                driver.send_signal(signal.SIGKILL)
                driver.wait()
                driver = work.begin(out, "--cluster", cluster.address)
            elif harm:
                getattr(cluster, f"kill_{harm}")()
            finish(driver, out)
        return watch.figures(work.count)
    finally:
        cluster.close()


def report(name: str, figures: Figures, files: str) -> None:
    """Print a line.

    Args:
        files: how what was written compares with the reference, or that it is that.
    """
    memory = "  ".join(
        "/".join(f"{value:.{digits}f}" for value in values)
        for values, digits in ((figures.driver, 0), (figures.store, 1))
    )
    parts = " + ".join(f"{part:.1f}" for part in figures.parts)
    print(
        f"{name:32} {figures.rate:8.2f} {figures.core_ms:6.1f} = {parts:18}"
        f" {figures.start:6.1f} {figures.start_cores:6.1f}  {memory}  {files}",
        flush=True,
    )


def weigh(work: Work, folder: Path, repeats: int) -> bool:
    """Print what the engine takes of a core; say whether all files are the same."""
    here, there, problems = list[Figures](), list[Figures](), list[str]()
    for turn in range(1, repeats + 1):
        one, two = folder / "here", folder / "there"
        here.append(run_here(work, one, f"no cluster, {turn} of {repeats}"))
        report(f"no cluster, {turn} of {repeats}", here[-1], "reference")
        there.append(run_on_cluster(work, two, f"two nodes, {turn} of {repeats}", 2))
        problems.append(work.compare(two, one))
        report(f"two nodes, {turn} of {repeats}", there[-1], problems[-1] or "same")
        for out in (one, two):
            shutil.rmtree(out)
    for name, runs in (("no cluster", here), ("two nodes", there)):
        print(
            f"{name}: {spread([run.core_ms for run in runs], 2)} ms of a core a frame, steady;"
            f" {spread([run.rate for run in runs])} frames/s; the first frames after"
            f" {spread([run.start for run in runs])} s and {spread([r.start_cores for r in runs])}"
            " s of a core"
        )
    ratios = [two.core_ms / one.core_ms for one, two in zip(here, there, strict=True)]
    print(f"two nodes / no cluster, ms of a core, pair by pair: {spread(ratios, 3)}")
    return not any(problems)


def plan_alone(count: int) -> None:
    """Print what the driver takes for a list of `count` frames, without any cluster."""
    from dashseg.scale.outputs import Files
    from dashseg.scale.plan import Plan, extend, read_plan
    from dashseg.scale.predict import unfinished
    from dashseg.scale.record import FOLDER, Record
    from dashseg.scale.row import Row
    from dashseg.scale.storage import Storage

    def rows() -> Iterator[Row]:
        for number in range(count):
            name = f"2026-11-{number % 28:02d}/{number // 1200:06d}/{number % 1200:04d}"
            yield Row(name, f"s3://fleet-of-cars/{name}.png")

    def show(what: str) -> None:
        memory = psutil.Process().memory_info().rss / 1e6
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        seconds = time.process_time() - start
        print(
            f"{what:32} {seconds:7.1f} s of a core {memory:7.0f} MB now, {most:.0f} at most",
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        show("before")
        record = Record(Storage(folder))
        plan = extend(Plan(record.folder), rows(), Files.largest)
        show(f"{count} frames planned")
        done = Path(folder, FOLDER, "done")
        done.mkdir()
        for shard in range(0, len(plan.sizes()), 2):
            (done / f"{shard:08d}.json").write_text("{}")
        start = time.process_time()
        plan = extend(read_plan(record.folder), rows(), Files.largest)
        show("listed again")
        report, pending, _ = unfinished(plan, record)
        show(f"{report.kept} done, {len(pending)} shards to do")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--plan", type=int, metavar="FRAMES")
    parser.add_argument("--frames", type=int, help="default: 5000; 1000 of verbs but predict")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--verb", choices=VERBS, default="predict")
    parser.add_argument("--repeats", type=int, help="weigh the engine: so many pairs of predict")
    parser.add_argument("--harm", choices=HARMS, help="only this; default: all, and none")
    options = parser.parse_args()
    if options.plan:
        plan_alone(options.plan)
        return
    if options.repeats and options.harm:
        parser.error("--repeats kills nothing: leave --harm out")
    if options.repeats and options.verb != "predict":
        parser.error("--repeats weighs predict")
    if options.verb != "predict" and options.harm == "driver":
        parser.error(f"{options.verb} begins anew after its driver died")
    usual = 5000 if options.verb == "predict" else 1000
    count = options.frames or (8 if options.smoke else usual)
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # on a busy machine
    folder = Path(tempfile.mkdtemp(prefix="cluster"))
    try:
        frames = draw(folder, count, SMALL if options.smoke else SIZE, options.verb)
        model = options.model or save_network(folder / "model", options.smoke)
        work = Work(options.verb, model.absolute(), frames, count)
        print(
            f"{options.verb}, {count} frames\n{'':32} frames/s  core ms: driver, actors, others"
            "  start: s, core s  MB of driver and stores at 25/50/75 % and most",
            flush=True,
        )
        if options.repeats:
            sys.exit(not weigh(work, folder, options.repeats))
        one = folder / "one"
        report("one process, two cores", run_here(work, one, "one process"), "reference")
        if options.smoke and not options.harm:
            plan_alone(2000)
            return
        runs = [("one node", 1, ""), ("two nodes", 2, "")]
        harms = [harm for harm in HARMS if options.verb == "predict" or harm != "driver"]
        if options.harm:
            runs, harms = [], [options.harm]
        runs += [
            (f"two nodes, kill -9 of {'a ' * (harm != 'driver')}{harm}", 2, harm) for harm in harms
        ]
        problems = []
        for name, nodes, harm in runs:
            out = folder / name.replace(" ", "-")
            figures = run_on_cluster(work, out, name, nodes, harm)
            problems.append(work.compare(out, one))
            report(name, figures, problems[-1] or "same")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(any(problems))


if __name__ == "__main__":
    main()
