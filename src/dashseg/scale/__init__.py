"""Verbs on a cluster, on Ray Data, which hands shards of the work to actors (`cluster`).

`predict_on_cluster` writes files. Its shards of a hundred frames or so are planned and kept in DST
(`plan`), and each actor holds the model (`worker`). Pixels never leave the process that decoded
them. What is done is noted in DST (`record`), so that a killed actor, node or driver costs the
shards that it had at hand.

The other verbs add up what is found in each frame. Actors return that, and the driver adds it up in
the order of the frames (`spread`), as one machine does: `scorer_on_cluster`, `judge_on_cluster`,
`looker_on_cluster`, `spread_on_cluster`.

Nothing here is imported before --cluster is given; pyarrow and Ray come with the extra "scale".
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from dashseg.errors import InputError

if TYPE_CHECKING:
    from dashseg.evaluation.measure import Scorer
    from dashseg.inference.select_frames import Looker
    from dashseg.review.suspects import Judge
    from dashseg.scale.predict import ClusterReport
    from dashseg.scale.spread import Spread

MAX_ERRORS = 1000  # rows that may fail before a run stops: all would, without credentials


def predict_on_cluster(*arguments: Any, **options: Any) -> ClusterReport:
    """`dashseg.scale.predict.predict`, once its packages are known to be there.

    Raises:
        InputError: they are not; as `predict`.
    """
    _require_packages()
    from dashseg.scale.predict import predict

    return predict(*arguments, **options)


def scorer_on_cluster(*arguments: Any, **options: Any) -> Scorer:
    """`dashseg.scale.evaluate.scorer`, once its packages are known to be there.

    Raises:
        InputError: they are not; as `scorer`.
    """
    _require_packages()
    from dashseg.scale.evaluate import scorer

    return scorer(*arguments, **options)


def judge_on_cluster(*arguments: Any, **options: Any) -> Judge:
    """`dashseg.scale.review.judge`, once its packages are known to be there.

    Raises:
        InputError: they are not.
    """
    _require_packages()
    from dashseg.scale.review import judge

    return judge(*arguments, **options)


def looker_on_cluster(*arguments: Any, **options: Any) -> Looker:
    """`dashseg.scale.select.looker`, once its packages are known to be there.

    Raises:
        InputError: they are not; as `looker`.
    """
    _require_packages()
    from dashseg.scale.select import looker

    return looker(*arguments, **options)


def spread_on_cluster(*arguments: Any, **options: Any) -> Spread:
    """A `dashseg.scale.spread.Spread`, once its packages are known to be there.

    Raises:
        InputError: they are not.
    """
    _require_packages()
    from dashseg.scale.spread import Spread

    return Spread(*arguments, **options)


def _require_packages() -> None:
    for package in ("ray", "pyarrow"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"--cluster needs the package {package}: pip install 'dashseg[scale]'")
