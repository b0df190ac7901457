"""A file as a police department gives it out: made up, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tileserver.catalog import Layer

OFFENSES = ("THEFT", "BURGLARY/B&E", "ASSAULT", "MOTOR VEHICLE THEFT", "VANDALISM", "ROBBERY", "OTHER")
DISTRICTS = ("DOWNTOWN", "NORTHWEST", "SOUTHWEST", "EAST")
NAMES = ("MAIN", "OAK", "MAPLE", "CEDAR", "RIVER", "HILL", "PARK", "CHURCH", "MILL", "LAKE")
WAYS = ("ST", "AVE", "DR", "RD", "LN")
HEADER = "incident_id,occurred_at,offense,district,address,loss,longitude,latitude\n"

LAYER = Layer.model_validate(
    {
        "id": "incidents",
        "title": "Incidents",
        "kind": "events",
        "table": "city.incidents",
        "timezone": "America/Chicago",
        "bounds": (-92.7, 34.4, -92.0, 35.1),
        "fields": {
            "incident_id": {"role": "id", "type": "integer"},
            "occurred_at": {"role": "time"},
            "offense": {"role": "category"},
            "district": {"role": "category"},
            "address": {},
            "loss": {"type": "number"},
        },
    }
)


def write(path: Path, rows: int, seed: int = 1) -> None:
    """A CSV file of 8 columns; where it happened gathers around 40 places of a city of 40 km.

    Nothing happens between midnight and 3 o'clock, when clocks change: programs read those hours differently.
    """
    random = np.random.default_rng(seed)
    centres = random.normal((-92.35, 34.74), 0.06, (40, 2)).clip((-92.55, 34.55), (-92.15, 34.95))
    places = centres[random.integers(0, 40, rows)] + random.normal(0, 0.02, (rows, 2)).clip(-0.1, 0.1)
    days = np.datetime64("2019-01-01T00:00") + random.integers(0, 6 * 365, rows).astype("m8[D]")
    minutes = days + random.integers(3 * 60, 24 * 60, rows).astype("m8[m]")
    columns = zip(
        range(10_000_001, 10_000_001 + rows),
        minutes.tolist(),
        random.choice(OFFENSES, rows).tolist(),
        random.choice(DISTRICTS, rows).tolist(),
        random.integers(1, 20_000, rows).tolist(),
        random.integers(1, 60, rows).tolist(),
        random.choice(NAMES, rows).tolist(),
        random.choice(WAYS, rows).tolist(),
        random.gamma(1, 400, rows).tolist(),
        places.tolist(),
        strict=True,
    )
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for id, at, offense, district, house, number, name, way, loss, (x, y) in columns:
            file.write(
                f"{id},{at:%Y-%m-%dT%H:%M:%S},{offense},{district},{house} {name}{number} {way},{loss:.2f},{x:.6f},{y:.6f}\n"
            )
