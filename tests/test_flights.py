"""Work is made once for all who wait, not at all for who has gone, and never without bound."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import Request
from starlette.types import Message

from tileserver import flights
from tileserver.errors import Unavailable
from tileserver.flights import Flights


def client(gone: asyncio.Event) -> Request:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


def test_what_many_wait_for_is_made_once_and_kept_once() -> None:
    made: list[int] = []
    kept: list[str] = []

    def make() -> str:
        made.append(1)
        return "tile"

    async def ask() -> list[str]:
        with ThreadPoolExecutor(2) as executor:
            single: Flights[str] = Flights(executor)
            asked = (single.get("key", make, kept.append, client(asyncio.Event())) for _ in range(50))
            return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == ["tile"] * 50
    assert (made, kept) == ([1], ["tile"])


def test_what_nobody_waits_for_is_not_begun_and_others_are_served() -> None:
    begun: list[str] = []
    go = threading.Event()

    async def ask() -> None:
        with ThreadPoolExecutor(1) as executor:
            single: Flights[str] = Flights(executor)
            here, gone = client(asyncio.Event()), asyncio.Event()
            first = asyncio.ensure_future(single.get("first", lambda: str(go.wait()), begun.append, here))
            left = asyncio.ensure_future(single.get("left", lambda: "left", begun.append, client(gone)))
            shared = [
                asyncio.ensure_future(single.get("shared", lambda: "shared", begun.append, each)) for each in (client(gone), here)
            ]
            await asyncio.sleep(0)
            gone.set()
            with pytest.raises(Unavailable):
                await left
            go.set()
            assert await first == "True"
            assert await shared[1] == "shared"
            with pytest.raises(Unavailable):
                await shared[0]

    asyncio.run(ask())
    assert sorted(begun) == ["True", "shared"]


def test_too_much_at_once_is_refused() -> None:
    go = threading.Event()
    kept: list[bool] = []

    async def ask() -> None:
        with ThreadPoolExecutor(1) as executor:
            single: Flights[bool] = Flights(executor)
            here = client(asyncio.Event())
            waiting = [asyncio.ensure_future(single.get(str(n), go.wait, kept.append, here)) for n in range(flights.MOST_WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="busy"):
                await single.get("one more", go.wait, kept.append, here)
            go.set()
            assert all(await asyncio.gather(*waiting))

    asyncio.run(ask())


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    kept: list[object] = []

    def fail() -> None:
        raise ZeroDivisionError

    async def ask() -> list[object]:
        with ThreadPoolExecutor(1) as executor:
            single: Flights[None] = Flights(executor)
            asked = (single.get("key", fail, kept.append, client(asyncio.Event())) for _ in range(3))
            return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(each) for each in asyncio.run(ask())] == [ZeroDivisionError] * 3
    assert kept == []
