"""What expressions may name of predictive models: columns by model, read from `scores/models/*.yml`.

Only name, type and grain are read here; `predictions.declaration` checks the rest. A model over a file (`type: table`) says nothing
of persons and has no column.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from cdp.errors import DeclarationError
from dbt_declarations.contracts import Column, Type

FOLDER = Path("scores") / "models"
# Column of person_prediction and account_prediction by what a name ends with; `""`: the name of the model itself.
OUTPUTS: dict[str, tuple[str, Type]] = {
    "": ("probability", "number"),
    "_decile": ("decile", "integer"),
    "_orders": ("expected_orders", "number"),
    "_value": ("expected_value", "number"),
    "_scored_at": ("scored_as_of", "timestamp"),
}
OF_EVERY_MODEL = ("", "_decile", "_scored_at")
TABLES = {"prediction": "person_prediction", "account_prediction": "account_prediction"}

Models = dict[str, tuple[str, bool]]  # namespace, and whether it has orders and a value, by model


def read_predicted(dbt_dir: Path) -> tuple[Models, list[DeclarationError]]:
    """The declared models that speak of persons or accounts, and what is wrong with their names."""
    models: Models = {}
    for path in sorted((dbt_dir / FOLDER).glob("*.yml")):
        try:
            said = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  (a safe loader)
        except (yaml.YAMLError, UnicodeDecodeError):
            continue  # `cdp model` and the run tell where
        if isinstance(said, dict) and said.get("type") in ("outcome", "lifetime_value"):
            namespace = "account_prediction" if said.get("grain") == "account" else "prediction"
            models[path.stem] = (namespace, said["type"] == "lifetime_value")
    errors = [
        DeclarationError(
            f'ends with "{ending}", like the columns of predictions',
            where=str(dbt_dir / FOLDER / f"{name}.yml"),
            expected="a name with another end",
            fix="rename the model",
        )
        for name in models
        for ending in OUTPUTS
        if ending and name.endswith(ending)
    ]
    return models, errors


def columns_of(models: Models) -> dict[str, dict[str, Column]]:
    """Columns by namespace: the probability under the model's own name, and what else it gives."""
    found: dict[str, dict[str, Column]] = {namespace: {} for namespace in TABLES}
    for model, (namespace, is_lifetime) in models.items():
        for ending in OUTPUTS if is_lifetime else OF_EVERY_MODEL:
            found[namespace][f"{model}{ending}"] = Column(f"{model}{ending}", OUTPUTS[ending][1])
    return found


def output_of(column: str) -> tuple[str, str]:
    """Model, and column of its table, that a name means."""
    for ending, (output, _) in OUTPUTS.items():
        if ending and column.endswith(ending):
            return column.removesuffix(ending), output
    return column, OUTPUTS[""][0]


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
