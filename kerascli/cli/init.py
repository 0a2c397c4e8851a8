"""The command `kerascli init [NAME.yaml] [--template NAME | --from DATA] [--model KIND]`: write a new config."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kerascli.cli import program
from kerascli.cli.options import argument, note, option, refuse
from kerascli.foundation.disk.storage import make_folder, write_text
from kerascli.foundation.errors import ConfigError, Interrupted, KerasCliError, safe_text, suggestion

if TYPE_CHECKING:
    from kerascli.config.starter.draft import Draft

_TEMPLATES = Path(__file__).parent.parent / "config" / "starter" / "templates"
_DEFAULT_TEMPLATE = "mlp"
_DEFAULT_CONFIG = Path("config.yaml")
_ABOUT_TEMPLATE = "cnn, linear, lstm, mlp (default), resnet, tiny, transformer or wide_and_deep."
_ABOUT_DATA = "Data to write a config for: a table, or a folder of images or of texts."
_ABOUT_MODEL = "linear, mlp, wide_and_deep, cnn, resnet, lstm or transformer; default: by the data."


@program.app.add("init churn.yaml --from churn.csv --target churned")
def init_command(
    config: Annotated[Path, argument("CONFIG", "Config file to write.")] = _DEFAULT_CONFIG,
    template: Annotated[str | None, option("--template NAME", _ABOUT_TEMPLATE)] = None,
    data: Annotated[Path | None, option("--from WHAT", _ABOUT_DATA)] = None,
    target: Annotated[
        str | None, option("--target COLUMN", "Column to predict; default: by its name, or the last.")
    ] = None,
    model: Annotated[str | None, option("--model KIND", _ABOUT_MODEL)] = None,
    application: Annotated[
        str | None, option("--application NAME", "With --from IMAGES: the network that the model begins with.")
    ] = None,
    search: Annotated[bool, option("--search", "With --from: add a section tune, for 'kerascli tune'.")] = False,
    force: Annotated[bool, option("--force", "Overwrite an existing config.")] = False,
) -> None:
    """Write a config from a template, or for a table, a series, a folder of images or of texts."""
    from kerascli.config.starter.models import KINDS

    if data is not None and template is not None:
        raise ConfigError("give --template or --from, not both")
    if model is not None and template is not None:
        raise ConfigError("give --template or --model, not both", hint="--model alone takes the template of that kind")
    if data is None:
        refuse({"--target": target, "--application": application, "--search": search}, "needs --from")
    if application is not None:
        refuse({"--model": model, "--search": search}, "cannot be used with --application")
    check_name(config)
    if model is not None and model not in KINDS:
        hint = f"there are {', '.join(KINDS)}"
        raise ConfigError(f"there is no model '{model}'{suggestion(model, KINDS)}", hint=hint)
    if config.exists():
        check_free(config, force=force)
    if data is None:
        text = from_template(template or model or _DEFAULT_TEMPLATE, config)
    else:
        from kerascli.cli.import_model import network_named
        from kerascli.config.starter.start import start_from

        network = None if application is None else network_named(application)
        path = Path(os.path.relpath(data, config.parent)).as_posix()
        text = from_data(start_from(data, path, target, model, network), data, config, search=search)
    write_new(config, text, force=force)
    more = f", or search its space: kerascli tune {_quoted(config)}" if search else ""
    note(f"wrote {safe_text(str(config))}; train it: kerascli train {_quoted(config)}{more}")


def template_names() -> list[str]:
    """Return the names of config templates that `init --template` accepts."""
    return sorted(path.stem for path in _TEMPLATES.glob("*.yaml"))


def from_template(name: str, config: Path) -> str:
    """Return the text of the config template `name`; example commands in it use the file name `config`."""
    if name not in (names := template_names()):
        hint = f"there are {', '.join(names)}"
        raise ConfigError(f"there is no template '{name}'{suggestion(name, names)}", hint=hint)
    return (_TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8").replace("CONFIG", _quoted(config))


def from_data(draft: "Draft", data: Path, config: Path, *, search: bool = False) -> str:
    """Return the text of a config for the data at a path, which was trained for a step, and print the reasons for its
    settings, which depend on the data. With `search`, it has a section `tune`.

    Raises KerasCliError.
    """
    from kerascli.config.starter.search import add_search
    from kerascli.config.top_level import run_name
    from kerascli.data.storage.compressed import uncompressed_suffix

    name = ""
    if config.stem == _DEFAULT_CONFIG.stem:  # any other name was chosen, and names the runs
        path = Path(data.resolve().name)
        name = run_name(path if path.suffix.lower() == uncompressed_suffix(path) else Path(path.stem))
    if search:
        add_search(draft)
    note("\n".join([draft.summary, *(f"  {decision}" for decision in draft.reasons())]))
    text = draft.text(_quoted(config), name)
    make_folder(config.parent)  # relative paths of the config begin there
    _try(text, config)
    return text


def _try(text: str, config: Path) -> None:
    """Train a config that is not written yet for a step, and print its warnings. Raises KerasCliError."""
    from kerascli.config.yaml.text import parse_document
    from kerascli.workflow.smoke import first_step

    try:
        for warning in first_step(parse_document(text, str(config), folder=config.parent)):
            note(warning)
    except KerasCliError as error:
        if not isinstance(error, Interrupted):
            note(f"{safe_text(str(config))} is not written: its first training step failed")
        raise


def check_name(config: Path) -> None:
    """Raise ConfigError if the path of a new config does not end in .yaml or .yml: it is probably the path of data."""
    if config.suffix.lower() in {".yaml", ".yml"}:
        return
    hint = f"kerascli init {_quoted(config.parent / ((config.stem or 'config') + '.yaml'))}"
    if config.is_file():
        hint += f" --from {_quoted(config)} makes a config for that table"
    raise ConfigError(f"'{safe_text(str(config))}': the name of a config ends in .yaml", hint=hint)


def write_new(config: Path, text: str, *, force: bool) -> None:
    """Write a new config to a file; an existing file is replaced only if it is a config, and only with `force`.

    Raises ConfigError, StorageError.
    """
    make_folder(config.parent)
    write_text(check_free(config, force=force), text)


def check_free(config: Path, *, force: bool) -> Path:
    """Return the path of a new config if no file exists there, or if `force` allows replacing it; raises otherwise."""
    from kerascli.workflow.outputs import CONFIG, writable

    file = writable(config, CONFIG)
    if config.exists() and not force:
        raise ConfigError(f"'{safe_text(str(config))}' already exists", hint="--force replaces it")
    return file


def _quoted(config: Path) -> str:
    import shlex

    return safe_text(shlex.quote(str(config)))
