"""A real browser for the tests that look at the web map, and the patience that it takes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import PATIENCE

CHROMIUM = shutil.which("chromium")
"""The distribution's; without it Playwright looks for its own."""
SOFTWARE_GRAPHICS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; what is expected of its pages may come late."""
    expect.set_options(timeout=PATIENCE * 1_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE_GRAPHICS, timeout=PATIENCE * 1_000)
        yield browser
        browser.close()


def listen(page: Page) -> list[str]:
    """What the page will have said on its console: a breach of its policy is said there."""
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    return said


def wait_for(page: Page, holds: Callable[[], bool], otherwise: str) -> None:
    """Waits, while the page goes on, until a condition holds; fails with `otherwise` if it does not come to.

    The policy forbids the page to evaluate text, so that it cannot wait by itself: it is asked from outside, again and again.
    """
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, otherwise
        page.wait_for_timeout(50)


def settle(page: Page) -> None:
    """Waits until the map has drawn all it asked for."""
    resting = """() => { const { map, ariaBusy } = document.querySelector('#map');
        return Boolean(map?.loaded()) && !map.isMoving() && ariaBusy === 'false'; }"""
    wait_for(page, lambda: bool(page.evaluate(resting)), "the map does not come to rest")
