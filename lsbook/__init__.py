"""A reproducible paper: when does label smoothing help?"""

__version__ = "0.1.0"
