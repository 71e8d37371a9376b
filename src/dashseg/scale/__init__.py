"""A Segmenter on a cluster: `predict_on_cluster`, on Ray Data.

The work is planned as shards of a hundred frames or so, kept in DST (`plan`), and Ray Data hands
their numbers to actors, each of which holds the model (`worker`). Pixels never leave the process
that decoded them. What is done is noted in DST (`record`), so that a killed actor, node or driver
costs the shards that it had at hand.

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
    for package in ("ray", "pyarrow"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"--cluster needs the package {package}: pip install 'dashseg[scale]'")
    from dashseg.scale.predict import predict

    return predict(*arguments, **options)
