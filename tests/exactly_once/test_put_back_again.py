"""Ledgers that are put back with a request on its way, again and again, and that somebody uses in between.

The tenant lists a request late, so that only what this machine remembers keeps it from being sent again.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import platformdirs
import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from batch.sandbox.tokens import TokenIssuer
from tests.end_to_end.program import (
    Ended,
    Program,
    accepted,
    environment,
    fork,
    grant,
    identity,
    once,
    pair_of,
    write_rows,
)
from tests.exactly_once.test_stale_ledger import back_up, put_back
from tests.ledger.ledger_helpers import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.thorough

OPTIONS = ("--yes", "--check-tenant", "never", "--settle-after", "1", "--concurrency", "1")
LAG = 6.0
"""Seconds until the tenant lists a request: the longer, the more a test proves."""
FIRST, ANOTHER = grant(99, 99), grant(50, 50)
WANTED = grant(1, 1)


class Story:
    """A tenant, and one ledger at a place from which it can be taken away."""

    def __init__(self, program: Program, tenant: RunningSandbox, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self.tenant = tenant
        self.ledger = folder / "ledger.db"

    def file(self, name: str, *lines: Mapping[str, str]) -> Path:
        """An input with these rows."""
        return write_rows(self._folder / name, lines)

    def command(self, *words: str | Path, more: Mapping[str, str] | None = None) -> Ended:
        """A command with the ledger, in this machine's environment with `more`."""
        there = {**environment(self.tenant), **(more or {})}
        return self._program(*words, "--ledger", self.ledger, env=there)

    def submit(self, path: Path, *options: str, more: Mapping[str, str] | None = None) -> Ended:
        """Submits an input."""
        return self.command("submit", path, *OPTIONS, *options, more=more)

    def plan_only(self, path: Path, more: Mapping[str, str] | None = None) -> None:
        """Plans an input, and can send nothing of it."""
        self.submit(path, more={"SAIL_CLIENT_SECRET": "wrong", **(more or {})})

    def kill_on_its_way(self, path: Path, *options: str, fault: Fault = Fault.HANG_AFTER, after: int = 1) -> None:
        """Kills a submit whose next request, or a later one, has arrived, but has no answer."""
        before = self.tenant.tenant.audit.posts
        self.tenant.faults.add(fault)
        there = environment(self.tenant)
        process = fork("submit", path, *OPTIONS, *options, "--ledger", self.ledger, env=there)
        wait_until(lambda: self.tenant.tenant.audit.posts == before + after, process)
        process.kill()
        process.communicate()

    def back_up(self, name: str) -> None:
        """Makes a backup of the ledger."""
        back_up(self.ledger, self._folder / name)

    def put_back(self, name: str) -> None:
        """Puts a backup in the ledger's place."""
        put_back(self._folder / name, self.ledger)

    def finish(self, path: Path) -> Ended:
        """Submits an input until nothing is unconfirmed."""
        end = time.monotonic() + 600
        while (ended := self.submit(path)).code == 4 and time.monotonic() < end:
            time.sleep(1)
        return ended

    def runs(self) -> list[str]:
        """The ids of the ledger's runs."""
        return [run for (run,) in rows(self.ledger, "SELECT id FROM run ORDER BY number")]

    def has_once(self, *lines: Mapping[str, str]) -> bool:
        """Whether the tenant was asked for exactly these changes, once each."""
        return accepted(self.tenant) == once(map(pair_of, lines))


@pytest.fixture
def story(program: Program, tmp_path: Path) -> Iterator[Story]:
    """A tenant that lists late; its first request is listed, so that it can prove something."""
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1), visibility_delay=LAG, approval_seconds=0.0, provisioning_seconds=0.0
    )
    with running_sandbox(settings) as tenant:
        story = Story(program, tenant, tmp_path)
        assert story.submit(story.file("first.csv", FIRST)).code == 0
        time.sleep(LAG + 1)
        story.back_up("before")
        yield story


