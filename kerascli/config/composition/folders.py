"""Base folders of the relative paths in the `data` section, whose values may come from several files or from
`--set`."""

from pathlib import Path

from kerascli.config.yaml.document import Document
from kerascli.data.base import Transform, rebase
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import Path as ConfigPath


def data_folder(document: Document) -> Path:
    """Return the base folder of the data source's paths: that of the file (or `--set`) that sets the source's `path`,
    or, without a `path`, of the one that names the source."""
    where = _source_path(document)
    return document.folder_of((*where, "path") if document.at((*where, "path")) is not None else where)


def in_one_folder(data: DataSpec, document: Document) -> DataSpec:
    """Return the data section with all its paths relative to the folder of the data source's paths, even those that
    another config file sets."""
    where, home, source = _source_path(document), data_folder(document), data.source
    for field in source.paths:
        folder = document.folder_of((*where, field))
        source = source if folder == home else source.with_paths(rebase(folder, home), [field])

    def rebased(place: tuple[str, str], transform: Transform) -> Transform:
        return transform.with_paths(rebase(document.folder_of(("data", *place)), home))

    return data.with_transforms(rebased).model_copy(update={"source": source})


def _source_path(document: Document) -> ConfigPath:
    """Return the config path of the data source's arguments, such as ('data', 'source', 'csv')."""
    source = document.at(("data", "source"))
    name = (str(next(iter(source))),) if isinstance(source, dict) and len(source) == 1 else ()
    return ("data", "source", *name)
