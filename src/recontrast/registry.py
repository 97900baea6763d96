"""Find the members of a family (models, recipes, metrics …) by looking into their folder.

One file holds one member and registers it; no list is kept anywhere else. Deleting the file removes the member.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from recontrast.errors import ConfigError, UnknownNameError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Named members of one family, found in the modules of a package.

    Args:
        kind: What the members are, in the singular ("model"); used in messages.
        package: Dotted name of the package whose modules register members.

    Example:
        >>> from recontrast.metrics import METRICS
        >>> "psnr" in METRICS.names()
        True
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._members: dict[str, T] = {}
        self._searched = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make a class or function known as `name`."""

        def keep(member: T) -> T:
            if name in self._members and self._members[name] is not member:
                raise ValueError(f"two {self.kind}s are called '{name}'")
            self._members[name] = member
            return member

        return keep

    def names(self) -> list[str]:
        """Names of all members, sorted."""
        self._search()
        return sorted(self._members)

    def items(self) -> Iterator[tuple[str, T]]:
        """All members with their names, sorted by name."""
        return ((name, self._members[name]) for name in self.names())

    def get(self, name: str) -> T:
        """The member called `name`.

        Raises:
            UnknownNameError: There is no such member; the message names the nearest.
        """
        self._search()
        if name not in self._members:
            raise UnknownNameError.among(self.kind, name, self._members)
        return self._members[name]

    def build(self, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Call the member with keyword options that are checked against its signature.

        Raises:
            UnknownNameError: No such member.
            ConfigError: An option the member does not have, or one it needs is missing.
        """
        member: Any = self.get(name)
        given = dict(options or {})
        collected = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # of base classes: not options
        parameters = {n: p for n, p in inspect.signature(member).parameters.items() if p.kind not in collected}
        for option in given:
            if option not in parameters:
                raise ConfigError(f"{self.kind} '{name}' has no option '{option}': {nearest(option, parameters)}")
        missing = [p.name for p in parameters.values() if p.default is p.empty and p.name not in given]
        if missing:
            raise ConfigError(f"{self.kind} '{name}' needs the option {', '.join(missing)}")
        return member(**given)

    def _search(self) -> None:
        if self._searched:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.ispkg:  # a member is a file; a folder beside it is something else
                importlib.import_module(f"{self._package}.{module.name}")
        self._searched = True
