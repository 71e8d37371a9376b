"""Kill parts of a real Ray cluster under `dashseg predict --cluster`, and time it.

    python benchmarks/cluster.py [--frames 5000] [--model MODEL] [--smoke]
    python benchmarks/cluster.py --plan 10000000

The cluster is a head without cores and two worker nodes of one core each, held to it, as processes
of their own with addresses of their own (127.0.0.2 to .4). `--model` is any model; by default the
network of the recipe `real-time` with random weights. Frames are drawn at a quarter of comma's
size. One process predicts them first, with two cores; then the cluster does, undisturbed with one
and with two nodes, and with a kill -9 of a node, of an actor, and of the driver, which is run
again. Prints frames/s from the first fifth of the frames to the last, milliseconds of a core that
all processes took for a frame, and the most memory that the driver and the object stores had.
Exit status 1 if a file is missing, is there twice or differs from
that of the one process. --smoke starts no cluster unless --harm is given.

`--plan` measures the driver alone: time and memory to plan so many frames of a list, and to find
out in a rerun that half of them are done.
"""

from __future__ import annotations

import os
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
from typing import Any

import psutil
from common import SMALL, TINY, arguments

HEAD, NODES = "127.0.0.2", ("127.0.0.3", "127.0.0.4")  # Ray takes 127.0.0.1 for the machine's own
SIZE = 218, 291  # H, W
DRAWN = 250  # scenes; more frames are links to them
STORE = 100 << 20  # bytes of each object store
HARMS = ("node", "actor", "driver")
KILL_AT = 0.3  # of the frames are there


@dataclass
class Watch:
    """What processes took, looked at four times a second: those that began earlier count from
    then on."""

    seconds: dict[int, float] = field(default_factory=dict)
    before: dict[int, float] = field(default_factory=dict)
    memory: int = 0  # bytes, of the driver
    store: int = 0  # bytes, of all object stores

    @contextmanager
    def over(self, roots: Callable[[], list[int]], driver: int) -> Iterator[None]:
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.25):
                for process in _families(roots()):
                    with suppress(psutil.Error):
                        used = sum(process.cpu_times()[:2])
                        started = process.create_time() >= begin
                        self.before.setdefault(process.pid, 0.0 if started else used)
                        self.seconds[process.pid] = used
                with suppress(psutil.Error):
                    self.memory = max(self.memory, psutil.Process(driver).memory_info().rss)
                self.store = max(self.store, _in_shared_memory())

        begin = time.time()
        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @property
    def core_seconds(self) -> float:
        return sum(used - self.before[pid] for pid, used in self.seconds.items())


def _families(pids: list[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found


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
            for process in _families([_raylet(node)]):  # later ones inherit it
                process.cpu_affinity([core])
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
        for process in _families(
            [info.process.pid for i in node.all_processes.values() for info in i]
        ):
            with suppress(psutil.Error):
                process.kill()

    def kill_actor(self) -> None:
        """kill -9 of one process that holds the model."""
        for process in _families(self.processes()):
            with suppress(psutil.Error):
                if "MapWorker" in " ".join(process.cmdline()):
                    process.kill()
                    return
        raise LookupError("no actor is running")

    def close(self) -> None:
        self.ray.shutdown()


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def draw(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """`count` frames in 10 sub-folders: some scenes, and links to them."""
    from dashseg.scenes import synthesise

    scenes = folder / "scenes"
    synthesise(scenes, min(count, DRAWN), seed=5, workers=1, size=size)
    pictures = sorted((scenes / "imgs").iterdir())
    for number in range(count):
        target = folder / f"frames/drive{number % 10}/{number:06d}.png"
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


def predict(model: Path, frames: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dashseg", "predict", str(model), str(frames)]
    with out.with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            [*command, "--out", str(out), *more], stderr=log, stdout=log, text=True
        )


def outputs(folder: Path) -> dict[str, Path]:
    """Every file of a run but for its record."""
    return {
        path.relative_to(folder).as_posix(): path
        for kind in ("masks", "overlays")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }


def compare(ours: Path, theirs: Path) -> str:
    """ "" if both folders have the same files, else what differs."""
    found, wanted = outputs(ours), outputs(theirs)
    if found.keys() != wanted.keys():
        return (
            f"{len(wanted.keys() - found.keys())} missing, {len(found.keys() - wanted.keys())} more"
        )
    differing = sum(found[name].read_bytes() != wanted[name].read_bytes() for name in wanted)
    return f"{differing} differ" if differing else ""


def rate(folder: Path) -> float:
    """Frames/s, from the first fifth of the masks to the last."""
    times = sorted(path.stat().st_mtime for path in (folder / "masks").rglob("*.png"))
    first = len(times) // 5
    return (len(times) - 1 - first) / max(1e-9, times[-1] - times[first])


def finish(process: subprocess.Popen[str], out: Path) -> None:
    if process.wait():
        sys.exit(
            f"{out.name}: exit status {process.returncode}:\n" + out.with_suffix(".log").read_text()
        )


def report(name: str, out: Path, watch: Watch, count: int, problem: str = "") -> None:
    print(
        f"{name:32} {rate(out):7.2f} {1000 * watch.core_seconds / count:8.1f}"
        f" {watch.memory / 1e6:8.0f} {watch.store / 1e6:8.1f}  {problem or 'same'}",
        flush=True,
    )


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
    parser.add_argument("--frames", type=int, help="default: 5000")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--harm", choices=HARMS, help="only this; default: all, and none")
    options = parser.parse_args()
    if options.plan:
        plan_alone(options.plan)
        return
    count = options.frames or (8 if options.smoke else 5000)
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # on a busy machine
    problems = []
    folder = Path(tempfile.mkdtemp(prefix="cluster"))
    try:
        frames = draw(folder, count, SMALL if options.smoke else SIZE)
        model = options.model or save_network(folder / "model", options.smoke)
        print(f"{count} frames\n{'':32} frames/s  core ms   driver    store  (MB)")
        one = folder / "one"
        process, watch = predict(model, frames, one, "--workers", "2"), Watch()
        with watch.over(lambda: [process.pid], process.pid):
            finish(process, one)
        report("one process, two cores", one, watch, count)

        def run(name: str, nodes: int, harm: str = "") -> None:
            cluster = Cluster(nodes)
            out = folder / name.replace(" ", "-")
            try:
                driver = predict(model, frames, out, "--cluster", cluster.address)
                watch = Watch()
                with watch.over(lambda: [*cluster.processes(), driver.pid], driver.pid):
                    if harm:
                        while len(outputs(out)) < 2 * count * KILL_AT:
                            if driver.poll() is not None:
                                sys.exit(out.with_suffix(".log").read_text())
                            time.sleep(0.1)
                    if harm == "driver":
                        driver.send_signal(signal.SIGKILL)
                        driver.wait()
                        driver = predict(model, frames, out, "--cluster", cluster.address)
                    elif harm:
                        getattr(cluster, f"kill_{harm}")()
                    finish(driver, out)
                problem = compare(out, one)
                report(name, out, watch, count, problem)
                problems.append(problem)
            finally:
                cluster.close()

        if options.smoke and not options.harm:
            plan_alone(2000)
            return
        if not options.harm:
            run("one node", 1)
            run("two nodes", 2)
        for harm in [options.harm] if options.harm else HARMS:
            run(f"two nodes, kill -9 of {'a ' * (harm != 'driver')}{harm}", 2, harm)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(any(problems))


if __name__ == "__main__":
    main()