@pytest.mark.parametrize("planned", [False, True])
def test_one_backup_that_is_put_back_twice_sends_nothing_twice(story: Story, planned: bool) -> None:  # noqa: FBT001
    path = story.file("a.csv", WANTED)
    if planned:
        story.plan_only(path)
        story.back_up("before")
    story.kill_on_its_way(path)
    for _ in range(2):
        story.put_back("before")
        assert story.submit(path).code in {0, 4}
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, WANTED)
    assert story.command("ledger", "verify").code == 0


def test_one_run_that_is_lost_twice_sends_nothing_twice(story: Story) -> None:
    lines = [{**grant(number, number), "comment": f"{number}"} for number in (1, 2)]
    path = story.file("a.csv", *lines)
    story.kill_on_its_way(path)
    story.put_back("before")
    story.submit(story.file("other.csv", ANOTHER))
    story.back_up("later")
    story.kill_on_its_way(path)
    story.put_back("later")
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, ANOTHER, *lines)


def test_what_was_accepted_before_says_nothing_of_another_event_with_its_number(story: Story) -> None:
    lines = [{**grant(number, number), "comment": f"{number}"} for number in (1, 2)]
    path = story.file("a.csv", *lines)
    before = story.tenant.tenant.audit.posts
    process = fork("submit", path, *OPTIONS, "--rate", "1/30", "--ledger", story.ledger, env=environment(story.tenant))
    run = "SELECT count(*) FROM request WHERE state = 'ACCEPTED' AND run = 2"
    wait_until(lambda: story.tenant.tenant.audit.posts > before and rows(story.ledger, run) == [(1,)], process)
    process.kill()
    process.communicate()
    story.put_back("before")
    time.sleep(LAG + 1)
    story.kill_on_its_way(path)
    story.put_back("before")
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, *lines)


def test_a_doubt_that_a_backup_has_proves_nothing_of_a_later_attempt(story: Story) -> None:
    path = story.file("a.csv", WANTED)
    story.kill_on_its_way(path, fault=Fault.HANG_BEFORE)
    story.submit(path)
    story.submit(story.file("other.csv", ANOTHER))
    time.sleep(LAG + 1)
    story.back_up("in doubt")
    story.kill_on_its_way(path)
    story.put_back("in doubt")
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, ANOTHER, WANTED)


@pytest.mark.parametrize("when", ["before the backup", "after it was put back"])
def test_what_was_discarded_and_is_on_its_way_is_not_sent_again(story: Story, when: str) -> None:
    path = story.file("a.csv", WANTED)
    story.plan_only(path)
    (_, run) = story.runs()
    if when == "before the backup":
        assert story.command("discard", run).code == 0
    story.back_up("planned")
    story.kill_on_its_way(path)
    story.put_back("planned")
    if when == "after it was put back":
        assert story.command("discard", run).code == 0
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, WANTED)


def test_another_machine_that_has_planned_a_lost_run_hides_nothing_of_it(story: Story, tmp_path: Path) -> None:
    other = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    path = story.file("a.csv", WANTED)
    story.kill_on_its_way(path)
    story.put_back("before")
    assert story.submit(story.file("other.csv", ANOTHER), more=other).code == 0
    story.plan_only(path, more=other)
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, ANOTHER, WANTED)


@pytest.mark.parametrize("left", [60, -20])
def test_nothing_is_sent_if_nobody_can_read_what_was_on_its_way(story: Story, left: int) -> None:
    path = story.file("a.csv", WANTED)
    story.kill_on_its_way(path)
    ((ledger,),), run = rows(story.ledger, "SELECT ledger FROM about"), story.runs()[-1]
    kept = platformdirs.user_state_path("access-batch") / "heads" / ledger / run
    kept.write_bytes(kept.read_bytes()[:left])
    story.put_back("before")
    ended = story.submit(path)
    assert (ended.code, f"{kept} can't be read." in ended.err) == (4, True)
    assert story.has_once(FIRST, WANTED)


