"""Remove from texts of a page what tells of the machine and its user: the folders of absolute paths."""

import re

_ROOT = r"(?<![\w.:/\\~<-])(?:(?:file|sqlite):/*)?(?:~|[A-Za-z]:)?[/\\]"
_PART = r"""(?:(?![ ][/-])[^"'\n,\]}/\\])"""
"""Character of a part of a path, which may have spaces; a path ends where a YAML value does, or at the next option or
path of a command."""
_HOME = re.compile(rf"""{_ROOT}(?:home|Users)[/\\]{_PART}+(?![/\\]|{_PART})""")
_FOLDERS = re.compile(rf"""{_ROOT}(?=[^\s/\\])(?:{_PART}*[/\\])+|(?<![\w/])~[/\\]""")


def without_folders(text: str) -> str:
    """Return a text in which each absolute path is cut to its last part: `/home/ann/data/t.csv` becomes `t.csv`."""
    return _FOLDERS.sub("", _HOME.sub("~", text))
