"""What a host says: pyproject.toml, configuration, pixi.toml, files, places."""
