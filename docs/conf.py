"""Settings of Sphinx for the site that `python3 ci/nox.py -s docs` builds."""

project = "geowheel"
extensions = ["myst_parser"]
exclude_patterns = ["README.md"]  # index.rst includes it
html_theme = "furo"
html_title = "geowheel"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
smartquotes = False  # it makes dashes of the hyphens of options
# The anchors that a Git host gives headings as well: MyST checks every link to one.
myst_heading_anchors = 3
highlight_language = "text"
# The theme's own fonts and scripts are files of the site: nothing is loaded from elsewhere.
html_theme_options = {"navigation_with_keys": True}
