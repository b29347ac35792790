"""The JSON Schema of predictive models, for editors."""

from __future__ import annotations

import json

from cdp.declarations import json_schema
from predictions.declaration import ModelFile


def schemas() -> dict[str, str]:
    """JSON Schema text by file name."""
    return {"model.json": json.dumps(json_schema(ModelFile, "A predictive model"), ensure_ascii=False, indent=2) + "\n"}
