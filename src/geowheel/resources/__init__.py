"""Tables as data: read with importlib.resources, validated where they are loaded."""
