"""How the documentation site is built: `make docs`, into build/site. It needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import facesketch

project = "facesketch"
author = "The facesketch founders"
project_copyright = author
release = version = facesketch.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "site_parts",
]
exclude_patterns = ["report/**", "**/README.md"]
default_role = "literal"  # docstrings mark code with single backticks, as Markdown does
smartquotes = False  # -- begins an option

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # what is generated begins below the page's own headings

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"facesketch {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_favicon = "../src/facesketch/server/static/favicon.svg"
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f4e8c", "color-brand-content": "#1f4e8c"},
    "dark_css_variables": {"color-brand-primary": "#9cc2f5", "color-brand-content": "#9cc2f5"},
}
