"""The typer program of all commands: how their arguments are parsed, and what is done around them."""

import contextlib
import functools
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from kerascli.cli.options import opened_archives
from kerascli.foundation.disk.files import in_home
from kerascli.foundation.errors import ConfigError, one_of, safe_text, suggestion
from kerascli.foundation.user_code import exits_as_errors

F = TypeVar("F", bound=Callable[..., None])

EXAMPLE = "Example: "
"""Beginning of the last line of a command's help."""
_HELP = "Deep learning described, not programmed: train a PyTorch model from one YAML file in Keras's vocabulary."
_PATHS = frozenset({"run", "runs", "what", "resume"})
"""Names of arguments and options of commands that are text and may be paths."""


def _words(annotation: Any) -> tuple[str, ...]:
    """Return the words of the `Literal` in an annotation, which may be optional; () if it has none."""
    parts = get_args(annotation)
    return parts if get_origin(annotation) is Literal else next(filter(None, map(_words, parts)), ())


class _Once:
    """Mixin of typer commands: it refuses an option given twice if it takes one value, where typer would take the last,
    and suggests a word for a misspelt one.

    The help has the whole first paragraph in a list of commands, where typer cuts it to the width, and no Python types
    after the names of arguments (`RUN <str>`).
    """

    def get_short_help_str(self: Any, limit: int = 0) -> str:
        return " ".join(self.help.partition("\n\n")[0].split())

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:
        write = formatter.write_dl
        formatter.write_dl = lambda rows: write([(name.partition(" <")[0], text) for name, text in rows])
        super().format_options(ctx, formatter)  # pyright: ignore[reportAttributeAccessIssue]

    def parse_args(self: Any, ctx: Any, args: list[str]) -> list[str]:
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        for each, times in () if ctx.resilient_parsing else Counter(order).items():
            if times > 1 and not (each.multiple or each.is_flag):
                often = "twice" if times == 2 else f"{times} times"
                raise ConfigError(f"{each.opts[0]} was given {often}", hint="it takes one value")
            words, value = _words(getattr(self.callback, "__annotations__", {}).get(each.name)), values[each.name]
            if words and value not in words:
                near = suggestion(str(value), words)
                raise ConfigError(f"{each.opts[0]} {safe_text(str(value))}: expected {one_of(words)}{near}")
        return super().parse_args(ctx, args)  # pyright: ignore[reportAttributeAccessIssue]


class OnceCommand(_Once, TyperCommand):
    """Typer command whose options with one value are given once."""


class Program(_Once, TyperGroup):
    """Typer group of all commands; when the reader of stdout has gone (`| head`), they end silently, as by SIGPIPE."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _unread():  # --help and --version print here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _unread(), exits_as_errors(), opened_archives:
            result = super().invoke(ctx)
            sys.stdout.flush()
        return result


class ListGroup(_Once, TyperGroup):
    """Group of commands, the first of which, `list`, may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_list = not args and not ctx.resilient_parsing
        is_list |= bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        for before, each in pairwise(args) if is_list else ():
            if each in self.commands and (before == "--json" or not before.startswith("-")):
                raise ConfigError(f"options of '{each}' go after it, not before")
        return super().parse_args(ctx, ["list", *args] if is_list else args)


@contextlib.contextmanager
def _unread() -> Iterator[None]:
    """Context manager that exits with SIGPIPE's exit code if the reader of stdout has gone; click would exit with the
    code of a bug."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # buffered output is flushed to /dev/null
        raise SystemExit(128 + getattr(signal, "SIGPIPE", 13)) from None


class Commands(typer.Typer):
    """Typer program whose commands have an example, and get the home folder for a leading `~` of a path: shells leave
    `--x=~/y` as it is."""

    def add(self, example: str) -> Callable[[F], F]:
        """Return a decorator that adds a command by its example, which begins with the name of the group, if any, and
        its own."""
        name = example.removeprefix(self.info.name or "").split()[0]
        register = self.command(name, cls=OnceCommand, epilog=f"{EXAMPLE}kerascli {example}")

        def add(function: F) -> F:
            @functools.wraps(function)
            def call(**arguments: Any) -> None:
                function(**{key: _in_home(key, value) for key, value in arguments.items()})

            register(call)
            return function

        return add


def _in_home(key: str, value: Any) -> Any:
    """Return an argument of a command with every path in it expanded."""
    if isinstance(value, list | tuple):
        return [_in_home(key, each) for each in value]
    if isinstance(value, Path):
        return Path(in_home(str(value)))
    return in_home(value) if isinstance(value, str) and key in _PATHS else value


app = Commands(
    cls=Program,
    help=_HELP,
    epilog="Begin with your data: kerascli init churn.yaml --from churn.csv",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)


def group(name: str, about: str) -> Commands:
    """Add a group of commands to the program and return it; its name alone is the command `list`."""
    made = Commands(name=name, cls=ListGroup, help=about, rich_markup_mode=None)
    app.add_typer(made)
    return made
