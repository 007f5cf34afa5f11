"""What is shipped: locked dependencies, the wheel, sample files, the container files."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", "requirements-dev.lock"]
# Written in pieces, so that this file does not name one itself.
REGISTRIES = [
    r"py" + r"pi\.(?:org|python\.org)",
    r"python" + r"hosted\.org",
    r"registry\.npm" + r"js\.(?:org|com)",
    r"registry\.yarn" + r"pkg\.com",
    r"proxy\.golang" + r"\.org",
    r"static\.crates" + r"\.io",
    r"index\.crates" + r"\.io",
    r"ruby" + r"gems\.org",
    r"repo1?\.maven" + r"\.(?:org|apache\.org)",
]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        described: dict[str, Any] = tomllib.load(file)["project"]
    return described


def test_no_file_names_a_package_registry() -> None:
    pattern = re.compile("|".join(REGISTRIES).encode())
    found = {str(path.relative_to(ROOT)): pattern.findall(path.read_bytes()) for path in tracked()}
    assert {path: hosts for path, hosts in found.items() if hosts} == {}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_hashed_and_knows_no_place(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"(?m)^(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", text))
    unhashed = [entry.split()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry]
    assert unhashed == []
    assert re.findall(r"(?m)^-.*|://|(?<![\w.-])/\w+", text) == []


@pytest.mark.parametrize(("name", "extras"), [("requirements.lock", []), ("requirements-dev.lock", ["dev"])])
def test_lock_fits_the_project(name: str, extras: list[str]) -> None:
    locked = {
        canonicalize_name(package): version
        for package, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", (ROOT / name).read_text())
    }
    wanted = [Requirement(text) for text in project()["dependencies"]]
    for extra in extras:
        wanted += [Requirement(text) for text in project()["optional-dependencies"][extra]]
    wrong = [
        str(want)
        for want in wanted
        if not want.specifier.contains(locked.get(canonicalize_name(want.name), ""), prereleases=True)
    ]
    assert wrong == []


def test_both_locks_agree() -> None:
    run, dev = (set(re.findall(r"(?m)^[\w.-]+==\S+", (ROOT / name).read_text())) for name in LOCKS)
    assert run <= dev


def test_sample_configuration_is_current(tmp_path: Path) -> None:
    """`make docs` writes it anew."""
    made = tmp_path / "coffer.conf"
    generator = Path(sys.executable).with_name("oslo-config-generator")
    namespaces = ["--namespace", "coffer", "--namespace", "coffer.keystone"]
    subprocess.run([generator, *namespaces, "--output-file", made], check=True, cwd=ROOT)
    assert (ROOT / "etc/coffer.conf").read_text() == made.read_text()


def test_wheel_holds_every_module_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in tracked():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    build = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    outside = ("tests/", "benchmarks/", "tools/", "docs/", "testbed/")
    modules = {str(path.relative_to(ROOT)) for path in tracked() if path.suffix == ".py"}
    assert inside == {name for name in modules if not name.startswith(outside)}


def compose() -> dict[str, Any]:
    described: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.temporal.yml").read_text())
    return described


def test_compose_images_are_pinned() -> None:
    for name, service in compose()["services"].items():
        image, _, tag = service["image"].rpartition(":")
        assert image, f"{name}: no tag"
        assert re.match(r"v?\d+\.\d+", tag), f"{name}: {service['image']} is not pinned"


def test_compose_publishes_on_loopback_only() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:7233:7233", "127.0.0.1:8233:8233", "127.0.0.1:8779:8779"]


def test_compose_waits_for_what_can_be_waited_for() -> None:
    services = compose()["services"]
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            once = services[other].get("restart") == "on-failure"
            assert wait["condition"] == ("service_completed_successfully" if once else "service_healthy"), f"{name} -> {other}"
            assert once or "healthcheck" in services[other], f"{name} waits for {other}, which has no health check"
    assert set(services["api"]["depends_on"]) == {"migrations"}
    assert {"migrations", "search-attributes"} == set(services["worker"]["depends_on"])
    assert "healthcheck" in services["api"]
    assert "healthcheck" in services["worker"]


def test_compose_volumes_and_secrets_are_declared() -> None:
    whole = compose()
    for service in whole["services"].values():
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(whole["volumes"])
        assert set(service.get("secrets", [])) <= set(whole["secrets"])


def test_compose_holds_no_password() -> None:
    text = (ROOT / "docker-compose.temporal.yml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text))
    offered = dict(re.findall(r"(?m)^(\w+)=(.*)$", (ROOT / "etc/compose.env.example").read_text()))
    assert asked == set(offered)
    assert set(offered.values()) == {""}
    values = re.findall(r"(?m)^\s*\w*(?:PASSWORD|PWD)\w*:\s*(.*)$", text)
    assert len(values) >= 4
    assert [value for value in values if not value.startswith("${")] == []


def test_compose_sets_only_options_that_exist() -> None:
    import config

    names = {
        name for service in compose()["services"].values() for name in service.get("environment", {}) if name.startswith("OS_")
    }
    options = {f"OS_{group.upper()}__{option.name.upper()}" for group, many in config.list_opts() for option in many}
    assert names
    assert names <= options


def test_compose_file_passes_compose_itself(tmp_path: Path) -> None:
    docker = shutil.which("docker-compose")
    assert docker, "docker-compose is missing: tools/bootstrap --dev installs it"
    environment = tmp_path / "env"
    environment.write_text("TEMPORAL_DB_PASSWORD=a\nCOFFER_DB_PASSWORD=b\nCOFFER_IDENTITY_FILE=/dev/null\n")
    command = [docker, "--env-file", str(environment), "-f", str(ROOT / "docker-compose.temporal.yml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_image_runs_without_root_and_only_with_locked_packages() -> None:
    lines = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11-slim-\w+", base) for base in bases)
    final = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER coffer" in final
    assert json.loads(next(line for line in final if line.startswith("ENTRYPOINT")).split(maxsplit=1)[1]) == ["coffer"]
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line or ("--no-deps" in line and "--no-build-isolation" in line) for line in installs)
    assert not any("apt-get" in line for line in lines)


def test_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert project()["license"]["text"] == "Apache-2.0"
