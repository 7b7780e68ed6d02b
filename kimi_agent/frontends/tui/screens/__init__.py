"""Modal screens: pick one of a list, type a line."""
