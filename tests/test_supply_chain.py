"""Nothing is installed, built or published here that is not pinned, and no bound admits a known hole."""

from __future__ import annotations

import re
import tomllib
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
CI = ROOT / ".ci"
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.txt", "release-requirements.txt")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": system}
    for python, system in product(("3.11", "3.12", "3.13", "3.14"), ("linux", "darwin"))
]

LAST_VULNERABLE = {
    "anyio": "4.14.1",  # CVE-2026-63374, CVE-2026-64847
    "certifi": "2024.6.2",  # CVE-2024-39689
    "click": "8.3.2",  # CVE-2026-7246
    "cryptography": "49.0.0",  # CVE-2026-69247; before it CVE-2026-39892, CVE-2026-34073, CVE-2026-26007
    "h11": "0.15.0",  # CVE-2025-43859
    "idna": "3.14",  # CVE-2026-45409
    "jaraco-context": "6.0.2",  # CVE-2026-23949
    "mako": "1.3.11",  # CVE-2026-44307
    "pygments": "2.19.2",  # CVE-2026-4539
    "pytest": "9.0.2",  # CVE-2025-71176
    "starlette": "1.3.0",  # CVE-2026-54283; before it CVE-2026-54282, CVE-2026-48710
    "zipp": "3.19.0",  # CVE-2024-5569
}
"""The newest release of each package that has an advisory, as far as is known."""


def pins(lock: str) -> Iterator[tuple[str, str, Marker | None, int]]:
    """Name, version, marker and number of hashes of each pin in a lock file."""
    text = re.sub(r"^#.*\n", "", (CI / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for entry in text.replace("\\\n", " ").splitlines():
        pin, *hashes = re.split(r" +--hash=sha256:(?=[0-9a-f]{64}\b)", entry.strip())
        found = re.fullmatch(r"([\w.-]+)==([\w.]+)(?: ; (.+))?", pin.strip())
        assert found, entry
        yield canonicalize_name(found[1]), found[2], Marker(found[3]) if found[3] else None, len(hashes)


def wanted(lock: str) -> Iterator[Requirement]:
    """The requirements that a lock file is made from."""
    project = PROJECT["project"]
    mine = {
        "requirements.txt": chain(
            project["dependencies"], project["optional-dependencies"]["dev"], PROJECT["build-system"]["requires"]
        ),
        "release-requirements.txt": PROJECT["dependency-groups"]["release"],
    }
    return map(Requirement, mine[lock])


def steps() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each step of each workflow."""
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            yield from ((path.name, step) for step in job["steps"])


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_each_requirement_once_on_every_python_and_system(lock: str) -> None:
    pinned = list(pins(lock))
    for requirement, machine in product(list(wanted(lock)), MACHINES):
        if requirement.marker and not requirement.marker.evaluate(machine):
            continue
        name = canonicalize_name(requirement.name)
        versions = [
            version for pin, version, marker, _ in pinned if pin == name and (not marker or marker.evaluate(machine))
        ]
        assert len(versions) == 1, (name, machine, versions)
        assert requirement.specifier.contains(versions[0]), f"{requirement} is not {versions[0]}: run .ci/lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_each_pin_has_hashes_and_neither_an_index_nor_a_path(lock: str) -> None:
    assert all(hashes for *_, hashes in pins(lock))
    text = (CI / lock).read_text(encoding="utf-8").replace(".ci/lock", "")
    assert not re.search(r"[/@]|--(?!hash=)", text)


def test_no_lower_bound_admits_a_release_with_a_known_advisory() -> None:
    bounds = {canonicalize_name(one.name): one.specifier for one in wanted("requirements.txt")}
    for name, vulnerable in LAST_VULNERABLE.items():
        assert not bounds[canonicalize_name(name)].contains(vulnerable), name
    for name, version, *_ in chain.from_iterable(map(pins, LOCKS)):
        assert version != LAST_VULNERABLE.get(name)


def test_the_gate_and_the_release_install_nothing_that_is_not_pinned() -> None:
    scripts = [(CI / "install").read_text(), (CI / "run").read_text(), *(step.get("run", "") for _, step in steps())]
    lines = [line for script in scripts for line in script.replace("\\\n", " ").splitlines()]
    installs = [line for line in lines if re.search(r"pip.* (install|download) ", line) and not line.startswith("#")]
    assert len(installs) == 5
    for line in installs:
        verified = "--require-hashes" in line and "--only-binary :all:" in line
        assert verified or "--no-index" in line or {"--no-deps", "--no-build-isolation"} <= set(line.split()), line


def test_every_action_is_pinned_by_a_commit_and_names_its_version() -> None:
    lines = [line for path in WORKFLOWS for line in path.read_text().splitlines() if re.search(r"\buses:", line)]
    assert len(lines) >= len([step for _, step in steps() if "uses" in step]) > 0
    for line in lines:
        assert re.fullmatch(r" +- uses: [\w-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_no_checkout_leaves_its_credentials_to_what_runs_after_it() -> None:
    checkouts = [step for _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_only_the_jobs_that_run_none_of_our_code_may_write() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] in ({}, {"contents": "read"}), path.name
        for job in workflow["jobs"].values():
            if "write" in job.get("permissions", {}).values():
                assert not any("checkout" in step.get("uses", "") for step in job["steps"]), path.name


def test_a_release_is_audited_listed_and_published_without_a_password() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    release = yaml.safe_load(text)["jobs"]
    runs = " ".join(step.get("run", "") for step in release["build"]["steps"])
    assert runs.index(".ci/run") < runs.index("pip-audit") < runs.index("hatchling build") < runs.index("cyclonedx-py")
    assert release["publish"]["permissions"] == {"id-token": "write"}
    assert release["publish"]["environment"]
    assert "secrets." not in text
    assert "password" not in str(release)


def test_actions_and_packages_are_kept_current() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}
    assert any("/.ci" in update.get("directories", ()) for update in updates)
