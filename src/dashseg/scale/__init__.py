"""Verbs on a cluster, on Ray Data, which hands shards of the work to actors (`cluster`).

`predict_on_cluster` writes files. Its shards of a hundred frames or so are planned and kept in DST
(`plan`), and each actor holds the model (`worker`). Pixels never leave the process that decoded
them. What is done is noted in DST (`record`), so that a killed actor, node or driver costs the
shards that it had at hand.

The other verbs add up what is found in each frame. Actors return that, and the driver adds it up in
the order of the frames, as one machine does (`spread`). `evaluate`, `review` and `select` here are
what the verbs of these names do with a model in each actor.

Nothing here is imported before --cluster is given; pyarrow and Ray come with the extra "scale".
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from dashseg.errors import InputError

if TYPE_CHECKING:
    from dashseg.scale.predict import ClusterReport

MAX_ERRORS = 1000  # rows that may fail before a run stops: all would, without credentials


def predict_on_cluster(*arguments: Any, **options: Any) -> ClusterReport:
    """`dashseg.scale.predict.predict`, once its packages are known to be there.

    Raises:
        InputError: they are not; as `predict`.
    """
    require_packages()
    from dashseg.scale.predict import predict

    return predict(*arguments, **options)


def require_packages() -> None:
    """Raise InputError unless the packages of the extra "scale" are there."""
    for package in ("ray", "pyarrow"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"--cluster needs the package {package}: pip install 'dashseg[scale]'")
