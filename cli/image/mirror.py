"""Where packages come from: what this machine's own apt is told, and nothing of ours."""

import os
import re
from pathlib import Path

from cli.errors import CliError
from cli.image.recipes import SUITE

APT = Path("/etc/apt")
_SUITE = re.compile(rf"{SUITE}(-updates|-security|/updates)?")


def sources(apt: Path = APT) -> str:
    """Every entry of the machine's apt for Debian's suite, as deb822 or one-line sources.  Raises CliError when there is none."""
    found = [_of_stanzas(path.read_text()) for path in sorted((apt / "sources.list.d").glob("*.sources"))]
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    found += [_of_lines(path.read_text()) for path in lists if path.exists()]
    entries = [entry for entry in found if entry]
    if not entries:
        raise CliError(
            f"this machine's apt knows no source of Debian {SUITE}", f"add one below {apt}/sources.list.d; its suite is {SUITE}"
        )
    return "\n".join(entries)


def options(apt_config: str) -> list[str]:
    """The proxies of `apt-config dump`, which the apt inside needs too."""
    return [line for line in apt_config.splitlines() if re.match(r'Acquire::(https?|ftp)::[Pp]roxy\S* "[^"]+";', line)]


def environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "http_proxy", "https_proxy", "no_proxy")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C.UTF-8"}


def _of_stanzas(text: str) -> str:
    return "\n\n".join(stanza + "\n" for stanza in re.split(r"\n\s*\n", text.strip()) if _wanted(stanza))


def _wanted(stanza: str) -> bool:
    """Only whole stanzas of Debian's suite, switched on."""
    fields = {
        name.lower(): value
        for name, _, value in (line.partition(":") for line in stanza.splitlines() if not line.startswith(("#", " ")))
    }
    suites = fields.get("suites", "").split()
    on = fields.get("enabled", "yes").strip().lower() != "no"
    return on and "deb" in fields.get("types", "").split() and bool(suites) and all(_SUITE.fullmatch(one) for one in suites)


def _of_lines(text: str) -> str:
    lines = []
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", "", line).split()
        if len(words) > 3 and words[0] == "deb" and _SUITE.fullmatch(words[2]):
            lines.append(line)
    return "\n".join(lines)
