"""Settings of the documentation's site, for Sphinx: `sphinx-build -W --keep-going -n docs docs/_build/html`."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ.setdefault("MPLBACKEND", "Agg")

import kerascli

project = "kerascli"
author = "the authors of kerascli"
release = kerascli.__version__
extensions = ["myst_parser", "site_pages.extension"]
exclude_patterns = ["_build", "_ext", "_data", "_static", "guides/data"]
nitpicky = True

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "kerascli"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
