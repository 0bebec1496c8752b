"""From a manifest to exact packages: channels, solving, pixi.lock, the build lock."""
