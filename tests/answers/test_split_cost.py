"""How many extra requests a bad id costs: at most 2·log2(changes) for each planned request that holds it.

Each of these is refused before the cause is known, and has to be divided.
"""

from __future__ import annotations

from math import log2
from random import Random
from statistics import mean
from typing import TYPE_CHECKING

import pytest

from tests.answers.fussy_tenant import FussyTenant, a_request, pairs, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.model import Request

# Coverage would triple its time.
pytestmark = pytest.mark.unmeasured

BOUND = 2 * log2(2000)
SEEDS = range(6)

Product = tuple[list[str], list[str]]


def ten_of(group: int) -> list[str]:
    return [f"p{10 * group + one}" for one in range(10)]


def bundle(name: str, size: int) -> list[str]:
    return [f"{name}-{one}" for one in range(size)]


def bundles(_: Random) -> list[Product]:
    """Twenty bundles of five items, for twenty people each."""
    return [(ten_of(group), bundle(f"b{group // 2}", 5)) for group in range(40)]


def one_bundle(_: Random) -> list[Product]:
    """The same 25 items for 80 people."""
    return [(ten_of(group), bundle("base", 25)) for group in range(8)]


def teams(random: Random) -> list[Product]:
    """A base bundle for everybody, and another for each team."""
    people = [person for group in range(20) for person in ten_of(group)]
    base = [(ten_of(group), bundle("base", 5)) for group in range(20)]
    random.shuffle(people)
    return base + [(people[10 * t : 10 * t + 10], bundle(f"team{t // 2}", 5)) for t in range(20)]


def loners(random: Random) -> list[Product]:
    """Eighty people, each with 25 items that few others have."""
    return [([f"p{person}"], random.sample(bundle("rare", 400), 25)) for person in range(80)]


def strangers(_: Random) -> list[Product]:
    """Eight full requests that share no id."""
    return [(ten_of(group), bundle(f"b{group}", 25)) for group in range(8)]


def cost(
    world: Callable[[Random], list[Product]],
    seed: int,
    *,
    names: bool,
    people: int = 0,
    items: int = 0,
    bad_pairs: int = 0,
) -> float:
    """Extra requests per bad id or pair and planned request that holds it."""
    random = Random(f"{world.__name__} {seed}")  # noqa: S311 - repeatable, and no secret
    products = world(random)
    random.shuffle(products)
    planned = [a_request(*product, number) for number, product in enumerate(products, start=1)]
    wanted = sorted({pair for request in planned for pair in pairs(request)})
    assert len(wanted) == 2000
    tenant = FussyTenant(
        people=frozenset(random.sample(sorted({person for person, _ in wanted}), people)),
        items=frozenset(random.sample(sorted({item for _, item in wanted}), items)),
        pairs=frozenset(random.sample(wanted, bad_pairs)),
        names=names,
    )
    sent = send(planned, tenant, random, at_once=random.choice([1, 5, 10, 20]))
    assert sorted(sent.accepted.elements()) == [pair for pair in wanted if not tenant.minds(pair)]
    return (sent.posts - len(planned)) / (bad_pairs + sum(_bad_ids(request, tenant) for request in planned))


def _bad_ids(request: Request, tenant: FussyTenant) -> int:
    return len(tenant.people.intersection(request.recipients)) + sum(item.id in tenant.items for item in request.items)


@pytest.mark.parametrize("world", [bundles, one_bundle, teams, loners])
@pytest.mark.parametrize("names", [True, False])
def test_five_bad_identities_and_five_bad_items_cost_no_more_than_the_bound(
    world: Callable[[Random], list[Product]],
    names: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    assert max(cost(world, seed, names=names, people=5, items=5) for seed in SEEDS) <= BOUND


@pytest.mark.parametrize("world", [bundles, one_bundle, teams, loners, strangers])
@pytest.mark.parametrize("kind", ["people", "items", "bad_pairs"])
def test_a_single_bad_id_costs_no_more_than_the_bound_on_average(
    world: Callable[[Random], list[Product]], kind: str
) -> None:
    costs = [cost(world, seed, names=False, **{kind: 1}) for seed in SEEDS]
    assert mean(costs) <= BOUND * (1.5 if world is strangers else 1)


@pytest.mark.parametrize("world", [bundles, one_bundle, teams, loners, strangers])
def test_a_bad_id_that_the_message_names_costs_less_than_two_thirds_of_the_bound(
    world: Callable[[Random], list[Product]],
) -> None:
    assert max(cost(world, seed, names=True, people=5) for seed in SEEDS) <= BOUND * 2 / 3


def test_requests_that_share_no_id_cost_at_most_twice_the_bound() -> None:
    assert max(cost(strangers, seed, names=False, people=5, items=5) for seed in SEEDS) <= 2 * BOUND
