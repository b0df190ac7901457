"""The web map in a real browser, against a real server with the demo city, under the server's own content security policy."""

from __future__ import annotations

import csv
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
from browsing import chromium, listen, settle, wait_for
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from serving import serving, status, wait_until
from town import NO_POSITION, SCHOOLS, WARDS, Town, report

from tileserver.catalog import GEOMETRY

DOWNTOWN = "map=15/34.742/-92.28"
INCIDENTS = "layers=police_incidents"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all pages, so that they share what they have loaded."""
    context = browser.new_context(viewport={"width": 1000, "height": 640}, locale="en-US")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must say nothing on its console."""
    page = context.new_page()
    said = listen(page)
    yield page
    page.close()
    assert said == []


@pytest.fixture(scope="module")
def far_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a server whose schools, three on one spot, are far from its wards, and whose reports have no position."""
    folder = tmp_path_factory.mktemp("far")
    town = Town(folder)
    town.publish("reports", [report(number, **{GEOMETRY: NO_POSITION}) for number in range(30)])
    far = [school | {GEOMETRY: shapely.Point(-71.0, 42.3 + index / 100)} for index, school in enumerate(SCHOOLS)]
    town.publish("schools", [*far, far[0] | {"id": 3}, far[0] | {"id": 4, "level": "middle"}])
    town.publish("wards", WARDS)
    places = [part for name in ("layers", "styles", "snapshots") for part in (f"--{name}", str(folder / name))]
    with serving(str(folder / "data"), *places, "--workers", "1") as (_, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        yield origin


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a server with reports of which one in three has no kind, without schools, and with wards that cannot be
    served: their file has changed."""
    folder = tmp_path_factory.mktemp("new")
    town = Town(folder)
    town.publish("reports", [report(number) for number in range(30)])
    town.publish("wards", WARDS)
    for id, old, new in (("wards", "integer", "text"), ("reports", "[fields]", 'default_filter = { last = "6m" }\n[fields]')):
        file = town.settings.layers / f"{id}.toml"
        file.write_text(file.read_text().replace(old, new))
    places = [part for name in ("layers", "styles", "snapshots") for part in (f"--{name}", str(folder / name))]
    with serving(str(folder / "data"), *places, "--workers", "1") as (_, origin):
        wait_until(lambda: status(f"{origin}/layers/schools") == status(f"{origin}/layers/reports") == 200)
        yield origin


def keep(page: Page, field: str, *labels: str) -> None:
    """Ticks values of a category of the police incidents."""
    group = page.locator("[data-layer=police_incidents] details.field", has=page.get_by_text(field, exact=True))
    if group.get_attribute("open") is None:
        group.locator("summary").first.click()
    for label in labels:
        group.get_by_role("checkbox", name=label, exact=True).check()


def drawn(page: Page, layer: str) -> list[dict[str, Any]]:
    """The properties of the features of a layer that are on the map now."""
    script = """(layer) => document.querySelector('#map').map.queryRenderedFeatures()
        .filter((feature) => feature.source === layer).map((feature) => feature.properties)"""
    features: list[dict[str, Any]] = page.evaluate(script, layer)
    return features


def answer(url: str) -> Any:
    with urllib.request.urlopen(url) as response:
        return json.load(response)


def test_the_first_look_shows_the_city_and_says_how_many(page: Page, demo_server: str, tmp_path: Path) -> None:
    page.goto(demo_server)
    settle(page)
    count = answer(f"{demo_server}/count/police_incidents?last=1y")["count"]
    expect(page.locator("#sentence")).to_contain_text(f"{count:,}\u00a0police incidents")
    assert drawn(page, "police_incidents")
    assert drawn(page, "streets")
    picture = page.screenshot(path=tmp_path / "viewer.png")
    assert len(picture) > 20_000


