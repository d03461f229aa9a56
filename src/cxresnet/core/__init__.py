"""The base of all packages: config, classes, errors, files. No images, networks or web."""
