"""What slow and lost nodes cost a run on a cluster: a simulation, behind docs/scale.md.

    python benchmarks/cluster_simulation.py [--frames 1e8] [--rate 15] [--rounds 5] [--smoke]

Blocks of frames wait in a queue; each core takes the next one when it is free. A node that is lost
takes its unfinished blocks with it; they go back to the front of the queue, and a new node comes.
What a finished block wrote stays. The queue and the network cost nothing here: the measured share
of the engine belongs to them (docs/results.md). Prints, for each situation, the time of the run
over that of a perfect one (all cores busy, nothing lost), the nodes lost, and the share of the work
that was done twice.
"""

from __future__ import annotations

import heapq
import statistics
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from common import arguments

HOUR = 3600.0


@dataclass(frozen=True)
class Cluster:
    """The cluster, and what goes wrong on it.

    block: frames of a block. rate: frames/s of a core. spread: standard deviation of the logarithm
    of a block's time. slow: share of the nodes at half speed. life: mean hours until a node is
    lost. replaced: seconds until another takes its place, the model loaded. long_video: share of
    all frames in one video that is not divided; its block starts when its turn comes.
    """

    nodes: int = 100
    cores: int = 16
    block: int = 256
    rate: float = 15
    spread: float = 0.1
    slow: float = 0
    life: float = float("inf")
    replaced: float = 300
    long_video: float = 0


@dataclass(frozen=True)
class Outcome:
    """ratio: time over a perfect run's. lost: nodes. repeated: share of the work done twice."""

    ratio: float
    lost: int
    repeated: float


def simulate(cluster: Cluster, frames: float, seed: int) -> Outcome:
    """Run `frames` frames through the cluster, event by event."""
    rng = np.random.default_rng(seed)
    mean = cluster.block / cluster.rate
    count = round(frames * (1 - cluster.long_video) / cluster.block)
    work = mean * rng.lognormal(-(cluster.spread**2) / 2, cluster.spread, count)
    if cluster.long_video:
        long = frames * cluster.long_video / cluster.rate
        work = np.insert(work, rng.integers(len(work)), long)
    slow = round(cluster.nodes * cluster.slow)
    speed = [0.5] * slow + [1.0] * (cluster.nodes - slow)
    perfect = work.sum() / (cluster.cores * sum(speed))

    waiting = deque(range(len(work)))
    running: list[dict[int, float]] = [{} for _ in speed]  # of each node: block -> its start
    serial = [0] * len(speed)  # which machine stands in this place: the first, the second, …
    events: list[tuple[float, int, int, int]] = []  # time, node, serial, block (or _LOST, _BACK)
    idle: list[int] = [node for node in range(len(speed)) for _ in range(cluster.cores)]
    for node in range(len(speed)):
        _plan_loss(events, rng, cluster, 0, node, 0)
    left, now, lost, repeated = len(work), 0.0, 0, 0.0
    while left:
        while waiting and idle:
            node, block = idle.pop(), waiting.popleft()
            running[node][block] = now
            heapq.heappush(events, (now + work[block] / speed[node], node, serial[node], block))
        now, node, machine, block = heapq.heappop(events)
        if machine != serial[node]:
            continue  # planned for a machine that is lost
        if block == _BACK:
            idle += [node] * cluster.cores
            _plan_loss(events, rng, cluster, now, node, machine)
        elif block == _LOST:
            lost += 1
            repeated += sum(now - start for start in running[node].values()) * speed[node]
            waiting.extendleft(running[node])
            running[node] = {}
            idle = [other for other in idle if other != node]
            serial[node] += 1
            heapq.heappush(events, (now + cluster.replaced, node, serial[node], _BACK))
        else:
            del running[node][block]
            idle.append(node)
            left -= 1
    return Outcome(now / perfect, lost, repeated / work.sum())


_LOST, _BACK = -1, -2


def _plan_loss(
    events: list[tuple[float, int, int, int]],
    rng: np.random.Generator,
    cluster: Cluster,
    now: float,
    node: int,
    machine: int,
) -> None:
    if np.isfinite(cluster.life):
        heapq.heappush(events, (now + rng.exponential(cluster.life * HOUR), node, machine, _LOST))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=float, default=1e8)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=15, help="frames/s of one core")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    frames, rounds = (2e4, 1) if options.smoke else (options.frames, options.rounds)
    plain = Cluster(nodes=4 if options.smoke else options.nodes, rate=options.rate)
    spot = replace(plain, life=24)
    situations = {
        "nothing goes wrong": plain,
        "2 % of the nodes at half speed": replace(plain, slow=0.02),
        "2 % at half speed, blocks of 16,384": replace(plain, slow=0.02, block=16_384),
        "nodes live 1,000 hours": replace(plain, life=1000),
        "nodes live 24 hours": spot,
        "24 hours, blocks of 16,384": replace(spot, block=16_384),
        "nodes live 1 hour": replace(plain, life=1),
        "0.1 % of the frames in one video, whole": replace(plain, long_video=0.001),
    }
    hours = frames / (plain.nodes * plain.cores * plain.rate) / HOUR
    print(
        f"{frames:.0e} frames, {plain.nodes} nodes of {plain.cores} cores, {plain.rate:g} frames/s"
    )
    print(f"a core, blocks of {plain.block} frames; a perfect run takes {hours:.2f} hours")
    print(f"{'situation':42} {'time / perfect':>22} {'nodes lost':>10} {'done twice':>10}")
    for name, cluster in situations.items():
        outcomes = [simulate(cluster, frames, seed) for seed in range(rounds)]
        ratios = [outcome.ratio for outcome in outcomes]
        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})"
        lost = statistics.median(outcome.lost for outcome in outcomes)
        repeated = statistics.median(outcome.repeated for outcome in outcomes)
        print(f"{name:42} {spread:>22} {lost:>10g} {repeated:>10.3%}")


if __name__ == "__main__":
    main()
