"""Every destination is whole: a client that can do what its spec promises, and a README that names its settings."""

from __future__ import annotations

import typing
from importlib import import_module

import pytest

from reverse_etl import catalog


@pytest.mark.parametrize("name", catalog.destination_names())
def test_a_destination_has_what_its_spec_promises(name: str) -> None:
    spec = catalog.destination(name)
    made = typing.get_type_hints(import_module(f"reverse_etl.destinations.{name}.client").connect)["return"]
    wanted = {"prepare", "write", "close"}
    for each in spec.objects.values():
        # Grouped objects and snapshots get their deletes in `write`.
        if each.deletes and not each.batch.group_by and each.delivery == "rows":
            wanted.add("delete")
        wanted |= {"read_back"} if each.reads_back else set()
        wanted |= {"merge"} if each.merges else set()
        if each.message:
            assert each.repeat != "harmless", "a message that is sent twice is read twice"
    assert wanted <= set(dir(made)), f"{made.__name__} lacks {wanted - set(dir(made))}"
    readme = (catalog.DESTINATIONS / name / "README.md").read_text(encoding="utf-8")
    for key in spec.connection:
        assert key.upper() in readme, f"the README does not tell of {key}"
    assert (catalog.DESTINATIONS / name / "__init__.py").exists()
