"""What the pages name is there: files behind links, headings, commands with their options, make targets, configuration options."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

import config
from api import keystone
from cli.main import main

ROOT = Path(__file__).parents[2]
INLINE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OPTION = re.compile(r"\[([A-Za-z_]+)\] ([a-z_]+)")
SEPARATORS = re.compile(r"\s*(?:&&|\|\||;|\|)\s+")
PROMPT = re.compile(r"^(?:\$ +)?(?:\.venv/bin/)?")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


PAGES = tracked()
MANUAL = [page for page in PAGES if page.name == "README.md" or page.is_relative_to(ROOT / "docs")]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_manual_page = pytest.mark.parametrize("page", MANUAL, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def parts(page: Path) -> tuple[str, tuple[str, ...]]:
    """A page's prose, and its code: lines of blocks (indented or fenced, continued ones joined) and what stands in backquotes."""
    prose, code, fenced = [], [], False
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or (line.startswith("    ") and not re.match(r"\s+(?:[-*]|\d+\.) ", line)):
            code.append(line.strip())
        else:
            prose.append(line)
    text = "\n".join(prose)
    code += [" ".join(span[1].split()) for span in INLINE.findall(text)]
    return INLINE.sub("", text), tuple(code)


@cache
def anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ +(.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def words_after(program: str, page: Path) -> Iterator[list[str]]:
    """The arguments of each call of `program` that the page shows."""
    for line in parts(page)[1]:
        for call in SEPARATORS.split(line):
            words = PROMPT.sub("", call).split(" #")[0]
            if words.split(" ", 1)[0] == program:
                yield shlex.split(words.replace("'", " "))[1:]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words lead to, and what is left of them.  Raises LookupError."""
    command: click.Command = main
    rest = [word.strip("[],.") for word in words]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            raise LookupError(f"{command.name} has no command {rest[0]}")
        command, rest = found, rest[1:]
    return command, rest


def make_targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z0-9-]+):", (ROOT / "Makefile").read_text()))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(parts(page)[0]):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@each_manual_page
def test_commands_exist_with_their_options(page: Path) -> None:
    for words in words_after("coffer", page):
        command, rest = command_of(words)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
        unknown = [word for word in rest if word.startswith("--") and word != "--" and word.split("=")[0] not in known]
        assert unknown == [], f"coffer {' '.join(words)}"


@each_manual_page
def test_make_targets_exist(page: Path) -> None:
    named = {word for words in words_after("make", page) for word in words if re.fullmatch(r"[a-z0-9-]+", word)}
    assert named <= make_targets()


@each_manual_page
def test_configuration_options_exist(page: Path) -> None:
    named = {found for code in parts(page)[1] for found in OPTION.findall(code)}
    known = {(group, option.name) for group, options in (*config.GROUPS.items(), *keystone.list_opts()) for option in options}
    assert named <= known


def test_every_page_is_in_the_index_or_behind_a_page_that_is() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [
            (page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(parts(page)[0]) if ":" not in target
        ]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


def test_the_checks_see_what_they_look_for() -> None:
    """Else a change of style could blind them all."""
    calls = [words for page in MANUAL for words in words_after("coffer", page)]
    assert {("up",), ("operation", "retry"), ("db", "upgrade")} <= {tuple(words[:n]) for words in calls for n in (1, 2)}
    assert {"demo", "test", "durability"} <= {word for page in MANUAL for words in words_after("make", page) for word in words}
    with pytest.raises(LookupError):
        command_of(["operation", "explode"])
