"""Draft a config for the data at a path: a table, a time series, a folder of images or a folder of texts."""

from pathlib import Path

from kerascli.config.starter.columns import study
from kerascli.config.starter.draft import Draft
from kerascli.config.starter.find_series import series_of
from kerascli.config.starter.folders import IMAGES, kind_of, study_folder
from kerascli.config.starter.image_folder import image_draft
from kerascli.config.starter.look import look
from kerascli.config.starter.series import series_draft
from kerascli.config.starter.table import table_draft
from kerascli.config.starter.texts import text_folder_draft
from kerascli.errors import ConfigError, safe_text


def draft_for(data: Path, path: str, target: str | None = None, kind: str | None = None) -> Draft:
    """Examine a data file or folder and return the draft of a config for it, which refers to the data as `path`.

    `target` is the column to predict, `kind` the kind of model; None: to be decided. Raises ConfigError, DataError,
    FileRefused.
    """
    if data.is_dir():
        suffixes = kind_of(data)
        if target is not None:
            raise ConfigError("--target: a folder has no columns; its subfolders are the classes")
        found = study_folder(data, suffixes)
        return image_draft(found, path, kind) if suffixes is IMAGES else text_folder_draft(found, path, kind)
    if data.suffix.lower() in IMAGES:
        text = f"'{safe_text(str(data))}' is one image: init looks at a folder of them"
        raise ConfigError(text, hint=f"--from {safe_text(str(data.parent))}")
    looked = look(data)
    found = study(looked)
    series = series_of(looked, found) if kind not in ("wide_and_deep", "resnet") else None
    if series is not None and (target is None or target in series.values):
        return series_draft(looked, series, target, kind, path)
    return table_draft(looked, found, target, kind, path)
