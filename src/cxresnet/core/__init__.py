"""What every room stands on: config, classes, errors, files. No pictures, networks or web."""