def test_what_stands_for_a_lost_request_can_be_tracked_proven_and_revoked(story: Story, tmp_path: Path) -> None:
    path = story.file("a.csv", WANTED)
    story.kill_on_its_way(path)
    story.put_back("before")
    assert story.finish(path).code == 0
    time.sleep(LAG + 1)
    assert [story.command("track", run, "--track-for", "0").code for run in story.runs()] == [0, 0]
    told = story.command("evidence", story.runs()[-1], "--json", "--out", tmp_path / "evidence.zip")
    assert set(told.json["missing"].values()) == {"the run has the requests of another run that the ledger has lost"}
    story.command("ledger", "import")
    assert rows(story.ledger, "SELECT count(*) FROM request WHERE run = 3") == [(0,)], "the ledger knew all"
    revoke = story.file("revoke.csv", {**WANTED, "operation": "REVOKE", "comment": "leaves"})
    assert story.finish(revoke).code == 0
    assert ("REVOKE", *pair_of(WANTED)[1:]) in accepted(story.tenant)
    assert story.command("ledger", "verify").code == 0


# Lists that show one row of a body, and not the others.


class Parted(Story):
    """A story with a tenant that does not list some people."""

    def hide(self, number: int) -> None:
        """The tenant lists nothing of a person any more."""
        self.tenant.tenant.visible(datetime.now(UTC)).rows.unlisted.add(identity(number))

    def show(self) -> None:
        """The tenant lists everything."""
        self.tenant.tenant.visible(datetime.now(UTC)).rows.unlisted.clear()

    def try_often(self, path: Path, *options: str) -> None:
        """Submits an input that stays unconfirmed, and others in between, which are controls."""
        for number in range(3):
            assert self.submit(path, *options).code == 4
            assert self.submit(self.file(f"control {number}.csv", grant(60 + number, 60))).code == 0


@pytest.fixture
def parted(program: Program, tmp_path: Path) -> Iterator[Parted]:
    """A tenant whose first request is listed, so that it can prove something."""
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.5,
        approval_seconds=None,
        identities=frozenset(map(identity, range(100))) - {identity(4)},
        names_bad_id=False,
    )
    with running_sandbox(settings) as tenant:
        story = Parted(program, tenant, tmp_path)
        assert story.submit(story.file("first.csv", FIRST)).code == 0
        time.sleep(1)
        story.back_up("before")
        yield story


CONTROLS = [grant(60 + number, 60) for number in range(3)]


def test_a_part_of_a_request_that_has_arrived_is_not_sent_again_by_a_ledger_that_has_lost_it(parted: Parted) -> None:
    wanted = [grant(1, 5), grant(2, 5), grant(3, 9)]
    path = parted.file("a.csv", *wanted)
    parted.hide(2)
    parted.kill_on_its_way(path)
    time.sleep(1)
    assert parted.command("settle", parted.runs()[-1], "--settle-after", "0.5").code == 4
    assert parted.submit(path).code == 4
    parted.put_back("before")
    parted.try_often(path)
    parted.show()
    assert parted.finish(path).code == 0
    assert parted.has_once(FIRST, *wanted, *CONTROLS)


@pytest.mark.parametrize("imports", [False, True])
def test_what_was_imported_of_a_lost_request_shows_that_the_rest_has_arrived(
    parted: Parted,
    imports: bool,  # noqa: FBT001 - a parameter
) -> None:
    earlier = [grant(number, 7) for number in (11, 12, 13)]
    wanted = [grant(1, 5), grant(2, 5)]
    path = parted.file("a.csv", *wanted)
    assert parted.submit(parted.file("earlier.csv", *earlier)).code == 0
    parted.hide(2)
    parted.kill_on_its_way(path)
    parted.put_back("before")
    time.sleep(1)
    if imports:
        assert parted.command("ledger", "import").code in {0, 3}
    parted.try_often(path)
    parted.show()
    assert parted.finish(path).code == 0
    assert parted.has_once(FIRST, *earlier, *wanted, *CONTROLS)


