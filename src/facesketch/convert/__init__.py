"""Many pictures from the disk: planned first, then converted, going on after failures."""
