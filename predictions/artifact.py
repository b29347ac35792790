"""Trained models on disk: JSON, named by what is in them.

`<folder>/model.json` is all that scoring needs, `measures.json` how good it was, `MANIFEST.json` the SHA-256 of both. Reading
checks the hashes and every number against a schema; nothing in the files is executed, so a model of unknown origin can at
worst be wrong (a pickle could run code). The version is the hash of model.json: the same data and declaration, the same version.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel, ValidationError, model_validator

from cdp.declarations import Declaration
from cdp.errors import ConfigurationError
from cdp.settings import Settings
from predictions.encoding import Encoder, Finite
from predictions.leakage import Warned
from predictions.learned import Calibration, Learned
from predictions.measures import Measures

MODEL, MEASURES, MANIFEST, CURRENT = "model.json", "measures.json", "MANIFEST.json", "current"
LARGEST_BYTES = 200_000_000


class Trained(Declaration):
    """What a model has learnt from."""

    as_of: str | None = Field(description="Newest moment that the training could see; None for files.")
    cutoffs: tuple[str, ...] = ()
    held_out_cutoff: str | None = None
    rows: int
    positives: int = Field(description="Different persons (accounts, rows) that were positive at least once.")
    negatives: int


class ProbabilityArtifact(Declaration):
    """A model of a probability."""

    format: Literal[1]
    kind: Literal["probability"]
    name: str
    declaration: dict[str, Any]
    trained: Trained
    encoder: Encoder
    learned: Learned
    calibration: Calibration

    @model_validator(mode="after")
    def _fits_together(self) -> ProbabilityArtifact:
        if not self.learned.width_fits(len(self.encoder.columns)):
            raise ValueError("a model that reads the columns of its encoder")
        known = set(self.encoder.features)
        if any(c.feature not in known for c in self.encoder.columns):
            raise ValueError("columns of known features")
        return self


class BetaGeometric(Declaration):
    """Parameters of BG/NBD: rate ~ Gamma(r, alpha), end after an order ~ Beta(a, b)."""

    r: Annotated[Finite, Field(gt=0)]
    alpha: Annotated[Finite, Field(gt=0)]
    a: Annotated[Finite, Field(ge=0)]
    b: Annotated[Finite, Field(ge=0)]


class GammaGamma(Declaration):
    """Parameters of Gamma-Gamma: value of an order ~ Gamma(p, nu), nu ~ Gamma(q, v)."""

    p: Annotated[Finite, Field(gt=0)]
    q: Annotated[Finite, Field(gt=0)]
    v: Annotated[Finite, Field(gt=0)]


class LifetimeArtifact(Declaration):
    """A model of lifetime value. `scale`: values were divided by it before fitting."""

    format: Literal[1]
    kind: Literal["lifetime_value"]
    name: str
    declaration: dict[str, Any]
    trained: Trained
    orders: BetaGeometric
    value: GammaGamma
    scale: Annotated[Finite, Field(gt=0)]


Artifact = ProbabilityArtifact | LifetimeArtifact


class ArtifactFile(RootModel[Annotated[Artifact, Field(discriminator="kind")]]):
    """Either kind."""


class Report(Declaration):
    """How good a model is, and what to look at before it is used."""

    held_out: Measures | None = None
    cross_validated: Measures | None = None
    lifetime: dict[str, float] = Field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    importance: dict[str, float] = Field(
        default_factory=dict, description="Mean distance in log-odds that a feature moves a row."
    )


def canonical(model: BaseModel) -> str:
    """The one JSON text of a model."""
    return json.dumps(model.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def version_of(artifact: Artifact) -> str:
    """First twelve hex digits of the SHA-256 of model.json."""
    return _sha(canonical(artifact).encode())[:12]


def write(folder: Path, artifact: Artifact, report: Report) -> str:
    """Write a model into a folder (made when absent); returns its version."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {MODEL: canonical(artifact), MEASURES: canonical(report)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    manifest = {name: _sha(text.encode()) for name, text in texts.items()}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return version_of(artifact)


def read(folder: Path) -> tuple[Artifact, Report]:
    """A model and its report. Raises ConfigurationError when a file is missing, changed or no model."""
    try:
        manifest = json.loads(_text(folder / MANIFEST))
    except ValueError:
        raise ConfigurationError("is not JSON", where=str(folder / MANIFEST), fix="train the model again") from None
    texts = {}
    for name in (MODEL, MEASURES):
        texts[name] = _text(folder / name)
        if not isinstance(manifest, dict) or manifest.get(name) != _sha(texts[name].encode()):
            raise ConfigurationError(
                "has been changed since it was written",
                where=str(folder / name),
                expected=f"the SHA-256 that {MANIFEST} gives",
                fix="restore it, or train the model again",
            )
    try:
        return ArtifactFile.model_validate_json(texts[MODEL]).root, Report.model_validate_json(texts[MEASURES])
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ConfigurationError(
            f"{'.'.join(str(x) for x in first['loc'])}: {first['msg']}",
            where=str(folder / MODEL),
            expected="a model that `cdp model train` wrote with this version",
            fix="train it again",
        ) from None


def store(settings: Settings, artifact: Artifact, report: Report) -> str:
    """Keep a version of a declared model and make it the current one; earlier versions stay."""
    folder = settings.path("models", artifact.name)
    version = write(folder / version_of(artifact), artifact, report)
    beside = folder / f".{CURRENT}"
    beside.write_text(version + "\n", encoding="ascii")
    beside.replace(folder / CURRENT)
    return version


def current(settings: Settings, name: str) -> tuple[str, Artifact, Report] | None:
    """Version, model and report of what was trained last; None when nothing was. Raises ConfigurationError."""
    pointer = settings.path("models", name, CURRENT)
    if not pointer.exists():
        return None
    version = pointer.read_text(encoding="ascii").strip()
    if not version.isalnum():
        raise ConfigurationError("names no version", where=str(pointer), fix=f"`cdp model train {name}`")
    artifact, report = read(pointer.parent / version)
    return version, artifact, report


def _text(path: Path) -> str:
    if not path.exists():
        raise ConfigurationError(
            "the file does not exist", where=str(path), expected="a trained model", fix="`cdp model train`"
        )
    if path.stat().st_size > LARGEST_BYTES:
        raise ConfigurationError("is too large for a model", where=str(path), expected=f"{LARGEST_BYTES} bytes at most")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError("is not text", where=str(path), expected="JSON", fix="train the model again") from None


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
