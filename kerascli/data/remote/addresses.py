"""Addresses of data: their schemes, credentials that must not be in them, and environment variables (`$env.NAME`); and
the base class of components with addresses or paths."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import model_validator

from kerascli.foundation import user_code
from kerascli.foundation.disk.files import impossible_path, in_home
from kerascli.foundation.errors import CREDENTIAL, ConfigError, Fault, KerasCliError, one_of, safe_text, show
from kerascli.language.component import Component, Invalid

FILE_SCHEMES = ("s3", "gs", "https")
"""Schemes of the addresses of files and folders."""
ENVIRONMENT = re.compile(r"(?<!\$)\$env\.([A-Za-z_][A-Za-z0-9_]*)")
"""Pattern of the value of an environment variable in an address or a path."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_CREDENTIAL = re.compile(CREDENTIAL, re.IGNORECASE)


def scheme_of(path: str) -> str | None:
    """Return the scheme of an address (`s3`) in lower case; None for a path of a file."""
    match = _SCHEME.match(path)
    return match[1].lower() if match else None


def in_place(path: str) -> bool:
    """Return True for a text that no folder can be put in front of: an address, or one that begins with `$env.`."""
    return scheme_of(path) is not None or path.startswith("$env.")


def address_fault(address: str, schemes: tuple[str, ...]) -> str | None:
    """Return what is wrong with an address as it is written in a config or a command; None if nothing is.

    The text does not repeat credentials. Those that `$env.NAME` stands for are not in the address.
    """
    if (scheme := scheme_of(address)) is None:
        return None
    if scheme not in schemes:
        expected = one_of([f"{each}://" for each in schemes]) if schemes else "no address"
        return f"expected {'a path or ' if schemes else ''}{expected}, got {scheme}://..."
    parts = urlsplit(ENVIRONMENT.sub("", address))
    user, at, _ = parts.netloc.rpartition("@")
    if at and user.strip(":"):
        return f"the address holds a user{' and a password' if ':' in user else ''}"
    secret = next((name for name, value in parse_qsl(parts.query) if value and _CREDENTIAL.fullmatch(name)), None)
    return None if secret is None else f"the address holds credentials ({safe_text(secret, 40)}=...)"


CREDENTIALS = (
    "credentials come from the environment: AWS_* or ~/.aws, GOOGLE_APPLICATION_CREDENTIALS, PG* or ~/.pgpass; "
    "or write $env.NAME"
)
"""Hint of the error about an address with credentials."""


def with_environment(path: str) -> str:
    """Return a path or an address with the values of environment variables in place of `$env.NAME`.

    Raises ConfigError if one is not set, FileRefused if the path is that of an archive which is not trusted.
    """

    def value(match: re.Match[str]) -> str:
        user_code.check_trusted(f"'{safe_text(path)}' is not read")
        if not os.environ.get(match[1]):
            raise ConfigError(f"the environment variable {match[1]} is not set; '{safe_text(path)}' needs it")
        return os.environ[match[1]]

    return ENVIRONMENT.sub(value, path)


@contextmanager
def hiding_environment(path: str) -> Iterator[None]:
    """Context manager that writes `$env.NAME` for the values of environment variables in errors about a path."""
    try:
        yield
    except KerasCliError as error:
        names = {name for name in ENVIRONMENT.findall(path) if os.environ.get(name)}

        def hidden(text: str) -> str:
            for name in sorted(names, key=lambda name: -len(os.environ[name])):
                text = text.replace(os.environ[name], f"$env.{name}")
            return text

        def hiding(fault: Fault) -> Fault:
            place = fault.place and replace(fault.place, file=hidden(fault.place.file))
            return replace(fault, text=hidden(fault.text), hint=fault.hint and hidden(fault.hint), place=place)

        error.faults = tuple(map(hiding, error.faults))
        raise


def rebase(old: Path, new: Path) -> Callable[[str], str]:
    """Return a function that converts paths relative to the folder `old` to paths relative to `new`; symbolic links to
    folders are resolved."""

    def rebased(path: str) -> str:
        if os.path.isabs(path) or in_place(path):
            return path
        folder, name = os.path.split(old / path)
        return os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(new))

    return rebased


class InFolder(Component):
    """Base class of components (sources, transforms) whose fields may hold paths relative to the config's folder."""

    paths: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that hold a path, possibly followed by a function's name (`file.py:function`)."""
    schemes: ClassVar[tuple[str, ...]] = ()
    """Schemes of the addresses (`s3`) that these fields may hold instead of a path."""

    @model_validator(mode="after")
    def _paths_are_possible(self) -> Self:
        for name in self.paths:
            path = getattr(self, name)
            if not isinstance(path, str):
                continue
            if (wrong := address_fault(path, self.schemes)) is not None:
                hint = CREDENTIALS if scheme_of(path) in self.schemes else None
                raise Invalid(f"{name}: {wrong}", (name,), hint=hint)
            if not in_place(path) and (reason := impossible_path(path)) is not None:
                raise Invalid(f"{name}: no file can be called {show(path)}: {reason}", (name,))
        begins_at_home = any(str(getattr(self, name)).startswith("~") for name in self.paths)
        return self.with_paths(in_home) if begins_at_home else self

    def with_paths(self, change: Callable[[str], str], fields: Sequence[str] | None = None) -> Self:
        """Return a new component with `change` applied to its paths and those of components in it (all, or only those
        in `fields`).

        It is made anew, since a copy would keep cached values.
        """
        names = type(self).model_fields if fields is None else fields
        changed = {name: _with_paths(getattr(self, name), change, is_path=name in self.paths) for name in names}
        return type(self).model_construct(**dict(self) | changed)


def _with_paths(value: Any, change: Callable[[str], str], *, is_path: bool = False) -> Any:
    """Return a component's setting with `change` applied to its paths: to itself, or to those of components in it."""
    if isinstance(value, str):
        return change(value) if is_path else value
    if isinstance(value, InFolder):
        return value.with_paths(change)
    if isinstance(value, Component):
        return type(value).model_construct(**{name: _with_paths(each, change) for name, each in value})
    if isinstance(value, dict):
        return {key: _with_paths(each, change) for key, each in value.items()}
    return tuple(_with_paths(each, change) for each in value) if type(value) is tuple else value