@pytest.mark.parametrize("backup", ["planned", "before"])
def test_the_requests_of_a_lost_body_have_arrived_together(parted: Parted, backup: str) -> None:
    wanted = people(1, 2, 3)
    path = parted.file("a.csv", *wanted)
    parted.submit(path, "--api", "v1", more={"SAIL_CLIENT_SECRET": "wrong"})
    parted.back_up("planned")
    parted.hide(2)
    parted.kill_on_its_way(path, "--api", "v1")
    parted.put_back(backup)
    parted.try_often(path, "--api", "v1")
    parted.show()
    while parted.submit(path, "--api", "v1").code == 4:
        time.sleep(1)
    assert parted.has_once(FIRST, *wanted, *CONTROLS)


@pytest.mark.parametrize("backup", ["planned", "before"])
def test_the_requests_of_a_body_that_was_refused_arrive_by_themselves(parted: Parted, backup: str) -> None:
    good = people(1, 2, 3)
    path = parted.file("a.csv", *(wanted := [*good, *people(4)]))
    parted.submit(path, "--api", "v1", more={"SAIL_CLIENT_SECRET": "wrong"})
    parted.back_up("planned")
    parted.tenant.faults.add(None)
    parted.kill_on_its_way(path, "--api", "v1", after=2)
    parted.put_back(backup)
    for number in range(4):
        if parted.submit(path, "--api", "v1").code == 3:
            break
        parted.submit(parted.file(f"control {number}.csv", grant(60 + number, 60)))
    assert {
        pair: count for pair, count in accepted(parted.tenant).items() if pair in set(map(pair_of, wanted))
    } == once(map(pair_of, good))


def people(*numbers: int) -> list[Mapping[str, str]]:
    """Two rows for each person, with a comment of their own: each is a request."""
    return [
        {**grant(number, (number + 5 * k) % 12), "comment": f"ticket {number}"} for number in numbers for k in range(2)
    ]


# Backups in turns, and what was done with a ledger before it was put back.


def test_an_older_backup_and_then_the_newer_one_again_send_nothing_twice(story: Story) -> None:
    path = story.file("a.csv", WANTED)
    story.plan_only(path)
    story.back_up("planned")
    story.kill_on_its_way(path)
    for backup in ("before", "planned"):
        story.put_back(backup)
        assert story.submit(path).code in {0, 4}
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, WANTED)


def test_a_doubt_about_an_earlier_attempt_begins_anew_in_a_newer_backup_too(story: Story) -> None:
    path = story.file("a.csv", WANTED)
    story.kill_on_its_way(path, fault=Fault.HANG_BEFORE)
    assert story.submit(path).code == 4
    assert story.submit(story.file("other.csv", ANOTHER)).code == 0
    time.sleep(LAG + 1)
    story.back_up("in doubt")
    story.kill_on_its_way(path)
    for backup in ("before", "in doubt"):
        story.put_back(backup)
        assert story.submit(path).code in {0, 4}
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, ANOTHER, WANTED)


@pytest.mark.parametrize("then", ["part.csv", "a.csv", "discard"])
def test_a_request_of_which_another_plan_has_taken_a_part_is_in_doubt_as_a_whole(story: Story, then: str) -> None:
    both = [grant(1, 1), grant(1, 2)]
    paths = {"a.csv": story.file("a.csv", *both), "part.csv": story.file("part.csv", both[0])}
    story.plan_only(paths["a.csv"])
    story.back_up("planned")
    story.plan_only(paths["part.csv"])
    story.back_up("newer")
    story.put_back("planned")
    story.kill_on_its_way(paths["a.csv"])
    story.put_back("newer")
    for run in story.runs()[1:] if then == "discard" else ():
        assert story.command("discard", run).code == 0
    story.submit(paths.get(then, paths["a.csv"]))
    assert story.finish(paths["a.csv"]).code == 0
    assert story.has_once(FIRST, *both)


