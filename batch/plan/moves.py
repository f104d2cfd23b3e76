"""Moves of whole requests: rounds that improve a finished plan.

A kit is what a request of several people holds, and whoever wants all of it may have it. As an item spec on its own
does, a kit costs a request for each ten people. So a plan says which kits people have, and whether they get the rest by
item spec or in requests of their own. To join a request or to leave it mostly changes nothing, because a request only
vanishes with the last of its people. Hence two moves. A sweep lets everybody in turn choose again what is cheapest, at
prices that count most of a request for its first person, but some for each other one. A closing takes from one request
all its people, or those with the same in other requests who can do best without it. It stands if it saves a request,
or at least needs no more and brings the next closing nearer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from batch.plan.kits import kits_of, offers_of
from batch.plan.pairs import distinct

if TYPE_CHECKING:
    import numpy.typing as npt

    from batch.api.dialects import Limits
    from batch.plan.kits import Kits
    from batch.plan.pairs import Flags, Numbers, Pairs

ROUNDS: Final = 3
"""Rounds of sweeps and closings."""

_SWEEPS: Final = (0.3, 0.15, 0.0)
"""Softness of the prices in the sweeps of a round: 1 counts all people of a request alike, 0 only the first."""

_CLOSINGS: Final = 0.2
"""Softness of the prices when requests are closed."""

_ASKED: Final = 24
"""Most people to ask how well they can do without a request."""

_MOST_WORK: Final = 20_000
"""Pairs of offers to look at in a round of closings, for each pair: people who want thousands of things are costly."""

_NEVER: Final = 1e6
_EXACT: Final = 1e-9
_OWN: Final = -1
_SINGLE: Final = -2


def improve_by_moves(pairs: Pairs, request: Numbers, limits: Limits) -> Numbers:
    """Improves a plan by moves of whole requests.

    Args:
        pairs: All pairs.
        request: The number of each pair's request, from 0 without gaps.
        limits: Limits of one request.

    Returns:
        The same for a plan with fewer requests; the plan itself if none is found.
    """
    kits = kits_of(pairs, request)
    if not len(kits):
        return request
    search = _Search(pairs, request, kits, limits)
    for number in range(ROUNDS):
        before = search.requests
        search.sweep_all()
        search.close_all(number)
        if search.requests == before:
            break
    return search.numbers() if search.requests <= int(request.max()) else request


class _Search:
    """What everybody has, and how it may change.

    A place is an item spec on its own or a kit; kits are numbered after all item specs.

    Attributes:
        requests: How many requests that needs.
    """

    def __init__(self, pairs: Pairs, request: Numbers, kits: Kits, limits: Limits) -> None:
        self._pairs, self._full, self._most = pairs, limits.recipients, limits.items
        kit = kits.of_request[request]
        in_kit = np.flatnonzero(kit >= 0)
        taken = pairs.who[in_kit] * len(kits) + kit[in_kit]
        self._offers = offers_of(pairs, kits, distinct(taken))
        self._place = self._offers.kit + pairs.item_specs
        self._places = pairs.item_specs + len(kits)
        self._by_place = np.argsort(self._place, kind="stable")
        self._of_place = np.searchsorted(self._place[self._by_place], np.arange(self._places + 1))
        several = np.bincount(distinct(request * pairs.people + pairs.who) // pairs.people) > 1
        choice = np.where(several[request], _SINGLE, _OWN)
        choice[in_kit] = np.searchsorted(self._offers.who * len(kits) + self._offers.kit, taken)
        self._order = np.argsort(-np.diff(pairs.of_who), kind="stable").tolist()
        self._work = 0
        self._set_prices(0.0)
        self._give_all(choice)

    def sweep_all(self) -> None:
        """Lets everybody choose again, those who want most first; what needs the fewest requests stays."""
        best, fewest = self._choice.copy(), self.requests
        for softness in _SWEEPS:
            self._set_prices(softness)
            for person in self._order:
                old, saved = self._leave(person)
                new = self._cheapest(person)
                if self._join(person, new) > saved - _EXACT and (new != old).any():
                    self._leave(person)
                    self._join(person, old)
            if self.requests < fewest:
                best, fewest = self._choice.copy(), self.requests
        self._give_all(best)

    def close_all(self, number: int) -> None:
        """Tries to close a request of each place, those with the fewest people first; `number` is that of the round."""
        self._set_prices(_CLOSINGS)
        self._work, most = 0, _MOST_WORK * len(self._choice)
        places = np.flatnonzero(self._count)
        for place in places[np.argsort((self._count[places] - 1) % self._full, kind="stable")].tolist():
            if self._count[place] and self._work < most:
                self._close(place, number)

    def numbers(self) -> Numbers:
        """The number of each pair's request, from 0 without gaps."""
        pairs, choice = self._pairs, self._choice
        place = np.where(choice == _OWN, self._places + pairs.who, pairs.what)
        # What goes into a request together: a person's pairs of a kit, else one pair.
        cell = len(self._place) + np.arange(len(choice))
        in_kit = choice >= 0
        place[in_kit], cell[in_kit] = self._place[choice[in_kit]], choice[in_kit]
        order = np.lexsort((cell, place))
        begins_cell = np.diff(cell[order], prepend=-1) != 0
        begins_place = np.flatnonzero(np.diff(place[order], prepend=-1))
        nth = np.cumsum(begins_cell)
        nth -= np.repeat(nth[begins_place], np.diff(begins_place, append=len(order)))
        size = np.where(place[order] < self._places, self._full, self._most)
        request = np.empty(len(choice), np.int64)
        request[order] = np.cumsum(begins_cell & (nth % size == 0)) - 1
        return request

    def _close(self, place: int, number: int) -> None:
        """Closes a request of a place if that pays."""
        people, leaving = self._people(place), (self._count[place] - 1) % self._full + 1
        if len(people) > _ASKED:
            people = people[np.sort((np.arange(_ASKED) * len(people) // _ASKED + number) % len(people))]
        if len(people) > leaving:
            extra = [self._try_without(person, place) for person in people.tolist()]
            people = people[np.argsort(extra, kind="stable")[:leaving]]
        before, price, undo = self.requests, 0.0, []
        for person in people.tolist():
            old, saved = self._leave(person)
            price += self._join(person, self._cheapest(person, place)) - saved
            undo.append((person, old))
        if (self.requests, price) < (before, -_EXACT):
            return
        for person, old in undo:
            self._leave(person)
            self._join(person, old)

    def _people(self, place: int) -> Numbers:
        """Who has a place."""
        if place < self._pairs.item_specs:
            held = self._pairs.holders(place)
            alone: Numbers = self._pairs.who[held[self._choice[held] == _SINGLE]]
            return alone
        offers = self._by_place[self._of_place[place] : self._of_place[place + 1]]
        who = self._offers.who[offers]
        held = self._pairs.of_who[who] + self._offers.within[self._offers.starts[offers]]
        together: Numbers = who[self._choice[held] == offers]
        return together

    def _try_without(self, person: int, place: int) -> float:
        """What it would cost if this person left a place."""
        old, saved = self._leave(person)
        price = self._join(person, self._cheapest(person, place)) - saved
        self._leave(person)
        self._join(person, old)
        return price

    def _set_prices(self, softness: float) -> None:
        """Sets what it costs to join a request, and what it saves to leave one, by how many people it has."""
        begun = np.arange(self._full + 1) / self._full
        begun[1:] **= softness
        self._more = np.diff(begun)
        self._less = np.roll(self._more, 1)

    def _give_all(self, choice: Numbers) -> None:
        """Gives everybody these: for each pair the offer that holds it, _SINGLE, or _OWN."""
        self._choice = choice
        offers = distinct(choice[choice >= 0])
        self._count = np.bincount(self._pairs.what[choice == _SINGLE], minlength=self._places)
        self._count += np.bincount(self._place[offers], minlength=self._places)
        own = self._pairs.count_by_person(choice == _OWN)
        self.requests = int((-(-self._count // self._full)).sum() + (-(-own // self._most)).sum())

    def _leave(self, person: int) -> tuple[Numbers, float]:
        """Takes everything from a person; returns the choice that the person had, and its price."""
        choice = self._choice[self._pairs.of_who[person] : self._pairs.of_who[person + 1]].copy()
        places, own = self._needs(person, choice)
        people = self._count[places] % self._full
        self._count[places] -= 1
        self.requests -= int(np.count_nonzero(people == 1 % self._full)) + own
        return choice, float(self._less[people].sum()) + own

    def _join(self, person: int, choice: Numbers) -> float:
        """Gives this to a person who has nothing; returns its price."""
        self._choice[self._pairs.of_who[person] : self._pairs.of_who[person + 1]] = choice
        places, own = self._needs(person, choice)
        people = self._count[places] % self._full
        self._count[places] += 1
        self.requests += int(np.count_nonzero(people == 0)) + own
        return float(self._more[people].sum()) + own

    def _needs(self, person: int, choice: Numbers) -> tuple[Numbers, int]:
        """The places of a choice, and its requests of the person alone."""
        item_specs = self._pairs.what[self._pairs.of_who[person] : self._pairs.of_who[person + 1]]
        places, offers = item_specs[choice == _SINGLE], choice[choice >= 0]
        if len(offers):
            places = np.concatenate([places, self._place[list(dict.fromkeys(offers.tolist()))]])
        return places, -(-int(np.count_nonzero(choice == _OWN)) // self._most)

    def _cheapest(self, person: int, without: int = -1) -> Numbers:
        """A cheap choice for a person who has nothing: what saves most comes first. It may do without a place."""
        item_specs = self._pairs.what[self._pairs.of_who[person] : self._pairs.of_who[person + 1]]
        first, end = self._offers.of_who[person], self._offers.of_who[person + 1]
        places, starts = self._place[first:end], self._offers.starts[first : end + 1]
        within, starts = self._offers.within[starts[0] : starts[-1]], starts - starts[0]
        single = self._more[self._count[item_specs] % self._full]
        single[item_specs == without] = _NEVER
        kit = self._more[self._count[places] % self._full]
        kit[places == without] = _NEVER
        choice, chosen = np.full(len(item_specs), _SINGLE), list[int]()
        gain = np.add.reduceat(single[within], starts[:-1]) - kit if len(kit) else kit
        while len(gain) and gain[best := int(gain.argmax())] > _EXACT:
            choice[within[starts[best] : starts[best + 1]]] = first + best
            chosen.append(best)
            gain[np.logical_or.reduceat((choice >= 0)[within], starts[:-1])] = -1
        self._work += (len(chosen) + 1) * len(within)
        # Requests of their own then take the kits that cost most for each pair.
        chosen.sort(key=lambda one: (kit[one] / (starts[one] - starts[one + 1]), one))
        return self._with_own(choice, single, [(int(first) + one, float(kit[one])) for one in chosen])

    def _with_own(self, choice: Numbers, single: npt.NDArray[np.float64], chosen: list[tuple[int, float]]) -> Numbers:
        """The choice, with requests of the person's own for the rest and for kits that fit, if that is cheaper."""
        rest: Flags = choice == _SINGLE
        count = int(np.count_nonzero(rest))
        own = max(1, -(-count // self._most))
        room, saved, moved = own * self._most - count, float(single[rest].sum()) - own, []
        for offer, price in chosen:
            size = int(self._offers.starts[offer + 1] - self._offers.starts[offer])
            if size <= room:
                room -= size
                saved += price
                moved.append(offer)
        if saved > _EXACT:
            choice[rest] = _OWN
            for offer in moved:
                choice[choice == offer] = _OWN
        return choice
