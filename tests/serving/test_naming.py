"""Names of models in URLs."""

from __future__ import annotations

import re

from dashseg.serving.naming import names_for


def test_names_are_unique_and_need_no_escaping_in_urls() -> None:
    models = ["runs/a b/model", "a b", "../..", "owner/näme", "x/model.onnx", "x.xml", "model", "/"]
    names = names_for(models)
    assert names[:2] == ["a-b", "a-b-2"] and names[4:6] == ["x", "x-2"]
    assert len(set(names)) == len(models)
    assert all(re.fullmatch("[A-Za-z0-9_-][A-Za-z0-9._-]*", name) for name in names)
