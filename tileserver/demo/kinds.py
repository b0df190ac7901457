"""What happens: the kinds of each layer of events, with their shares, places, rhythms and figures. All by eye."""

from __future__ import annotations

from tileserver.demo.rhythm import Kind

# Value, share, where, hours, week, day of the year at its peak, how far the seasons move it, trend over ten years.

OFFENSES = (
    Kind("THEFT", 24, "shops", "shops", "shops", 345, 0.12, 0.85),
    Kind("ASSAULT", 14, "trouble", "evening", "weekend", 195, 0.2, 1.1),
    Kind("VEHICLE_BREAK_IN", 13, "parked", "night", "even", 210, 0.18, 1.55),
    Kind("VANDALISM", 11, "parked", "night", "weekend", 180, 0.15, 0.95),
    Kind("BURGLARY", 9, "homes", "small_hours", "weekday", 225, 0.15, 0.5),
    Kind("DISTURBANCE", 8, "trouble", "evening", "weekend", 190, 0.3, 0.8),
    Kind("VEHICLE_THEFT", 7, "parked", "night", "even", 220, 0.15, 1.9),
    Kind("FRAUD", 5, "households", "office", "office", 60, 0.1, 2.2),
    Kind("DRUGS", 4.5, "trouble", "evening", "even", 130, 0.1, 0.6),
    Kind("WEAPONS", 2.2, "trouble", "night", "weekend", 185, 0.2, 1.5),
    Kind("ROBBERY", 1.8, "trouble", "evening", "even", 340, 0.15, 0.65),
    Kind("ARSON", 0.5, "empty", "small_hours", "even", 185, 0.25, 1.0),
)
LOSS = {
    "THEFT": 260,
    "VEHICLE_BREAK_IN": 420,
    "VANDALISM": 480,
    "BURGLARY": 1150,
    "VEHICLE_THEFT": 11_500,
    "FRAUD": 1900,
    "ROBBERY": 310,
    "ARSON": 16_000,
}
"""Median loss in USD."""

REQUESTS = (
    Kind("MISSED_PICKUP", 19, "households", "app", "weekday", 360, 0.15, 1.25),
    Kind("POTHOLE", 15, "roads", "day", "weekday", 60, 0.55, 1.35),
    Kind("TALL_GRASS", 13, "yards", "day", "weekday", 180, 0.85, 0.9),
    Kind("BULK_ITEMS", 11, "households", "app", "weekday", 165, 0.2, 1.4),
    Kind("STRAY_ANIMAL", 10, "yards", "app", "even", 170, 0.25, 0.85),
    Kind("STREETLIGHT", 8, "roads", "evening", "weekday", 345, 0.3, 0.7),
    Kind("DUMPING", 7, "empty", "day", "weekday", 120, 0.15, 1.7),
    Kind("DRAINAGE", 5, "roads", "app", "even", 110, 0.35, 1.1, storms=14),
    Kind("SIGN_SIGNAL", 4.2, "roads", "day", "weekday", 200, 0.05, 1.0, storms=5),
    Kind("TREE_DOWN", 3.4, "owners", "app", "even", 140, 0.3, 1.0, storms=45),
    Kind("ABANDONED_VEHICLE", 3, "parked", "day", "weekday", 200, 0.05, 1.2),
    Kind("GRAFFITI", 1.6, "walls", "office", "office", 150, 0.15, 0.6),
)
DAYS_TO_CLOSE = {
    "MISSED_PICKUP": 2,
    "POTHOLE": 9,
    "TALL_GRASS": 24,
    "BULK_ITEMS": 6,
    "STRAY_ANIMAL": 1,
    "STREETLIGHT": 17,
    "DUMPING": 13,
    "DRAINAGE": 30,
    "SIGN_SIGNAL": 5,
    "TREE_DOWN": 4,
    "ABANDONED_VEHICLE": 11,
    "GRAFFITI": 14,
}
"""Medians."""

