# SPDX-License-Identifier: Apache-2.0
"""Sphinx: `bash .ci/docs` builds into docs/_build/html, and every warning is an error."""

import importlib.util
import re
from importlib.metadata import version as installed_version
from pathlib import Path

project = "manybody"
author = copyright = "The manybody developers"
version = release = installed_version("manybody")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

# Pages of packages that are not there yet are left out.
api_pages = [page.stem for page in Path(__file__).parent.glob("api/*.md") if page.stem != "index"]
exclude_patterns = [
    "_build",
    *(f"api/{name}.md" for name in api_pages if not importlib.util.find_spec(f"manybody.{name}")),
]

html_theme = "furo"
html_title = "manybody"

# Public names are those in `__all__`.
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
autodoc_class_signature = "separated"
default_role = "code"  # `name` in docstrings, as in Markdown
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # a shape such as "*batch" in a type would be taken for emphasis

LITERAL = re.compile(r"``.*?``|`[^`]*`|:\w+:`[^`]*`|(?<!\w)\*\w[\w ]*\*(?!\w)")
VARIABLES = frozenset({"data", "attribute", "property"})
variables = {}
SPECIAL = re.compile(r"(?<!\\)(\||\*(?!\*?\w+:)|_(?=\W|$))")


def escape(line: str) -> str:
    r"""`|psi|^2`, `c^*` and `x_` outside backquotes are physics in a docstring, not markup; *words* are."""
    parts, end = [], 0
    for literal in LITERAL.finditer(line):
        parts += [SPECIAL.sub(r"\\\1", line[end : literal.start()]), literal.group()]
        end = literal.end()
    return "".join([*parts, SPECIAL.sub(r"\\\1", line[end:])])


def plain_text(app, what, name, obj, options, lines):
    """Escape the lines of a docstring, except in indented examples and in lists."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith((">>>", "...")) or (in_example and line.strip() != "")
        if not in_example:
            bullet, text = re.fullmatch(r"(\s*[*-] |)(.*)", line, re.DOTALL).groups()
            lines[i] = bullet + escape(text)


def keep_variables(app, what, name, obj, options, lines):
    """Remember the text of a variable: Napoleon takes all that stands before its first colon for a type."""
    if what in VARIABLES:
        variables[name] = list(lines)


def restore_variables(app, what, name, obj, options, lines):
    """Undo what Napoleon did to variables."""
    if what in VARIABLES:
        lines[:] = variables[name]


def short_names(app, what, name, obj, options, signature, result):
    """Call an array `Array`, wherever JAX defines it."""
    return [text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, result)]


def setup(app):
    app.connect("autodoc-process-signature", short_names)
    # Napoleon has priority 500
    app.connect("autodoc-process-docstring", plain_text, priority=300)
    app.connect("autodoc-process-docstring", keep_variables, priority=400)
    app.connect("autodoc-process-docstring", restore_variables, priority=600)
