"""The network between the processes and the tenant: calls that are late, lost, aborted, and late after all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from tests.simulation.process import SimulatedProcess
    from tests.simulation.tenant import Reply, SimulatedTenant
    from tests.simulation.world import World

FORGOTTEN_AFTER: Final = 100.0
"""Seconds for which a kernel without linger goes on sending the bytes of a closed connection."""


class Flight:
    """One call on its way.

    Attributes:
        sent_at: When it left its machine, in true seconds.
        machine: The machine's name.
        arrived: Whether the tenant has it.
        aborted_at: When its socket was aborted; None if it was not.
    """

    def __init__(
        self, network: Network, process: SimulatedProcess, request: httpx.Request, number: int, chance: Random
    ) -> None:
        self._network = network
        self._process = process
        self.request = request
        self.number = number
        self.chance = chance
        self.sent_at = network.world.now
        self.machine = process.machine.name
        self.arrived = False
        self.aborted_at: float | None = None
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        process.flights.add(self)

    def abort(self) -> None:
        """Take back what has not arrived: it arrives soon, or never."""
        self._process.flights.discard(self)
        if self.aborted_at is None:
            self.aborted_at = self._network.world.now
            if not self.arrived:
                self._network.aborted(self)

    def answered(self, reply: Reply) -> None:
        """The answer has come back."""
        self._process.flights.discard(self)
        if self.aborted_at is None and not self._process.dead and not self.reply.done():
            self.reply.set_result(reply)
            network = self._network
            if network.world.strikes("doubled", self.chance, network.world.options.doubled):
                self._process.stray = reply


class Network:
    """Delivers calls to the tenant.

    Args:
        world: Decides when.
        tenant: Answers them.

    Attributes:
        linger: Whether closing a socket takes back what has not arrived.
        notices_unread: Whether a connection that has unread bytes is closed instead of being used again.
        calls: How many were sent; each has its number.
        begun: How many calls that count were begun, those among them that did not leave.
        under_way: How many calls may still arrive.
    """

    def __init__(self, world: World, tenant: SimulatedTenant) -> None:
        self.world = world
        self._tenant = tenant
        self.linger = True
        self.notices_unread = True
        self.calls = 0
        self.begun = 0
        self.under_way = 0

    def delay(self, chance: Random) -> float:
        """Seconds that a call takes to the place where the tenant counts."""
        least, most = self.world.options.path
        return chance.uniform(least, most)

    def send(self, process: SimulatedProcess, request: httpx.Request, chance: Random) -> Flight:
        """Hand a call to the kernel."""
        self.calls += 1
        flight = Flight(self, process, request, self.calls, chance)
        world = self.world
        path = self.delay(chance)
        if world.strikes("loss", chance, world.options.loss):
            # Nothing gets through for a while; the kernel tries again and again.
            path += chance.expovariate(1 / 30.0)
        self._after(path, flight)
        return flight

    def _after(self, seconds: float, flight: Flight, *, late: bool = False) -> None:
        def arrive() -> None:
            self.under_way -= 1
            self._arrive(flight, late=late)

        self.under_way += 1
        self.world.after(seconds, arrive)

    def aborted(self, flight: Flight) -> None:
        """A socket was closed before its call had arrived."""
        world, chance = self.world, flight.chance
        if not self.linger:
            self._after(chance.uniform(0.0, FORGOTTEN_AFTER), flight, late=True)
        elif "late" in world.options.faults and chance.random() < world.options.late:
            # The assumption: what was aborted arrives within this time, or never.
            self._after(chance.uniform(0.0, world.options.arrives_within), flight, late=True)

    def _arrive(self, flight: Flight, *, late: bool = False) -> None:
        if flight.arrived or (flight.aborted_at is not None and not late):
            return
        flight.arrived = True
        world = self.world
        reply = self._tenant.answer(flight)
        if world.strikes("loss", flight.chance, world.options.loss):
            world.note("network", f"the answer to call {flight.number} is lost")
            return
        world.after(self.delay(flight.chance) + reply.takes, lambda: flight.answered(reply))


class _Content(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


class SimulatedTransport(httpx.AsyncBaseTransport):
    """What a process's HTTP client sends through."""

    def __init__(self, network: Network, process: SimulatedProcess) -> None:
        self._network = network
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        process, world = self._process, self._network.world
        is_submit = request.method == "POST" and request.url.path.removesuffix("/v1").endswith("access-requests")
        process.posts += is_submit
        self._network.begun += not request.url.path.endswith("/oauth/token")
        if is_submit and process.dies_at_post == (process.posts, "before"):
            process.kill("before it sends")
        if is_submit and process.freezes_at_post is not None and process.freezes_at_post[0] == process.posts:
            process.freeze(process.freezes_at_post[1])
            await asyncio.sleep(0)
        await self._unless_dead()
        process.others += not is_submit
        # Submits have fates of their own, whatever else is asked between them.
        which = f"submit {process.posts}" if is_submit else f"call {process.others}"
        chance = world.chance(f"{which} of {process.name}")
        if world.strikes("refused", chance, 0.05):
            await asyncio.sleep(self._network.delay(chance))
            raise httpx.ConnectError("connection refused", request=request)
        trace = request.extensions.get("trace")
        info = {"request": SimpleNamespace(method=request.method.encode())}
        if trace is not None:
            await trace("http11.send_request_headers.started", info)
        flight = self._network.send(process, request, chance)
        stray, process.stray = process.stray, None
        if stray is not None and not self._network.notices_unread:
            flight.reply.set_result(stray)
        if trace is not None:
            await trace("http11.send_request_body.complete", info)
        if is_submit and process.dies_at_post == (process.posts, "after"):
            process.kill("after it has sent")
        await self._unless_dead()
        limit = (request.extensions.get("timeout") or {}).get("read")
        try:
            reply = await asyncio.wait_for(flight.reply, limit)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer", request=request) from None
        finally:
            flight.abort()
        return httpx.Response(
            reply.status, headers=list(reply.headers.items()), stream=_Content(reply.content), request=request
        )

    async def _unless_dead(self) -> None:
        if self._process.dead:
            await asyncio.get_running_loop().create_future()
