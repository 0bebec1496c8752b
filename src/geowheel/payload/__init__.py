"""What goes into a wheel beside the bindings: a private osgeo, programs, drivers' plugins."""
