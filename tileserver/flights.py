"""Single flight: whatever is made for a key is made once at a time; who asks meanwhile waits for the same one.

Work that nobody waits for any more is not begun, and there is a bound to what may wait: then the answer is 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from starlette.requests import Request

from tileserver.errors import Unavailable

MOST_WAITING = 256
"""Different keys in flight, in one process; a browser's burst of tiles is about 120."""

T = TypeVar("T")


@dataclass(slots=True)
class Flight(Generic[T]):
    made: asyncio.Future[T]
    given_up: Callable[[], object]
    waiting: int = 0


class Flights(Generic[T]):
    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._flights: dict[str, Flight[T]] = {}

    async def get(
        self, key: str, make: Callable[[], T], keep: Callable[[T], None], request: Request, given_up: Callable[[], object] = bool
    ) -> T:
        """What `make` makes on a thread, handed to `keep` once, before anyone who waits gets it; or `given_up` is called once,
        when nobody waits any more for what may have been begun.

        Raises:
            Unavailable: too much is waiting, or the client has gone, and then nobody reads the answer.
        """
        flight = self._flights.get(key) or self._begin(key, make, keep, given_up)
        gone = asyncio.ensure_future(_gone(request))
        flight.waiting += 1
        try:
            await asyncio.wait(cast("list[asyncio.Future[Any]]", [flight.made, gone]), return_when=asyncio.FIRST_COMPLETED)
        finally:
            flight.waiting -= 1
            gone.cancel()
            if not flight.waiting and not flight.made.done():
                flight.made.cancel()
                flight.given_up()
        if not flight.made.done() or flight.made.cancelled():
            raise Unavailable("The client has gone.")
        return flight.made.result()

    def _begin(self, key: str, make: Callable[[], T], keep: Callable[[T], None], given_up: Callable[[], object]) -> Flight[T]:
        if len(self._flights) >= MOST_WAITING:
            raise Unavailable("The server is busy. Try again in a moment.")
        flight = self._flights[key] = Flight(asyncio.get_running_loop().run_in_executor(self._executor, make), given_up)

        def landed(made: asyncio.Future[T]) -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not made.cancelled() and made.exception() is None:
                keep(made.result())

        flight.made.add_done_callback(landed)
        return flight


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
