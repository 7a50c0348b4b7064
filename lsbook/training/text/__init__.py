"""Translation: its task, and what is measured of it."""
