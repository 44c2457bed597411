"""One set of dependencies, said in three places: pyproject.toml, requirements.lock, environment.yml."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.checkout import ROOT

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? *\\?$")


def _declared() -> list[Requirement]:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [
        Requirement(line) for line in [*pyproject["project"]["dependencies"], *pyproject["dependency-groups"]["dev"]]
    ]


def _pins(lock: str) -> list[tuple[Requirement, Version, int]]:
    """Each pin of a lock with the number of its hashes; a line that is neither pin nor hash is an error."""
    pins: list[tuple[Requirement, Version, int]] = []
    for line in lock.splitlines():
        if line.startswith("    --hash=sha256:"):
            requirement, version, hashes = pins[-1]
            pins[-1] = (requirement, version, hashes + 1)
            continue
        found = _PIN.match(line)
        if not found:
            raise ValueError(f"not a pin: {line!r}")
        marker = f" ; {found['marker']}" if found["marker"] else ""
        pins.append((Requirement(f"{found['name']}{marker}"), Version(found["version"]), 0))
    return pins


@pytest.fixture(scope="module")
def pins() -> list[tuple[Requirement, Version, int]]:
    return _pins((ROOT / "requirements.lock").read_text())


def test_every_pin_has_a_hash_and_the_lock_names_no_address(
    pins: list[tuple[Requirement, Version, int]],
) -> None:
    assert len(pins) > 100
    assert [requirement.name for requirement, _, hashes in pins if not hashes] == []
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_a_lock_with_an_address_or_without_a_hash_would_be_noticed() -> None:
    with pytest.raises(ValueError, match="not a pin"):
        _pins("--index-url https://registry.example/simple\n")
    assert _pins("left==1.0 \\\n    --hash=sha256:00\nright==2.0\n")[1][2] == 0


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_lock_satisfies_pyproject(pins: list[tuple[Requirement, Version, int]], python: str, platform: str) -> None:
    world = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "os_name": "posix",
    }
    locked: dict[str, Version] = {}
    for requirement, version, _ in pins:
        if requirement.marker is None or requirement.marker.evaluate(world):
            name = canonicalize_name(requirement.name)
            assert name not in locked, f"{name} is pinned twice for Python {python} on {platform}"
            locked[name] = version
    for wanted in _declared():
        version = locked.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not in requirements.lock"
        assert version in wanted.specifier, f"requirements.lock has {wanted.name} {version}, pyproject: {wanted}"


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not run by `make test`, in .venv")
def test_these_tests_run_with_the_locked_versions(pins: list[tuple[Requirement, Version, int]]) -> None:
    astray = []
    for requirement, version, _ in pins:
        if requirement.marker is None or requirement.marker.evaluate():
            installed = Version(metadata.version(requirement.name))
            if installed != version:
                astray.append(f"{requirement.name}: locked {version}, installed {installed}")
    assert not astray


def test_conda_gets_the_same_direct_dependencies() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    by_conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    (by_pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert by_pip[-1] == "-e ."
    assert {str(Requirement(line)) for line in by_pip[:-1]} == {str(wanted) for wanted in _declared()}
    assert {re.split(r"[<>=]", line)[0] for line in by_conda} == {"python", "pip", "make"}