def test_what_was_sent_again_is_in_doubt_although_its_first_attempt_is_settled(story: Story) -> None:
    path = story.file("a.csv", WANTED)
    story.kill_on_its_way(path, fault=Fault.HANG_BEFORE)
    assert story.submit(path).code == 4
    assert story.submit(story.file("other.csv", ANOTHER)).code == 0
    time.sleep(LAG + 1)
    story.back_up("in doubt")
    sent_by = story.runs()[1]
    story.put_back("before")
    assert story.submit(path).code == 4
    (lost,) = (run for run, inputs in runs_and_inputs(story) if f"requests of run {sent_by}" in inputs)
    assert story.command("settle", lost, "--not-arrived").code == 0
    story.back_up("settled")
    story.put_back("in doubt")
    assert story.submit(path).code == 4
    assert story.submit(story.file("control.csv", CONTROLS[0])).code == 0
    time.sleep(LAG + 1)
    story.kill_on_its_way(path)
    story.put_back("settled")
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, ANOTHER, CONTROLS[0], WANTED)


def test_an_imported_grant_is_older_than_the_lost_one_whatever_its_number(story: Story) -> None:
    path, fill = story.file("a.csv", WANTED), [grant(number, 7) for number in range(11, 21)]
    revoke = story.file("revoke.csv", {**WANTED, "operation": "REVOKE", "comment": "leaves"})
    again = story.file("again.csv", {**WANTED, "comment": "is back"})
    assert story.submit(story.file("fill.csv", *fill)).code == 0
    for submitted in (path, revoke):
        assert story.finish(submitted).code == 0
        time.sleep(LAG + 1)
        for run in story.runs():
            story.command("track", run, "--track-for", "0")
    story.kill_on_its_way(again)
    story.put_back("before")
    story.command("ledger", "import")
    for run in story.runs():
        story.command("track", run, "--track-for", "0")
    assert story.finish(again).code == 0
    assert accepted(story.tenant)[pair_of(WANTED)] == 2


def runs_and_inputs(story: Story) -> list[tuple[str, str]]:
    """The ids of the ledger's runs, and their inputs."""
    return rows(story.ledger, "SELECT id, inputs FROM run ORDER BY number")


# Two addresses of one tenant, whose tokens begin to name it after the backup.


class TwoAddresses(Story):
    """A story with a tenant that has another address, and whose tokens do not name it at first."""

    is_named = False

    @property
    def other(self) -> dict[str, str]:
        """The environment with the other address."""
        return {"SAIL_BASE_URL": self.tenant.base_url.replace("127.0.0.1", "localhost")}

    def finish_at_the_other(self, path: Path) -> Ended:
        """Submits an input to the other address until nothing is unconfirmed."""
        end = time.monotonic() + 60
        while (ended := self.submit(path, more=self.other)).code == 4 and time.monotonic() < end:
            time.sleep(1)
        return ended


@pytest.fixture
def two_addresses(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoAddresses]:
    """A tenant that has accepted a request at each address, and lists late."""
    make = TokenIssuer._jwt
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1), visibility_delay=LAG, approval_seconds=0.0, provisioning_seconds=0.0
    )
    with running_sandbox(settings) as tenant:
        story = TwoAddresses(program, tenant, tmp_path)

        def token(issuer: TokenIssuer, expiry: datetime, token_id: str) -> str:
            return make(issuer, expiry, token_id) if story.is_named else token_id

        monkeypatch.setattr(TokenIssuer, "_jwt", token)
        story.back_up("empty")
        assert story.submit(story.file("another.csv", ANOTHER), more=story.other).code == 0
        story.back_up("other")
        assert story.submit(story.file("first.csv", FIRST)).code == 0
        time.sleep(LAG + 1)
        story.back_up("before")
        yield story


