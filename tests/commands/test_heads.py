"""The heads that a machine has seen of its ledgers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from batch.api.dialects import ItemType
from batch.commands.heads import UNREADABLE, Heads
from batch.ledger.standing import Sent, Standing
from batch.model import Head, RequestItem
from tests.builders import request
from tests.rights import ONLY_POSIX

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = {"https://one"}, {"https://two"}
LOST = Head(run="a", number=7, hash="1" * 64)


def test_a_head_that_was_kept_meanwhile_is_not_forgotten_with_the_lost_one(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    heads.keep("ledger", ONE)(LOST, Standing())
    newer = Head(run="a", number=8, hash="2" * 64)
    heads.keep("ledger", ONE)(newer, Standing())
    heads.forget("ledger", [LOST])
    assert heads.seen("ledger", ONE) == (newer,)
    heads.forget("ledger", [newer])
    assert heads.seen("ledger", ONE) == ()


def test_the_request_that_a_tenant_accepted_last_is_known_by_any_of_its_names(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    keep = heads.keep_accepted("ledger", {"https://one", "tenant one"})
    long = request(recipients=("p" * 60,), number=7)
    keep(long, ())
    keep(request(recipients=("p2", "p3"), number=8), ())
    lost = Head(run=long.run, number=7, hash="1" * 64)
    (found,) = heads.accepted("ledger", [lost], {"https://other", "tenant one"})
    assert found.recipients == ("p2", "p3")
    assert heads.accepted("ledger", [lost], {"tenant two"}) == ()
    assert heads.accepted("ledger", [LOST], {"tenant one"}) == ()
    assert heads.seen("ledger", ONE) == ()


def test_what_a_run_has_in_doubt_is_kept_with_its_head_and_what_was_accepted_since_is_not(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    item = RequestItem(type=ItemType.ROLE, id="r", comment="Zoë", metadata={"a": "b"}, account="one")
    some = (request(recipients=("p", "q"), number=number) for number in (7, 8))
    lost, found = (replace(one, items=(item,), tag="0a1b", attempts=0) for one in some)
    head = Head(run=lost.run, number=7, hash="1" * 64)
    standing = Standing(
        doubtful={7: Sent(request=lost, body="0a1b", arrived=True), 8: Sent(request=found)}, alone={5, 6}
    )
    heads.keep("ledger", ONE)(head, standing)
    assert heads.standing("ledger", head) == standing
    heads.keep_accepted("ledger", ONE)(found, [7])
    left = Heads(folder=tmp_path).standing("ledger", head)
    assert left == Standing(doubtful={7: standing.doubtful[7]}, alone={5, 6})
    (last,) = heads.accepted("ledger", [head], ONE)
    assert last.sent == Sent(request=found, arrived=True)
    # After the ledger was put back, another event may have the same number.
    again = Head(run=lost.run, number=7, hash="3" * 64)
    Heads(folder=tmp_path).keep("ledger", ONE)(again, standing)
    assert heads.standing("ledger", again) == standing
    later = Head(run=lost.run, number=9, hash="2" * 64)
    heads.keep("ledger", ONE)(later, standing)
    assert heads.standing("ledger", later) == standing
    assert heads.standing("ledger", head) == Standing()


def test_what_older_versions_have_kept_is_read(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    old = {"number": 7, "tag": "0a1b", "operation": "GRANT", "recipients": ["p"], "items": [], "metadata": {}}
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / LOST.run).write_text(f'{7:12} {LOST.hash} {0:12}\n["https://one"]\n[{json.dumps(old)}]\n')
    (tmp_path / "ledger.accepted").mkdir()
    (tmp_path / "ledger.accepted" / LOST.run).write_text(
        '{"id": "a-7-0a1b", "recipients": ["p"], "tenant": ["https://one"]}'
    )
    assert heads.seen("ledger", ONE) == (LOST,)
    assert [one.request.recipients for one in heads.standing("ledger", LOST).doubtful.values()] == [("p",)]
    assert [(one.id, one.sent) for one in heads.accepted("ledger", [LOST], ONE)] == [("a-7-0a1b", None)]


def test_a_head_of_which_a_part_was_written_counts_as_unreadable_and_not_as_another_one(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    heads.keep("ledger", ONE)(LOST, Standing(alone={1}))
    (path,) = (tmp_path / "ledger").iterdir()
    path.write_text(path.read_text().replace('"alone": [1]', '"alone": [2]'))
    assert [head.number for head in heads.seen("ledger", ONE)] == [UNREADABLE]


def test_users_are_kept_once_for_each_tenant(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    for user in ("u1", "u2", "u1"):
        heads.keep_user("ledger", user, {"https://one"})
    heads.keep_user("ledger", "u3", {"https://two"})
    assert heads.users("ledger", {"https://one"}) == {"u1", "u2"}
    assert len((tmp_path / "ledger.users").read_text().splitlines()) == 3
    assert not heads.trouble


def test_each_tenant_has_heads_of_its_own(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    other = Head(run="b", number=3, hash="2" * 64)
    heads.keep("ledger", ONE | {"tenant one"})(LOST, Standing())
    heads.keep("ledger", TWO)(other, Standing())
    assert heads.seen("ledger", ONE) == heads.seen("ledger", {"tenant one"}) == (LOST,)
    assert heads.seen("ledger", TWO) == (other,)


def test_a_head_that_names_a_tenant_by_a_shorter_name_than_before_is_whole(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    heads.keep("ledger", {"https://a-long-name", "another"})(LOST, Standing())
    heads.keep("ledger", ONE)(LOST, Standing())
    assert heads.seen("ledger", ONE) == (LOST,)
    assert heads.seen("ledger", {"another"}) == ()


def test_a_head_that_cannot_be_read_may_be_any_tenants_and_is_one_that_no_ledger_has(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    line = f"{7:12} {'1' * 64}\n"
    cut = f"{7:12} {'1' * 64} {7:12}\n[]\n[{{".encode()
    for number, content in enumerate([b"", cut, line.encode(), f"{line}[}}]\n".encode()]):
        (tmp_path / "ledger").mkdir(exist_ok=True)
        (tmp_path / "ledger" / f"r{number}").write_bytes(content)
    unreadable = tuple(Head(run=f"r{number}", number=0, hash="") for number in range(4))
    assert heads.seen("ledger", ONE) == heads.seen("ledger", TWO) == unreadable
    heads.forget("ledger", unreadable)
    assert heads.seen("ledger", ONE) == ()


def test_heads_are_seen_although_another_process_forgets_one_meanwhile(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    heads.keep("ledger", ONE)(LOST, Standing())
    # Stands for a file that is gone when it is read: it is listed, and leads nowhere.
    (tmp_path / "ledger" / "0").symlink_to(tmp_path / "gone")
    assert heads.seen("ledger", ONE) == (LOST,)
    assert not heads.trouble


def test_a_head_that_cannot_be_kept_is_complained_about_once(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path / "file" / "heads")
    heads.try_keeping("ledger")
    assert heads.complaints() == ()
    heads = Heads(folder=tmp_path / "file" / "heads" / "ledger" / ".tried")
    heads.try_keeping("ledger")
    (said,) = heads.complaints()
    assert "may not notice that the ledger was put back" in said
    heads.keep("ledger", ONE)(LOST, Standing())
    assert heads.complaints() == ()
    assert heads.seen("ledger", ONE) == ()


def test_trying_leaves_no_head(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    heads.try_keeping("ledger")
    assert heads.seen("ledger", ONE) == ()


def test_no_id_that_somebody_has_written_into_a_ledger_leads_elsewhere(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path / "heads")
    victim = tmp_path / "profile"
    victim.write_text("mine")
    for ledger, run in (("..", "profile"), ("ledger", "../../profile"), ("../profile\0", str(victim))):
        heads.keep(ledger, ONE)(Head(run=run, number=7, hash="1" * 64), Standing())
        heads.keep_user(ledger, "u1", ONE)
        heads.keep_sealed(ledger, str(tmp_path))
        heads.forget(ledger, [Head(run=run, number=7, hash="1" * 64)])
    assert victim.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heads", "profile"]
    assert not heads.trouble


def test_nothing_is_kept_or_forgotten_where_a_link_leads(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    Heads(folder=elsewhere).keep("ledger", ONE)(LOST, Standing())
    before = sorted(elsewhere.rglob("*"))
    for name in ("top", "top/heads", "top/heads/ledger", "top/heads/ledger.accepted"):
        heads = Heads(folder=tmp_path / name.replace("/", "-") / "top" / "heads")
        link = heads.folder.parent.parent / name
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere / "ledger" if name.endswith("/ledger") else elsewhere)
        heads.keep("ledger", TWO)(Head(run="b", number=3, hash="2" * 64), Standing())
        heads.keep_accepted("ledger", TWO)(request(recipients=("p",), number=7), ())
        heads.forget("ledger", [LOST])
        assert sorted(elsewhere.rglob("*")) == before
        assert "is a link to" in heads.trouble


@ONLY_POSIX
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    for name in ("ledger", "ledger.accepted"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / LOST.run)
    os.mkfifo(tmp_path / "ledger.users")
    heads.keep("ledger", ONE)(LOST, Standing())
    heads.keep_user("ledger", "u1", ONE)
    assert heads.seen("ledger", ONE) == (Head(run=LOST.run, number=0, hash=""),)
    assert (heads.users("ledger", ONE), heads.accepted("ledger", [LOST], ONE)) == (frozenset(), ())
    assert "it is not a file" in heads.trouble


def test_a_file_that_is_not_text_is_skipped(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    (tmp_path / "ledger.users").write_bytes(b"\xff\n")
    heads.keep_user("ledger", "u1", ONE)
    assert heads.users("ledger", ONE) == {"u1"}
