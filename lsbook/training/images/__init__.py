"""Image classification: its task, views, teachers, and what is measured of it."""
