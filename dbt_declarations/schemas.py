"""The JSON Schemas of the declarations, for editors (`# yaml-language-server: $schema=...`)."""

from __future__ import annotations

import json

from pydantic import BaseModel

from cdp.declarations import json_schema
from cdp.identity.matching_model import MatchingModel
from dbt_declarations.conformed import Conformed
from dbt_declarations.kinds import Defaults, Lifecycle, ScoreFile, Segment, TagFile

KINDS: dict[str, tuple[type[BaseModel], str]] = {
    "conformed.json": (Conformed, "Shapes of the conformed layer"),
    "defaults.json": (Defaults, "Who is left out of tags, scores and segments"),
    "lifecycle.json": (Lifecycle, "The stages of the life cycle"),
    "matching.json": (MatchingModel, "A matching model"),
    "score.json": (ScoreFile, "A score"),
    "segment.json": (Segment, "A segment"),
    "tag.json": (TagFile, "A tag"),
}


def schemas() -> dict[str, str]:
    """JSON Schema text by file name."""
    return {
        name: json.dumps(json_schema(model, title), ensure_ascii=False, indent=2) + "\n"
        for name, (model, title) in KINDS.items()
    }
