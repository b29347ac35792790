"""`dbt_project/lifecycle.yml`: the stages of customers as state machines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cdp.declarations import Declaration
from dbt_declarations.kinds.base import Expression, Name, PlainText

START = "start"


class Entry(Declaration):
    """A fact that moves a person into a stage: each fact that matches, from the nth one on."""

    over: Literal["person", "event", "order", "lead", "stage_change"] = Field(
        description="person: the moment the person was first seen."
    )
    where: Expression | None = None
    nth: Annotated[int, Field(strict=True, ge=1)] = Field(1, description="Only from the nth matching fact on.")

    @model_validator(mode="after")
    def _person_happens_once(self) -> Entry:
        if self.over == "person" and self.nth != 1:
            raise ValueError("no `nth` with over: person, which happens once")
        return self


class Stage(Declaration):
    """A state; `from` lists the stages it can be entered from (`start`: no stage yet)."""

    name: Name
    description: PlainText
    sources: list[Name] = Field(alias="from", min_length=1)
    enter: list[Entry] = Field(min_length=1)


class StateMachine(Declaration):
    """One model of the life cycle, such as consumer or business."""

    name: Name
    description: PlainText
    stages: list[Stage] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_exist(self) -> StateMachine:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError("each stage name once")
        if START in names:
            raise ValueError(f'stage names other than "{START}", which means: no stage yet')
        reachable, added = {START}, True
        while added:
            more = {s.name for s in self.stages if reachable & set(s.sources)} - reachable
            reachable, added = reachable | more, bool(more)
        for stage in self.stages:
            unknown = [name for name in stage.sources if name not in (*names, START)]
            if unknown:
                raise ValueError(f'stage {stage.name}: `from` names declared stages or "{START}", not "{unknown[0]}"')
            if stage.name in stage.sources:
                raise ValueError(f"stage {stage.name}: a stage is not entered from itself")
            if stage.name not in reachable:
                raise ValueError(f'stage {stage.name}: a chain of `from` that begins at "{START}"')
        return self


class Lifecycle(Declaration):
    """All state machines of the life cycle."""

    owner: PlainText
    description: PlainText
    models: list[StateMachine] = Field(min_length=1)

    @model_validator(mode="after")
    def _models_once(self) -> Lifecycle:
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError("each model name once")
        return self