PERMITS = (
    Kind("ELECTRICAL", 20, "owners", "office", "office", 190, 0.15, 1.2),
    Kind("PLUMBING", 16, "owners", "office", "office", 20, 0.1, 1.05),
    Kind("MECHANICAL", 15, "owners", "office", "office", 195, 0.35, 1.0),
    Kind("ROOF", 14, "owners", "office", "office", 150, 0.3, 1.1, storms=4),
    Kind("RESIDENTIAL_REMODEL", 12, "owners", "office", "office", 130, 0.2, 1.3),
    Kind("NEW_HOME", 9, "edge_of_town", "office", "office", 110, 0.2, 1.5),
    Kind("COMMERCIAL_REMODEL", 7, "business", "office", "office", 90, 0.05, 0.9),
    Kind("DEMOLITION", 4, "empty", "office", "office", 240, 0.1, 1.6),
    Kind("NEW_COMMERCIAL", 3, "business", "office", "office", 100, 0.1, 0.9),
)
WORTH = {
    "ELECTRICAL": 2600,
    "PLUMBING": 2200,
    "MECHANICAL": 6500,
    "ROOF": 11_500,
    "RESIDENTIAL_REMODEL": 28_000,
    "NEW_HOME": 265_000,
    "COMMERCIAL_REMODEL": 95_000,
    "DEMOLITION": 9000,
    "NEW_COMMERCIAL": 1_150_000,
}
"""Median value in USD."""

TRADES = (
    Kind("RETAIL", 19, "business", "office", "office", 20, 0.3, 0.8),
    Kind("CONTRACTOR", 17, "households", "office", "office", 75, 0.25, 1.3),
    Kind("HOME_BUSINESS", 16, "households", "app", "office", 20, 0.3, 2.1),
    Kind("RESTAURANT", 12, "business", "office", "office", 120, 0.1, 1.1),
    Kind("BEAUTY", 9, "business", "office", "office", 40, 0.15, 1.2),
    Kind("OFFICE", 9, "business", "office", "office", 15, 0.3, 0.9),
    Kind("AUTO", 7, "business", "office", "office", 80, 0.1, 0.8),
    Kind("HEALTH", 6, "business", "office", "office", 30, 0.15, 1.25),
    Kind("CHILD_CARE", 3, "households", "office", "office", 220, 0.35, 1.0),
    Kind("LODGING", 2, "households", "app", "office", 130, 0.2, 3.5),
)
SIGNS = {
    "RETAIL": "Market,Outfitters,Books,Hardware,Gifts,Supply,Florist",
    "CONTRACTOR": "Roofing,Builders,Electric,Plumbing,Painting,Landscaping,Fence",
    "HOME_BUSINESS": "Crafts,Design,Tutoring,Consulting,Photography,Cleaning",
    "RESTAURANT": "Kitchen,Grill,Cafe,Bakery,Diner,Pizza,Noodles,Barbecue",
    "BEAUTY": "Salon,Barbers,Nails,Spa",
    "OFFICE": "Partners,Accounting,Insurance,Realty,Software,Title",
    "AUTO": "Motors,Tires,Auto Care,Collision,Car Wash",
    "HEALTH": "Dental,Clinic,Pharmacy,Therapy,Eye Care",
    "CHILD_CARE": "Preschool,Day School,Child Care",
    "LODGING": "Guest House,Cottage,Suites,Inn",
}
"""What follows the first word of a business's name."""

EMPLOYEES = {"RESTAURANT": 13, "HEALTH": 9, "OFFICE": 7, "CHILD_CARE": 7, "RETAIL": 6, "AUTO": 6, "CONTRACTOR": 5, "BEAUTY": 4}
"""Medians; one elsewhere."""

ARRESTS = {"DRUGS": 0.75, "WEAPONS": 0.6, "DISTURBANCE": 0.5, "ASSAULT": 0.42, "ROBBERY": 0.25}
"""Shares of the closed incidents; 0.11 elsewhere."""