@pytest.mark.parametrize("backup", ["other", "before", "planned"])
@pytest.mark.parametrize("answered", [False, True])
def test_what_was_sent_to_another_address_and_is_lost_is_not_sent_again(
    two_addresses: TwoAddresses,
    backup: str,
    answered: bool,  # noqa: FBT001 - a parameter
) -> None:
    story, path = two_addresses, two_addresses.file("a.csv", WANTED)
    unrelated, here = story.file("unrelated.csv", CONTROLS[0]), story.tenant.base_url
    if backup == "planned":
        story.plan_only(path)
        story.back_up(backup)
    if answered:
        assert story.submit(path).code == 0
    else:
        story.kill_on_its_way(path)
    story.put_back(backup)
    story.is_named = True
    for _ in range(2):
        refused = story.submit(path, more=story.other)
        assert (refused.code, f"`access-batch doctor --base-url {here} --ledger {story.ledger}`" in refused.err) == (
            2,
            True,
        )
    assert story.submit(unrelated, more=story.other).code == 0, "other changes wait for nothing"
    assert story.has_once(FIRST, ANOTHER, WANTED, CONTROLS[0])
    story.command("doctor", "--base-url", here)
    assert story.finish_at_the_other(path).code == 0
    assert story.has_once(FIRST, ANOTHER, WANTED, CONTROLS[0])
    assert story.finish(path).code == 0
    assert story.has_once(FIRST, ANOTHER, WANTED, CONTROLS[0])
    assert rows(story.ledger, "SELECT count(*) FROM tenant") == [(1,)]
    assert story.command("ledger", "verify").code == 0


def test_what_the_list_shows_of_another_address_is_known_by_this_one(two_addresses: TwoAddresses) -> None:
    story, path = two_addresses, two_addresses.file("a.csv", WANTED)
    story.kill_on_its_way(path)
    story.put_back("before")
    story.is_named = True
    time.sleep(LAG + 1)
    assert story.submit(path, more=story.other).code == 0
    story.command("doctor", "--base-url", story.tenant.base_url)
    assert (story.finish_at_the_other(path).code, story.finish(path).code) == (0, 0)
    assert story.has_once(FIRST, ANOTHER, WANTED)
    assert story.command("ledger", "verify").code == 0


def test_if_tokens_of_the_other_address_name_no_tenant_the_same_command_goes_on_there(
    two_addresses: TwoAddresses,
) -> None:
    story, path = two_addresses, two_addresses.file("a.csv", WANTED)
    story.kill_on_its_way(path)
    story.put_back("before")
    story.is_named = True
    assert f"with --base-url {story.tenant.base_url} instead" in story.submit(path, more=story.other).err
    story.is_named = False
    assert story.command("doctor", "--base-url", story.tenant.base_url).code in {0, 3}
    assert story.finish(path).code == 0
    story.is_named = True
    assert story.submit(story.file("unrelated.csv", CONTROLS[0]), more=story.other).code == 0
    assert story.submit(path, more=story.other).code == 2
    assert story.has_once(FIRST, ANOTHER, WANTED, CONTROLS[0])


def test_an_address_that_nobody_can_ask_any_more_holds_back_nothing_for_ever(two_addresses: TwoAddresses) -> None:
    story, path = two_addresses, two_addresses.file("a.csv", WANTED)
    story.kill_on_its_way(path, fault=Fault.HANG_BEFORE)
    ((ledger,),), run = rows(story.ledger, "SELECT ledger FROM about"), story.runs()[-1]
    kept = platformdirs.user_state_path("access-batch") / "heads" / ledger / run
    story.put_back("before")
    story.is_named = True
    assert f"remove {kept}" in story.submit(path, more=story.other).err
    kept.unlink()
    assert story.submit(path, more=story.other).code == 0
    assert story.has_once(FIRST, ANOTHER, WANTED)
