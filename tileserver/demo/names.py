"""Names for streets and places: trees, birds, stones and made-up pairs of them; presidents for streets. No other persons."""

from __future__ import annotations

import numpy as np


def _list(names: str) -> list[str]:
    """Names separated by commas."""
    return [" ".join(name.split()) for name in names.split(",")]


TREES = _list("""
    Alder, Ash, Aspen, Bay, Beech, Birch, Buckeye, Catalpa, Cedar, Cherry, Chestnut, Cottonwood, Cypress, Dogwood, Elder, Elm,
    Fir, Gum, Hackberry, Hawthorn, Hazel, Hemlock, Hickory, Holly, Juniper, Larch, Laurel, Linden, Locust, Magnolia, Maple,
    Mulberry, Myrtle, Oak, Olive, Pecan, Persimmon, Pine, Plum, Poplar, Redbud, Rowan, Sassafras, Spruce, Sumac, Sycamore,
    Tamarack, Walnut, Willow, Yew
""")
PRESIDENTS = _list("""
    Washington, Adams, Jefferson, Madison, Monroe, Jackson, Harrison, Tyler, Polk, Taylor, Fillmore, Pierce, Buchanan, Lincoln,
    Grant, Hayes, Garfield, Arthur, Cleveland, McKinley, Roosevelt, Taft, Wilson, Harding, Coolidge, Truman
""")
BIRDS = _list("""
    Bluebird, Bunting, Cardinal, Chickadee, Crane, Curlew, Dove, Egret, Falcon, Finch, Flicker, Goldfinch, Grouse, Gull, Harrier,
    Hawk, Heron, Ibis, Jay, Kestrel, Killdeer, Kingfisher, Lark, Loon, Mallard, Martin, Meadowlark, Merlin, Mockingbird, Nuthatch,
    Oriole, Osprey, Owl, Partridge, Pelican, Pheasant, Pintail, Plover, Quail, Raven, Robin, Sandpiper, Skylark, Snipe, Sparrow,
    Starling, Swallow, Swan, Tanager, Teal, Tern, Thrasher, Thrush, Towhee, Vireo, Warbler, Waxwing, Wren
""")
FIRST = _list("""
    Amber, Apple, Autumn, Bear, Beaver, Birch, Blue, Brook, Canyon, Cedar, Clear, Clover, Copper, Coral, Deer, Dogwood, Eagle,
    East, Elk, Ember, Fair, Fawn, Fern, Fox, Glen, Gold, Granite, Green, Harvest, Hazel, Heather, Hidden, High, Hollow, Honey,
    Iron, Ivy, Juniper, Lake, Laurel, Long, Maple, Meadow, Mill, Mist, Moon, Moss, North, Oak, Old, Orchard, Pebble, Pine,
    Prairie, Quail, Rain, Red, River, Rock, Rose, Sage, Sand, Shadow, Silver, Sky, South, Spring, Star, Stone, Summer, Sun, Sweet,
    Thorn, Timber, Valley, Walnut, West, White, Wild, Willow, Wind, Winter, Wood
""")
SECOND = _list("""
    Bend, Bluff, Bridge, Brook, Cove, Creek, Crest, Crossing, Dale, Field, Forest, Gate, Glade, Glen, Grove, Heath, Hill, Hollow,
    Knoll, Landing, Meadow, Mill, Oak, Orchard, Park, Pass, Path, Point, Pond, Ridge, Run, Shade, Spring, Stone, Summit, Terrace,
    Trace, View, Vista, Water, Wood
""")
ROADS = _list("""
    Airline, Bluff, Bottoms, Brickyard, Cannery, Cattle, Century, Chapel, College, Cotton, County, Depot, Ferry, Flint, Foundry,
    Furnace, Gin, Gravel, Highland, Junction, Kiln, Lantern, Levee, Limestone, Lookout, Lumber, Market, Mill, Millstone, Mound,
    Nursery, Old Ferry, Orchard, Pasture, Pioneer, Plank, Prairie, Pump, Quarry, Railway, Ranch, Rice, Ridge, Salt, Sandstone,
    Sawmill, Schoolhouse, Section, Shale, Spillway, Springs, Stagecoach, Stockyard, Summit, Tannery, Telegraph, Terminal, Tower,
    Trestle, Union, Upland, Vineyard, Wagon, Waterworks, Weaver, Wharf, Windmill
""")
NEIGHBORHOODS = _list("""
    Alder Point, Amber Hills, Barrel Row, Birchwood, Bluffside, Brickyard, Canal Bend, Cannery Row, Cedar Flats, Clearwater,
    Copper Hill, Cotton Row, Crestline, Depot District, Eastgate, Elm Terrace, Fairmeadow, Fernwood, Foundry Park, Foxglove,
    Garden Heights, Granite Ridge, Harvest Park, Heron Landing, Highfield, Hollybrook, Ironwood, Juniper Hill, Kiln Creek,
    Lakemont, Lantern Hill, Laurel Park, Levee District, Limestone Heights, Linden Square, Long Meadow, Maple Bend, Market Square,
    Midtown, Mill Pond, Millstone, Northgate, Oakdale, Old Wharf, Orchard Hill, Pecan Grove, Pine Valley, Prairie View, Quarry
    Heights, Railyard, Redbud Hills, River Terrace, Rosefield, Sandstone, Shadybrook, Southgate, Springdale Park, Stonebridge,
    Summit Park, Sycamore Flats, Timberline, Union Park, Valley View, Westbrook, Willow Bend, Windmill Hill, Woodlake
""")


def shuffled(words: list[str], rng: np.random.Generator) -> list[str]:
    return [words[k] for k in rng.permutation(len(words))]


def pairs(rng: np.random.Generator) -> list[str]:
    """Every pair of two different words, such as "Fox Hollow", in a random order."""
    return shuffled([f"{first} {second}" for first in FIRST for second in SECOND if first != second], rng)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th …; 11th, 12th, 13th."""
    teen = number // 10 % 10 == 1
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
