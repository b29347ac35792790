"""The kinds of declarations: one pydantic model for each YAML file that an analytics engineer writes."""

from dbt_declarations.kinds.base import Defaults
from dbt_declarations.kinds.lifecycle import Lifecycle
from dbt_declarations.kinds.scores import PointsScore, RfmScore, ScoreFile
from dbt_declarations.kinds.segments import Segment
from dbt_declarations.kinds.tags import AttributeTag, ManualTag, MinedTag, RuleTag, StatisticalTag, Tag, TagFile

__all__ = [
    "AttributeTag",
    "Defaults",
    "Lifecycle",
    "ManualTag",
    "MinedTag",
    "PointsScore",
    "RfmScore",
    "RuleTag",
    "ScoreFile",
    "Segment",
    "StatisticalTag",
    "Tag",
    "TagFile",
]
