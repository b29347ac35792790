"""Orders declarations that use each other, and finds those that use themselves."""

from __future__ import annotations

from collections.abc import Mapping


def layers(uses: Mapping[str, set[str]]) -> list[list[str]]:
    """Names in layers: each uses names of earlier layers only. Names in a cycle, or behind one, are left out."""
    done: set[str] = set()
    found: list[list[str]] = []
    while True:
        ready = sorted(n for n, used in uses.items() if n not in done and (used & uses.keys()) <= done)
        if not ready:
            return found
        found.append(ready)
        done.update(ready)


def cycles(uses: Mapping[str, set[str]]) -> list[list[str]]:
    """One path for each group of names that use each other: ['a', 'b', 'a']."""
    placed = {n for layer in layers(uses) for n in layer}
    found: list[list[str]] = []
    seen: set[str] = set()
    for start in sorted(set(uses) - placed):
        path = [start]
        while start not in seen:
            following = sorted(n for n in uses[path[-1]] if n in uses and n not in placed)
            step = next((n for n in following if n in path), following[0])
            if step in path:
                cycle = path[path.index(step) :]
                least = cycle.index(min(cycle))
                turned = cycle[least:] + cycle[:least]
                if not seen & set(cycle):
                    found.append([*turned, turned[0]])
                seen.update(path)
                break
            path.append(step)
    return found
