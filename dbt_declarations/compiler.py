"""Everything that declarations become: SQL and YAML of dbt models, as text by path."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from cdp.errors import DeclarationError
from cdp.settings import Settings, get_settings
from dbt_declarations.contracts import Column
from dbt_declarations.documentation import document_models
from dbt_declarations.profiles import profile_models
from dbt_declarations.project import Project, load_project
from dbt_declarations.scores import check_scores, score_columns, score_models
from dbt_declarations.segments import check_segments
from dbt_declarations.segments_sql import segment_models
from dbt_declarations.tags import check_tags
from dbt_declarations.tags_sql import tag_models

Compiled = dict[Path, str]
GENERATED = Path("models/generated")
# Compilers of other declarations: module, function `(Settings) -> {path relative to dbt_project: text}`, and the folder
# below the project root whose declarations it reads; without the folder there is nothing to compile.
PARTS = (
    ("sources", "compile_sources", "ingest/sources"),
    ("matching", "compile_matching", "dbt_project/matching"),
    ("tracking", "compile_tracking", "ingest/sources"),  # without a plan: the macro that staging calls
)


def compile_all(settings: Settings | None = None) -> Compiled:
    """All generated files by path relative to the dbt project, in the order of paths.

    Raises one DeclarationError that lists everything that is wrong in any declaration.
    """
    settings = settings or get_settings()
    files: Compiled = {}
    errors: list[DeclarationError] = []
    for part in (compile_declarations, *_other_parts(settings)):
        try:
            made = part(settings)
        except DeclarationError as error:
            errors.append(error)
            continue
        twice = sorted(str(path) for path in files.keys() & {Path(p) for p in made})
        if twice:
            errors.append(DeclarationError("is generated twice", where=twice[0], fix="rename one of the declarations"))
        files.update({Path(path): text for path, text in made.items()})
    if errors:
        raise DeclarationError.all_of(errors)
    return dict(sorted(files.items()))


def compile_declarations(settings: Settings) -> Compiled:
    """Tags, scores, life cycle and segments. Raises DeclarationError."""
    return compile_project(load_project(settings.dbt_dir))


def compile_project(project: Project) -> Compiled:
    """The models of a loaded project. Raises DeclarationError with everything that is wrong."""
    profiles = profile_models(project)
    tags = check_tags(project)
    tag_columns = {t.name: Column(t.name, t.type) for t in tags}
    # Tags and scores that are wrong themselves are not reported again wherever they are used.
    wrong = {d.path.stem: Column(d.path.stem, "any") for d in project.tags if d.path.stem not in tag_columns}
    usable = {**project.broken("tags"), **wrong, **tag_columns}
    scores = check_scores(project, usable)
    broken_scores = {c: Column(c, "any") for n in project.broken("scores") for c in (n, f"{n}_grade")}
    segments = check_segments(project, usable, {**broken_scores, **score_columns(scores)})
    project.problems.stop()
    models = {
        "profiles": profiles,
        "tags": tag_models(tags),
        "scores": score_models(scores),
        "segments": segment_models(segments, list(project.segment_models)),
    }
    files = {GENERATED / schema / f"{n}.sql": sql for schema, made in models.items() for n, sql in made.items()}
    files.update({GENERATED / path: text for path, text in document_models(tags, scores, segments).items()})
    return files


def _other_parts(settings: Settings) -> list[Callable[[Settings], dict[Path, str]]]:
    found: list[Callable[[Settings], dict[Path, str]]] = []
    for module, function, folder in PARTS:
        if (settings.project_root / folder).is_dir():
            found.append(getattr(import_module(f"dbt_declarations.{module}"), function))
    return found
