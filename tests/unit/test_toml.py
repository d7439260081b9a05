"""A TOML file is read key by key, or refused with file, line, key and one sentence."""

import re
from pathlib import Path

import pytest

from gate import toml

SOURCE = '''\
name = "a"
text = """
[[row]]
size = 7
"""
dotted.deep.size = 1

[[row]]
size = 2

[[row]]
"size" = 3
kind = "b"
list = [
    "x",
    "y",
]

[tables.redis]
port = 6379
'''


def table(folder: Path, source: str = SOURCE) -> toml.Table:
    path = folder / "a.toml"
    path.write_text(source, encoding="utf-8")
    return toml.read(path)


def test_values_have_the_kind_that_was_asked_for(tmp_path: Path) -> None:
    whole = table(tmp_path)
    assert whole.get("name", toml.TEXT) == "a"
    assert whole.get("mode", toml.one_of("paper", "live"), "paper") == "paper"
    assert [row.get("size", toml.number(0)) for row in whole.rows("row")] == [2, 3]
    assert whole.rows("other") == []
    assert {key: one.get("port", toml.whole(1, 65535)) for key, one in services(whole)} == {
        "redis": 6379
    }


def services(whole: toml.Table) -> list[tuple[str, toml.Table]]:
    return list(whole.table("tables").tables())


@pytest.mark.parametrize(
    ("kind", "good", "bad", "words"),
    [
        (toml.TEXT, "a", " ", "text"),
        (toml.ANY_TEXT, "", 1, "text, perhaps empty"),
        (toml.PATTERN, "a+", "([", "a regular expression"),
        (toml.FLAG, True, 1, "true or false"),
        (toml.TABLE, {}, [], "a table"),
        (toml.TEXTS, ["a"], [], "a list of text"),
        (toml.TABLE_OF_TEXT, {"a": ""}, {"a": 1}, "a table of text"),
        (toml.POSITIVE, 0.1, 0, "a number above 0"),
        (toml.number(1), 1.5, float("inf"), "a number from 1"),
        (toml.number(1, 2), 2, True, "a number from 1 to 2"),
        (toml.whole(1, 2), 2, 1.5, "a whole number from 1 to 2"),
        (toml.one_of("a", "b"), "a", "c", "one of a, b"),
    ],
)
def test_a_kind_is_in_words_what_it_is_as_a_test(
    tmp_path: Path, kind: toml.Kind[object], good: object, bad: object, words: str
) -> None:
    whole = table(tmp_path, "")
    assert toml.Table(whole.path, "", {"key": good}).get("key", kind) == good
    with pytest.raises(toml.FileError) as caught:
        toml.Table(whole.path, "", {"key": bad}).get("key", kind)
    assert str(caught.value) == f"{whole.path}: key: expected {words}, got {bad!r}"


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (("name",), 1),
        (("text",), 2),
        (("dotted", "deep", "size"), 6),
        (("row", 0), 8),
        (("row", 0, "size"), 9),
        (("row", 1), 11),
        (("row", 1, "size"), 12),
        (("row", 1, "list"), 14),
        (("row", 2), None),
        (("tables", "redis"), 19),
        (("tables", "redis", "port"), 20),
        (("no such",), None),
        ((), None),
    ],
)
def test_the_line_of_a_key_is_the_one_that_brings_it(where: toml.Where, line: int | None) -> None:
    assert toml.line_of(SOURCE, where) == line


def test_a_key_that_is_missing_is_told_with_the_line_of_its_table(tmp_path: Path) -> None:
    whole = table(tmp_path)
    with pytest.raises(toml.FileError, match=r"a\.toml:8: row\[0\]\.kind: expected text, got noth"):
        [row.get("kind", toml.TEXT) for row in whole.rows("row")]
    with pytest.raises(toml.FileError, match=r"a\.toml: title: expected text, got nothing$"):
        whole.get("title", toml.TEXT)
    with pytest.raises(toml.FileError, match=r"services: expected a table, got nothing$"):
        whole.table("services", required=True)
    with pytest.raises(toml.FileError, match=r"got nothing; did you mean 'name'\?$"):
        whole.get("nmae", toml.TEXT)


def test_an_unknown_key_is_refused_in_every_table_with_the_nearest_known_one(
    tmp_path: Path,
) -> None:
    whole = table(tmp_path, "name = 1\n[[row]]\nsize = 1\n[[row]]\nsise = 1\n")
    whole.get("name", toml.number(0))
    for row in whole.rows("row"):
        row.get("size", toml.number(0), None)
    with pytest.raises(toml.FileError) as caught:
        whole.refuse_unknown()
    said = "expected one of size, got the unknown key 'sise'; did you mean 'size'?"
    assert str(caught.value) == f"{tmp_path / 'a.toml'}:5: row[1].sise: {said}"


def test_a_table_that_is_taken_twice_knows_what_it_was_asked_for(tmp_path: Path) -> None:
    whole = table(tmp_path, "[a]\nb = 1\n")
    whole.table("a").get("b", toml.number(0))
    assert "b" in whole.table("a")
    whole.refuse_unknown()


def test_what_is_taken_by_a_table_of_kinds_is_complete_and_nothing_else(tmp_path: Path) -> None:
    kinds: dict[str, toml.Kind[object]] = {
        "name": toml.TEXT,
        "size": toml.optional(toml.number(0)),
    }
    assert table(tmp_path, 'name = "a"').take(kinds) == {"name": "a"}
    with pytest.raises(toml.FileError, match="name: expected text, got nothing"):
        table(tmp_path, "size = 1").take(kinds)
    with pytest.raises(toml.FileError, match="expected one of name, size, got the unknown key 'x'"):
        table(tmp_path, 'name = "a"\nx = 1').take(kinds)


class Rejected(ValueError):
    pass


def test_a_file_that_cannot_be_read_raises_what_the_caller_catches(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"expected a readable file, got .*no-such: No such file"):
        toml.read(tmp_path / "no-such", Rejected)
    bad = tmp_path / "bad.toml"
    bad.write_text("[", encoding="utf-8")
    with pytest.raises(Rejected, match=f"{re.escape(str(bad))}: expected TOML, got: "):
        toml.read(bad, Rejected)
    with pytest.raises(toml.FileError, match=r"row: expected a table, got \[1\]"):
        table(tmp_path, "row = [1]").rows("row")
