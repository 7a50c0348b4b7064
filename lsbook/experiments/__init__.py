"""What each chapter asks: which runs, which tables. Recorded runs are used; only missing ones are trained."""

from lsbook.experiments import projections

__all__ = ["projections"]
