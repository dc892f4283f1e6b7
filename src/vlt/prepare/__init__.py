"""Convert published data sets, instance files and other referring data to prepared sets, which `vlt train` reads."""
