"""What each chapter asks: which runs, which tables. Recorded runs are used; only missing ones are trained.

A chapter is a module with the name of its notebook. One that asks for runs has a `CHAPTER`; see `shared.chapter`.
A module is imported when it is first named, so that a chapter depends on what it uses alone.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

__all__ = [module.name for module in iter_modules(__path__)]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
