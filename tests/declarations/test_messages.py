"""Each wrong declaration gives the promised message: where (file:line), which key, what was found, what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdp.errors import DeclarationError
from tests.declarations.scratch import compiled, write, write_contracts

ATTRIBUTE = "type: attribute\nvalue: {}\n"
RULE = "type: rule\nwhen: {}\n"
COUNT = "type: statistical\nover: {}\naggregate: count\nwhere: {}\n"
SCORE = """type: points
rules:
  - {{name: one, dimension: fit, points: 5, {}}}
grades: [{{grade: A, at_least: 10}}, {{grade: B}}]
"""
RFM = """type: rfm
recency: {{edges: {}}}
frequency: {{edges: [2, 3, 4, 5]}}
monetary: {{quantiles: 5}}
classes: [{{name: best, when: {}}}]
otherwise: rest
"""
LIFE = """owner: x
description: y
models:
  - name: m
    description: z
    stages:
      - {{name: one, description: d, from: [{}], enter: [{{over: order, where: {}}}]}}
"""

# (what is wrong, file, text, what the message must hold)
CASES: list[tuple[str, str, str, list[str]]] = [
    ("not YAML", "tags/x.yml", "name: [", ["tags/x.yml:", "is not valid YAML"]),
    ("a list", "tags/x.yml", "- a\n- name: b\n", ["tags/x.yml:1", "found a list", "a mapping of keys"]),
    ("unknown type", "tags/x.yml", "type: statistik\n", ["tags/x.yml:", "type", "statistik", "statistical"]),
    ("unknown key", "tags/x.yml", COUNT.format("order", "is_revenue") + "windw_days: 3\n",
     ["tags/x.yml:8: windw_days: unknown key", 'did you mean "window_days"?']),
    ("key twice", "tags/x.yml", "type: rule\nwhen: true\nwhen: false\n", ["tags/x.yml:6: when: written twice (first in line 5)"]),
    ("no owner", "tags/x.yml", "name: x\ndescription: d\ntype: rule\nwhen: true\n", ["tags/x.yml:1: owner: is required but missing"]),
    ("name is not the file", "tags/x.yml", "name: y\nowner: o\ndescription: d\ntype: rule\nwhen: true\n",
     ['tags/x.yml:1: name: is "y" in x.yml', "expected: x"]),
    ("bad name", "tags/X-1.yml", "type: rule\nwhen: true\n", ["X-1.yml:1: name: cannot be used", "pattern"]),
    ("name of a column", "segments/digest.yml", "where: city is null\n", ['"digest" is reserved']),
    ("reserved name", "tags/assignment.yml", "type: rule\nwhen: true\n", ['"assignment" is reserved']),
    ("unknown aggregate", "tags/x.yml", "type: statistical\nover: order\naggregate: median\n",
     ["tags/x.yml:6: aggregate: cannot be used", '"median"', "most_frequent"]),
    ("no of", "tags/x.yml", "type: statistical\nover: order\naggregate: sum\n", ["`of: <expression>` with aggregate: sum"]),
    ("of with count", "tags/x.yml", "type: statistical\nover: order\naggregate: count\nof: status\n",
     ["no `of` with aggregate: count"]),
    ("window of 0 days", "tags/x.yml", COUNT.format("order", "is_revenue") + "window_days: 0\n",
     ["tags/x.yml:8: window_days", '"0"', "greater than or equal to 1"]),
    ("window is text", "tags/x.yml", COUNT.format("order", "is_revenue") + "window_days: '30'\n", ["window_days", "integer"]),
    ("expires before since", "tags/x.yml", RULE.format("is_test") + "since: 2026-02-01\nexpires: 2026-01-01\n",
     ["expires: a day after since"]),
    ("template", "tags/x.yml", RULE.format("\"city = '{{ env_var() }}'\""), ["tags/x.yml:5: when", "template marks"]),
    ("unknown column", "tags/x.yml", RULE.format("ciyt = 'x'"),
     ['tags/x.yml:5: when: unknown column "ciyt"', 'did you mean "city"?']),
    ("unknown prefix", "tags/x.yml", RULE.format("persn.city = 'x'"), ['unknown prefix "persn"', 'did you mean "person"?']),
    ("column of account", "tags/x.yml", RULE.format("industry = 'x'"), ['did you mean "account.industry"?']),
    ("unknown column of events", "tags/x.yml", COUNT.format("event", "event_nam = 'x'"), ['did you mean "event_name"?']),
    ("person column in events", "tags/x.yml", COUNT.format("event", "city = 'x'"), ['unknown column "city"', "a column of event"]),
    ("text with number", "tags/x.yml", RULE.format("order_count = '3'"),
     ["an integer is compared with a text", "write the number without quotes"]),
    ("not true/false", "tags/x.yml", RULE.format("order_count"), ["when: is an integer", "expected: true/false"]),
    ("and over numbers", "tags/x.yml", RULE.format("order_count and is_test"), ["and is given an integer"]),
    ("sum of text", "tags/x.yml", "type: statistical\nover: order\naggregate: sum\nof: status\n",
     ["tags/x.yml:7: of: is a text", "expected: a number"]),
    ("bad date", "tags/x.yml", RULE.format("birth_on > '2026-13-01'"), ["'2026-13-01' is not a date"]),
    ("equals null", "tags/x.yml", RULE.format("city = null"), ["never true", "is null"]),
    ("aggregate", "tags/x.yml", RULE.format("count(*) > 3"), ["an aggregate stands in: COUNT(*)", "statistical tag"]),
    ("window function", "tags/x.yml", RULE.format("row_number() over (order by city) = 1"), ["a window function stands in"]),
    ("subquery", "tags/x.yml", RULE.format("city in (select 'x')"), ["a subquery stands in"]),
    ("exists", "tags/x.yml", RULE.format("exists (select 1)"), ["a subquery stands in"]),
    ("clock", "tags/x.yml", RULE.format("last_seen_at > current_timestamp"), ["reads the clock", "days_since()"]),
    ("now()", "tags/x.yml", RULE.format("last_seen_at > now()"), ["reads the clock"]),
    ("unknown function", "tags/x.yml", RULE.format("lowr(city) = 'x'"), ["unknown function lowr()", 'did you mean "lower"?']),
    ("file access", "tags/x.yml", ATTRIBUTE.format("read_text('/etc/hosts')"), ["unknown function read_text()"]),
    ("environment", "tags/x.yml", ATTRIBUTE.format("getenv('HOME')"), ["unknown function getenv()"]),
    ("random", "tags/x.yml", RULE.format("random() > 0.5"), ["unknown function"]),
    ("statement", "tags/x.yml", RULE.format("'drop table person'"), ["cannot be used here: DROP TABLE person"]),
    ("two statements", "tags/x.yml", RULE.format('"is_test; drop table person"'), ["cannot be used here"]),
    ("syntax", "tags/x.yml", RULE.format("is_test and"), ["tags/x.yml:5: when: is not an expression: something is missing in and"]),
    ("open quote", "tags/x.yml", RULE.format("\"city = 'x\""), ["is not an expression"]),
    ("bad pattern", "tags/x.yml", RULE.format("regexp_matches(city, '(')"), ["the pattern cannot be used", "RE2"]),
    ("JSON column", "tags/x.yml", COUNT.format("event", "properties = 'x'"), ["a JSON document", "property('name')"]),
    ("property path", "tags/x.yml", COUNT.format("event", "property('a\"b') = 'x'"), ["property(", "letters, digits"]),
    ("property of orders", "tags/x.yml", COUNT.format("order", "property('a') = 'x'"), ["reads the properties of an event"]),
    ("mixed branches", "tags/x.yml", ATTRIBUTE.format("case when is_test then 1 else 'x' end"), ["an integer, a text", "one type"]),
    ("number of arguments", "tags/x.yml", RULE.format("round(order_count, 1, 2) = 3"), ["round"]),
    ("type of an argument", "tags/x.yml", RULE.format("days_since(city) < 3"), ["days_since() is given a text", "a date or a timestamp"]),
    ("declared type", "tags/x.yml", ATTRIBUTE.format("city") + "value_type: number\n",
     ['tags/x.yml:6: value_type: is "number", but the value is a text']),
    ("personal data", "tags/x.yml", ATTRIBUTE.format("lower(email)") + "pii: none\n", ["made from personal data (person.email)", "pii_reason"]),
    ("when and cases", "tags/x.yml", "type: rule\nwhen: is_test\ncases: [{value: a, when: is_test}]\n", ["either `when`"]),
    ("case is no condition", "tags/x.yml", "type: rule\ncases:\n  - {value: a, when: city}\n",
     ["tags/x.yml:6: cases.0.when: is a text"]),
    ("value twice", "tags/x.yml", "type: rule\ncases: [{value: a, when: is_test}, {value: a, when: is_bot}]\n",
     ["each value in one case"]),
    ("group without priority", "tags/x.yml", RULE.format("is_test") + "group: g\n", ["`group` and `priority` together"]),
    ("uses itself", "tags/x.yml", RULE.format("not x"), ["tag is defined by itself: x -> x"]),
    ("manual without type", "tags/x.yml", "type: manual\n", ["value_type: is required but missing"]),
    ("in_segment in a tag", "tags/x.yml", RULE.format("in_segment('y')"), ["where segments do not exist yet"]),
    ("rule of two kinds", "scores/x.yml", SCORE.format("when: is_test, over: event"), ["rules.0", "either `when`"]),
    ("half-life over profile", "scores/x.yml", SCORE.format("when: is_test, half_life_days: 3"), ["only together with `over`"]),
    ("unknown dimension", "scores/x.yml", SCORE.format("when: is_test").replace("fit", "fitt"),
     ["scores/x.yml:6: rules.0.dimension", 'did you mean "fit"?']),
    ("negative cap", "scores/x.yml", SCORE.format("when: is_test, cap: -3"), ["rules.0.cap", "greater than 0"]),
    ("wrong column in a rule", "scores/x.yml", SCORE.format("over: order, where: paid"),
     ['rules.0.where: unknown column "paid"']),
    ("rule twice", "scores/x.yml",
     "type: points\nrules:\n  - {name: a, dimension: fit, points: 1, when: is_test}\n"
     "  - {name: a, dimension: fit, points: 1, when: is_bot}\ngrades: [{grade: A}]\n", ["written twice: a"]),
    ("grades rise", "scores/x.yml", SCORE.format("when: is_test").replace(
        "grades: [{grade: A, at_least: 10}", "grades: [{grade: C, at_least: 1}, {grade: A, at_least: 10}"), ["falling"]),
    ("no last grade", "scores/x.yml", SCORE.format("when: is_test").replace(", {grade: B}", ""), ["takes the rest"]),
    ("edges fall", "scores/x.yml", RFM.format("[4, 3, 2, 1]", "r > 3"), ["edges that rise"]),
    ("three edges", "scores/x.yml", RFM.format("[1, 2, 3]", "r > 3"), ["recency.edges", "at least 4"]),
    ("class over another column", "scores/x.yml", RFM.format("[1, 2, 3, 4]", "recency > 3"), ['unknown column "recency"']),
    ("segment over text", "segments/x.yml", "where: city\n", ["segments/x.yml:4: where: is a text"]),
    ("unknown segment", "segments/x.yml", "where: in_segment('y')\n", ['unknown segment "y"']),
    ("segment in itself", "segments/x.yml", "where: is_test or in_segment('x')\n", ["segment is defined by itself: x -> x"]),
    ("segment without where", "segments/x.yml", "exclude: is_test\n", ["`where`, `accounts` or `include`"]),
    ("stage from nowhere", "lifecycle.yml", LIFE.format("two", "is_revenue"), ['not "two"']),
    ("stage cannot be reached", "lifecycle.yml", LIFE.format("one", "is_revenue"), ["not entered from itself"]),
    ("wrong fact condition", "lifecycle.yml", LIFE.format("start", "net_value"),
     ["lifecycle.yml:7: models.0.stages.0.enter.0.where: is a number"]),
    ("default over tags", "defaults.yml", "owner: x\ndescription: y\nexclude: tag.vip\n", ["defaults.yml:3: exclude", "prefix"]),
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with contracts and nothing declared; messages name files relative to it."""
    write_contracts(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("file", "text", "promised"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_message(project: Path, file: str, text: str, promised: list[str]) -> None:
    """One error, and it says all that was promised."""
    write(project, file, text)
    with pytest.raises(DeclarationError) as caught:
        compiled(project)
    message = str(caught.value)
    assert len(caught.value.errors) == 1, message
    assert [p for p in promised if p not in message] == [], message
    assert "Traceback" not in message and "pydantic" not in message


def test_all_errors_are_told_at_once(project: Path) -> None:
    """One run names every wrong declaration, and none that is wrong only because of another."""
    write(project, "tags/broken.yml", "type: statistical\nover: order\naggregat: count\n")
    write(project, "tags/wrong.yml", RULE.format("ciyt = 'x'"))
    write(project, "tags/user.yml", RULE.format("broken > 3 and wrong"))
    write(project, "segments/people.yml", "where: tag.wrong and broken = 1 and lead_score > 3\n")
    write(project, "scores/lead_score.yml", SCORE.format("when: order_cont > 1"))
    with pytest.raises(DeclarationError) as caught:
        compiled(project)
    wrong = {e.where.split(":")[0] for e in caught.value.errors}
    assert wrong == {"tags/broken.yml", "tags/wrong.yml", "scores/lead_score.yml"}, str(caught.value)


def test_cycles_and_double_names(project: Path) -> None:
    """Circles over several declarations are named with their path; a name is declared or hand-written, not both."""
    write(project, "tags/a.yml", RULE.format("b"))
    write(project, "tags/b.yml", RULE.format("c or is_test"))
    write(project, "tags/c.yml", RULE.format("a"))
    write(project, "tags/vip.yml", RULE.format("is_test"))
    write(project, "models/tags/tag_vip.sql", "select 1")
    write(project, "models/tags/tag_untyped.sql", "select 1")
    write(project, "segments/s.yml", "where: in_segment('t')\n")
    write(project, "segments/t.yml", "where: segment.s\n")
    with pytest.raises(DeclarationError) as caught:
        compiled(project)
    message = str(caught.value)
    for promised in (
        "a -> b -> c -> a",
        "s -> t -> s",
        'tag "vip" is also written by hand',
        "type of its value is not declared",
    ):
        assert promised in message, message


def test_priorities_of_a_group(project: Path) -> None:
    """Two tags of a group cannot have one priority."""
    write(project, "tags/one.yml", RULE.format("is_test") + "group: g\npriority: 1\n")
    write(project, "tags/two.yml", RULE.format("is_bot") + "group: g\npriority: 1\n")
    with pytest.raises(DeclarationError, match='priority 1 of group "g" is taken by one'):
        compiled(project)


def test_missing_contract(tmp_path: Path) -> None:
    """Without the contract of a profile nothing can be checked, and the message says which file to add."""
    write(tmp_path, "tags/x.yml", RULE.format("is_test"))
    with pytest.raises(DeclarationError, match="the contract of person is missing"):
        compiled(tmp_path)


def test_deep_nesting_is_a_message(project: Path) -> None:
    """Expressions that are too deep, and long lists of conditions, end in a message or in SQL, never in a traceback."""
    write(project, "tags/long.yml", RULE.format(" or ".join(f"order_count = {n}" for n in range(800))))
    compiled(project)
    write(project, "tags/deep.yml", RULE.format("(" * 1500 + "is_test" + ")" * 1500))
    with pytest.raises(DeclarationError):
        compiled(project)


@pytest.mark.parametrize(
    "text", ["where: " + "[" * 50_000, "- " * 3_000 + "x", "".join(" " * n + "a:\n" for n in range(2_000))]
)
def test_a_file_nested_without_end_is_refused(tmp_path: Path, text: str) -> None:
    """libyaml would go down the stack with it until the process dies."""
    write_contracts(tmp_path)
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "x.yml").write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError, match="is nested too deeply"):
        compiled(tmp_path)