def test_a_category_filters_map_count_and_download_and_survives_a_reload(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&{DOWNTOWN}")
    settle(page)
    keep(page, "Offense", "Burglary", "Assault")
    count = answer(f"{demo_server}/count/police_incidents?offense=BURGLARY&offense=ASSAULT")["count"]
    expect(page.locator("#sentence")).to_contain_text(f"{count:,}\u00a0police incidents")
    for _ in range(2):
        kept = "police_incidents.offense=BURGLARY&police_incidents.offense=ASSAULT"
        assert page.url == f"{demo_server}/?{INCIDENTS}&{kept}&{DOWNTOWN}"
        settle(page)
        assert {feature["offense"] for feature in drawn(page, "police_incidents")} == {"BURGLARY", "ASSAULT"}
        csv = page.locator("[data-layer=police_incidents]").get_by_role("link", name="CSV")
        assert csv.get_attribute("href") == f"{demo_server}/downloads/police_incidents.csv?offense=BURGLARY&offense=ASSAULT"
        page.reload()


def test_back_and_forward_walk_through_the_filters(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&{DOWNTOWN}")
    everything = page.get_by_role("radio", name="All dates")
    expect(everything).to_be_checked()
    page.get_by_text("Last 30 days").click()
    page.get_by_label("From").fill("2024-03-01")
    expect(page).to_have_url(f"{demo_server}/?{INCIDENTS}&datetime=2024-03-01/..&{DOWNTOWN}")
    page.go_back()
    expect(page.get_by_role("radio", name="Last 30 days")).to_be_checked()
    page.go_back()
    expect(everything).to_be_checked()
    page.go_forward()
    page.go_forward()
    expect(page.get_by_label("From")).to_have_value("2024-03-01")


def test_a_filter_that_overtakes_its_tiles_wins(page: Page, demo_server: str) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    def asked() -> str:
        """The address of the tiles that the map asks for now."""
        address: str = page.evaluate("() => document.querySelector('#map').map.getSource('police_incidents').tiles[0]")
        return address

    def offenses() -> set[str]:
        return {feature["offense"] for feature in drawn(page, "police_incidents")}

    page.route("**/police_incidents/*/*/*.mvt?offense=BURGLARY*", hold)
    page.goto(f"{demo_server}/?{INCIDENTS}&police_incidents.offense=BURGLARY&{DOWNTOWN}")
    wait_for(page, lambda: bool(held), "no tile is asked for")
    keep(page, "Offense", "Assault")
    page.get_by_role("checkbox", name="Burglary", exact=True).uncheck()
    wait_for(page, lambda: "ASSAULT" in asked() and "BURGLARY" not in asked(), "the map does not hear of the new filter")
    for route in held:
        route.continue_()
    # The map rests for a moment before it asks again for the tiles that were overtaken.
    wait_for(page, lambda: offenses() == {"ASSAULT"}, "tiles of the old filter stay on the map")
    settle(page)
    assert offenses() == {"ASSAULT"}


def test_a_click_tells_what_lies_there_and_zooms_in(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&map=11/34.742/-92.28")
    settle(page)
    click(page, largest(page)[0])
    popup = page.locator(".popup")
    expect(popup).to_contain_text("reports here")
    popup.get_by_role("button", name="Zoom in").click()
    expect(popup).to_have_count(0)
    settle(page)
    assert page.evaluate("document.querySelector('#map').map.getZoom()") == pytest.approx(13, abs=0.01)


def largest(page: Page) -> tuple[list[float], dict[str, Any]]:
    """The place and the properties of the largest aggregate on the map."""
    script = """() => { const { map } = document.querySelector('#map');
        const [largest] = map.queryRenderedFeatures().filter(({ properties }) => properties.cluster)
            .sort((one, other) => other.properties.point_count - one.properties.point_count);
        return [largest.geometry.coordinates, largest.properties]; }"""
    place, properties = page.evaluate(script)
    return place, properties


def click(page: Page, place: list[float]) -> None:
    """Clicks on the map at a longitude and latitude."""
    point = page.evaluate("(place) => document.querySelector('#map').map.project(place)", place)
    box = page.locator("#map").bounding_box()
    assert box
    page.mouse.click(box["x"] + point["x"], box["y"] + point["y"])


LONE_REPORT = """() => { const { map } = document.querySelector('#map');
    const around = ({ x, y }) => map.queryRenderedFeatures([[x - 12, y - 12], [x + 12, y + 12]])
        .filter(({ source }) => source === 'police_incidents');
    const { width, height } = map.getCanvas().getBoundingClientRect();
    const { geometry, properties } = map.queryRenderedFeatures().find(({ source, geometry, properties }) => {
        const { x, y } = geometry.type === 'Point' ? map.project(geometry.coordinates) : {};
        return source === 'police_incidents' && !properties.cluster && x > 20 && y > 20 && x < width - 60 && y < height - 40
            && around({ x, y }).length === 1;
    });
    return [geometry.coordinates, properties]; }"""
"""A report with no other one around it: where it is, and its attributes."""


def test_a_report_that_stands_alone_tells_its_attributes(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&map=16/34.742/-92.28")
    settle(page)
    place, properties = page.evaluate(LONE_REPORT)
    row = answer(f"{demo_server}/ogc/collections/police_incidents/items/{properties['id']}?f=json")["properties"]
    click(page, place)
    popup = page.locator(".popup")
    expect(popup).to_contain_text(row["address"])
    expect(popup).to_contain_text(row["occurred_at"][:4])
    expect(popup.locator("dl")).to_contain_text("Offense")
    expect(popup.locator(".pager")).to_have_count(0)


def test_under_a_filter_tiles_are_lean_and_a_click_brings_the_rest(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&last=1y&map=16/34.742/-92.28")
    settle(page)
    place, properties = page.evaluate(LONE_REPORT)
    assert "offense" in properties
    assert "address" not in properties
    row = answer(f"{demo_server}/ogc/collections/police_incidents/items/{properties['id']}?f=json")["properties"]
    click(page, place)
    popup = page.locator(".popup")
    expect(popup).to_contain_text(row["address"])
    expect(popup.locator("h2")).to_be_focused()


def test_an_aggregate_tells_its_count_and_its_most_frequent_value(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&last=1y&map=12/34.742/-92.28")
    settle(page)
    place, properties = largest(page)
    offenses = answer(f"{demo_server}/layers/police_incidents")["fields"]
    (labels,) = ({each["value"]: each["label"] for each in field["values"]} for field in offenses if field["name"] == "offense")
    click(page, place)
    popup = page.locator(".popup")
    expect(popup.locator("h2")).to_have_text(f"{properties['point_count']:,} reports here")
    expect(popup).to_contain_text(f"{labels[properties['offense']]}, the most frequent")
    expect(popup).to_contain_text("One dot stands for all of them.")
    expect(page.locator("[data-together=police_incidents]")).to_contain_text("20–99")


def test_a_spot_that_no_zoom_takes_apart_gives_its_rows(page: Page, demo_server: str) -> None:
    place = [-92.28, 34.742]
    for zoom in (12, 14, 17):
        page.goto("about:blank")
        page.goto(f"{demo_server}/?{INCIDENTS}&map={zoom}/{place[1]}/{place[0]}")
        settle(page)
        place, properties = largest(page)
    numbers = """() => document.querySelector('#map').map.queryRenderedFeatures()
        .filter(({ layer }) => layer.id.startsWith('police_incidents-count')).map(({ properties }) => properties.point_count)"""
    assert properties["point_count"] in page.evaluate(numbers)
    click(page, place)
    popup = page.locator(".popup")
    expect(popup).to_contain_text("too close together")
    expect(popup.get_by_role("button", name="Zoom in")).to_have_count(0)
    csv = popup.get_by_role("link", name="Download these (CSV)").get_attribute("href")
    with urllib.request.urlopen(f"{csv}") as response:
        rows = response.read().decode().splitlines()[1:]
    assert len(rows) == properties["point_count"] > 16


SPOT = "layers=schools&map=17/42.3/-71"
"""Where `far_server` has three schools."""


def numbers(page: Page) -> list[int]:
    """How many rows lie on each spot of the map that says so."""
    script = """() => { const { map } = document.querySelector('#map');
        return map.queryRenderedFeatures().filter(({ layer }) => layer.id === 'viewer:stacks' && layer.paint['text-opacity'] === 1)
            .map(({ properties }) => properties.point_count); }"""
    found: list[int] = page.evaluate(script)
    return found


def test_rows_on_one_spot_are_numbered_and_then_the_map_rests(page: Page, far_server: str) -> None:
    page.goto(f"{far_server}/?{SPOT}")
    settle(page)
    wait_for(page, lambda: numbers(page) == [3], "the three rows of the spot have no number")
    click(page, [-71.0, 42.3])
    expect(page.locator(".pager")).to_contain_text("1 of 3")
    page.evaluate("""() => { const { map } = document.querySelector('#map');
        map.idles = 0; map.on('idle', () => (map.idles += 1)); }""")
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelector('#map').map.idles") == 0


def test_a_number_is_never_that_of_another_filter_or_zoom(page: Page, far_server: str) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/schools/*/*/*.mvt?level=high*", hold)
    page.goto(f"{far_server}/?{SPOT}")
    settle(page)
    wait_for(page, lambda: numbers(page) == [3], "the three rows of the spot have no number")
    page.locator("[data-layer=schools]").get_by_role("checkbox", name="high").check()
    wait_for(page, lambda: bool(held), "no tile is asked for")
    wait_for(page, lambda: numbers(page) == [], "a number of the old filter stays")
    for route in held:
        route.continue_()
    page.unroute_all(behavior="ignoreErrors")
    wait_for(page, lambda: numbers(page) == [2], "the rows that match have no number")
    page.evaluate("document.querySelector('#map').map.jumpTo({ zoom: 14 })")
    settle(page)
    assert numbers(page) == []


def test_a_long_popup_opens_at_its_top_and_pages_by_keyboard(page: Page, far_server: str) -> None:
    page.set_viewport_size({"width": 1000, "height": 260})
    page.goto(f"{far_server}/?{SPOT}")
    settle(page)
    page.locator(".maplibregl-canvas").focus()
    page.keyboard.press("Enter")
    heading, pager = page.locator(".popup h2"), page.locator(".pager")
    expect(heading).to_be_focused()
    sides = """() => { const { scrollTop, scrollHeight, clientHeight } = document.querySelector('.maplibregl-popup-content');
        return [scrollTop, scrollHeight > clientHeight]; }"""
    assert page.evaluate(sides) == [0, True]
    expect(pager).to_be_in_viewport(ratio=1)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(pager).to_contain_text("2 of 3")
    assert page.evaluate(sides) == [0, True]
    page.keyboard.press("Escape")
    expect(page.locator(".popup")).to_have_count(0)
    expect(page.locator(".maplibregl-canvas")).to_be_focused()


def test_a_value_that_no_row_has_is_told_to_match_nothing(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&offense=NOPE&{DOWNTOWN}")
    expect(page.locator("#sentence")).to_contain_text("No police incidents match the filters")
    page.locator("[data-layer=police_incidents]").get_by_role("button", name="Show all").click()
    count = answer(f"{demo_server}/count/police_incidents")["count"]
    expect(page.locator("#sentence")).to_contain_text(f"{count:,}\u00a0police incidents")


def test_after_a_change_of_dates_the_map_shows_the_new_ones_and_no_others(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&datetime=2020-01-01/2023-12-31&map=15/34.742/-92.28")
    settle(page)
    with urllib.request.urlopen(f"{demo_server}/downloads/police_incidents.csv?last=1y&properties=incident_id") as response:
        new = {row["incident_id"] for row in csv.DictReader(response.read().decode().splitlines())}

    def ids() -> set[str]:
        return {str(each["id"]) for each in drawn(page, "police_incidents") if "cluster" not in each}

    assert ids()
    assert ids().isdisjoint(new)
    page.get_by_text("Last 12 months").click()

    def are_new() -> bool:
        return bool(ids()) and ids() <= new

    wait_for(page, are_new, "rows of the old dates stay on the map")
    settle(page)
    assert are_new()


def test_the_middle_of_the_map_is_read_by_keyboard(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?layers=wards&{DOWNTOWN}")
    settle(page)
    page.locator(".maplibregl-canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".popup")).to_contain_text("Ward")
    page.keyboard.press("Escape")


def test_places_have_icons_and_names_and_areas_have_names(page: Page, demo_server: str, tmp_path: Path) -> None:
    page.goto(f"{demo_server}/?layers=schools,neighborhoods&map=12/34.742/-92.28")
    settle(page)
    script = """() => document.querySelector('#map').map.queryRenderedFeatures()
        .filter(({ layer }) => layer.type === 'symbol').map(({ layer, properties }) => [layer.id, properties.name])"""
    found: list[tuple[str, str]] = page.evaluate(script)
    assert {"schools-label", "neighborhoods-label"} <= {layer for layer, _ in found}
    assert {layer for layer, _ in found} & {"schools", "schools-class1", "schools-class2"}
    assert all(name for _, name in found)
    page.screenshot(path=tmp_path / "names.png")


def test_a_number_is_explained_by_its_classes_and_a_popup_begins_with_the_name(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?layers=neighborhoods&{DOWNTOWN}")
    settle(page)
    legend = page.locator("[data-layer=neighborhoods] .classes")
    expect(legend).to_contain_text("2,500 to 4,000")
    expect(legend).to_contain_text("No value")
    expect(page.locator("[data-layer=neighborhoods]")).to_contain_text("Population (residents)")
    page.locator(".maplibregl-canvas").focus()
    page.keyboard.press("Enter")
    name = drawn_in_the_middle(page)["name"]
    expect(page.locator(".popup h2")).to_have_text(name)
    page.keyboard.press("Escape")


def drawn_in_the_middle(page: Page) -> dict[str, Any]:
    script = """() => { const { map } = document.querySelector('#map');
        return map.queryRenderedFeatures(map.project(map.getCenter())).find(({ layer }) => layer.type === 'fill').properties; }"""
    properties: dict[str, Any] = page.evaluate(script)
    return properties


def test_markup_in_an_attribute_is_shown_as_text(page: Page, demo_server: str) -> None:
    page.goto(demo_server)
    settle(page)
    script = """async (evil) => {
        const { popupContent } = await import('/viewer/popup.js');
        const { speak } = await import('/viewer/words.js');
        const field = { name: 'note', role: 'attribute', type: 'text', title: evil };
        const layer = { id: 'notes', kind: 'places', title: evil, fields: [field] };
        const content = popupContent([{ layer, properties: { id: 1, note: evil } }], { words: speak('en'), legends: {} });
        document.body.append(content);
        return [content.querySelectorAll('img, script, b').length, content.textContent];
    }"""
    evil = "<img src=x onerror=alert(1)><script>alert(1)</script><b>bold</b>"
    elements, text = page.evaluate(script, evil)
    assert elements == 0
    assert text.count(evil) == 3


def test_a_server_that_is_away_is_waited_for(browser: Browser, demo_server: str) -> None:
    page = browser.new_page()
    page.goto(f"{demo_server}/?{INCIDENTS}&{DOWNTOWN}")
    settle(page)
    page.context.set_offline(True)
    page.get_by_text("Last 30 days").click()
    expect(page.locator("#status")).to_have_text("The server did not answer; trying again.")
    page.context.set_offline(False)
    expect(page.locator("#status")).to_be_hidden()
    count = answer(f"{demo_server}/count/police_incidents?last=30d")["count"]
    expect(page.locator("#sentence")).to_contain_text(f"{count:,}\u00a0police incidents")
    page.close()


def test_what_the_server_refuses_is_told_in_its_words(browser: Browser, demo_server: str) -> None:
    page = browser.new_page()
    page.goto(f"{demo_server}/?{INCIDENTS}&datetime=yesterday")
    expect(page.locator("#status")).to_contain_text("datetime takes a date")
    expect(page.locator("#sentence")).to_be_empty()
    page.close()


@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 844)])
def test_a_phone_shows_map_and_sheet_without_sideways_scrolling(page: Page, demo_server: str, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{demo_server}/?layers=police_incidents,schools&lang=es")
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    button = page.get_by_role("button", name="Capas y filtros")
    expect(page.get_by_label("Desde")).to_be_hidden()
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Desde")).to_be_visible()
    assert page.evaluate("document.querySelector('#choices').scrollWidth <= document.querySelector('#choices').clientWidth")


def test_the_link_to_the_other_language_keeps_the_address_even_before_the_layers_are_known(page: Page, demo_server: str) -> None:
    page.route("**/layers", lambda _: None)  # an answer that does not come
    page.goto(f"{demo_server}/?{INCIDENTS}&{DOWNTOWN}")
    expect(page.get_by_role("link", name="Español")).to_have_attribute("href", f"?{INCIDENTS}&{DOWNTOWN}&lang=es")
    page.unroute_all(behavior="ignoreErrors")


def test_spanish_is_spoken_throughout(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?{INCIDENTS}&{DOWNTOWN}")
    page.get_by_role("link", name="Español").click()
    expect(page).to_have_url(f"{demo_server}/?{INCIDENTS}&{DOWNTOWN}&lang=es")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.locator("#sentence")).to_contain_text("incidentes policiales")
    expect(page.get_by_role("link", name="English")).to_be_visible()


def test_a_heat_map_follows_the_filters_of_its_layer_and_a_raster_lies_below_the_rest(page: Page, demo_server: str) -> None:
    page.goto(f"{demo_server}/?layers=wards&last=30d&map=10.2/34.73/-92.31")
    settle(page)
    with page.expect_response(lambda answer: "/police_incidents/tiles/" in answer.url and answer.status == 200) as recent:
        page.get_by_role("checkbox", name="Police incidents: heat map").check()
    with page.expect_response(lambda answer: "/elevation/tiles/" in answer.url and answer.status == 200):
        page.get_by_role("checkbox", name="Elevation").check()
    expect(page.locator("[data-layer=elevation]")).to_contain_text("The colors go from 60 to 340\u00a0m.")
    settle(page)
    order: list[str] = page.evaluate("() => document.querySelector('#map').map.getLayersOrder()")
    assert order.index("water") < order.index("elevation") < order.index("police_incidents.density") < order.index("wards")
    assert "layers=wards,police_incidents.density,elevation" in page.url

    with page.expect_response(lambda answer: "/police_incidents/tiles/" in answer.url and answer.status == 200) as year:
        page.get_by_text("Last 12 months").click()
    settle(page)
    assert "datetime=" in recent.value.url
    assert recent.value.url.split("datetime=")[1] != year.value.url.split("datetime=")[1]
    colors = page.locator("[data-layer=elevation] .ramp stop")
    expect(colors).to_have_count(9)
    page.get_by_role("checkbox", name="Wards").uncheck()
    expect(page.locator("#sentence")).to_have_text("On the map: Elevation and Police incidents: heat map.")


def sees(page: Page, longitude: float, latitude: float) -> bool:
    return bool(page.evaluate("(place) => document.querySelector('#map').map.getBounds().contains(place)", [longitude, latitude]))


def test_the_first_view_is_that_of_what_is_asked_for_and_a_button_leads_to_the_rest(page: Page, far_server: str) -> None:
    page.goto(f"{far_server}/?layers=schools")
    settle(page)
    assert (sees(page, -71.0, 42.31), sees(page, -92.3, 34.7)) == (True, False)
    button = page.get_by_role("button", name="Zoom to it: Wards")
    expect(button).to_be_hidden()
    page.get_by_role("checkbox", name="Wards").check()
    expect(button).to_have_text("Zoom to it")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_be_hidden()
    expect(page.get_by_role("checkbox", name="Wards")).to_be_focused()
    expect(page.get_by_role("button", name="Zoom to it: Schools")).to_be_visible()
    settle(page)
    assert (sees(page, -71.0, 42.31), sees(page, -92.3, 34.7)) == (False, True)
    assert "map=" in page.url


def test_a_layer_without_any_position_says_so_and_has_no_colors(page: Page, far_server: str) -> None:
    page.goto(f"{far_server}/?layers=reports,schools")
    settle(page)
    reports = page.locator("[data-layer=reports]")
    said = "None of them has a position, so none is on the map; they are counted and can be downloaded."
    expect(reports.locator(".body > :first-child")).to_have_text(said)
    expect(reports.locator(".count")).to_have_text("30")
    expect(reports.get_by_role("checkbox", name="Noise")).to_have_count(1)
    expect(reports.locator(".swatch")).to_have_count(0)
    assert page.locator("[data-layer=schools] .swatch").count() > 0
    expect(page.locator("[data-layer='reports.density']")).to_have_count(0)


def test_a_layer_without_rows_says_how_they_come_and_one_that_is_not_ready_why(page: Page, new_server: str) -> None:
    page.goto(f"{new_server}/?layers=schools")
    expect(page.locator("#sentence")).to_have_text("No schools yet.")
    expect(page.locator("[data-layer=schools] .body")).to_contain_text("No rows yet: tileserver ingest schools brings them in.")
    waiting = answer(f"{new_server}/layers")["waiting"]
    assert [layer["id"] for layer in waiting] == ["wards"]
    expect(page.locator("[data-waiting=wards]")).to_have_text(f"Wards{waiting[0]['detail']}")
    settle(page)


def test_the_period_that_the_page_begins_with_has_a_button_and_an_end_long_ago_is_told(page: Page, new_server: str) -> None:
    page.goto(new_server)
    button = page.get_by_role("radio", name="Last 6 months")
    expect(button).to_be_checked()
    expect(page.locator("#dates")).to_contain_text("Reports: the data end on November\u00a015,\u00a02023, and so do these periods.")
    page.get_by_text("All dates").click()
    page.get_by_text("Last 6 months").click()
    expect(button).to_be_checked()
    settle(page)


def test_rows_without_a_value_have_an_entry_by_which_they_can_be_kept(page: Page, new_server: str) -> None:
    page.goto(new_server)
    reports = page.locator("[data-layer=reports]")
    choice = page.get_by_role("checkbox", name="No value")
    expect(reports.locator(".value", has=choice).locator(".swatch circle")).to_have_attribute("fill", "#666666")
    choice.check()
    expect(page.locator("#sentence")).to_contain_text("10\u00a0reports")
    settle(page)
    found = drawn(page, "reports")
    assert found
    assert not any("kind" in each for each in found)


def test_a_server_without_layers_says_how_one_is_made(page: Page, tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    places = [f"--{name}={tmp_path / name}" for name in ("layers", "styles", "snapshots")]
    with serving(str(tmp_path / "data"), *places, "--workers", "1") as (_, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        page.goto(origin)
        expect(page.locator("#status")).to_contain_text("tileserver new LAYER FILE")
        settle(page)
