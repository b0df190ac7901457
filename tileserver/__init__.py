"""A city's tables and files as vector tiles, per layer, cached, fast at every zoom."""
