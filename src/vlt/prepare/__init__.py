"""Convert published data sets and COCO instance files to prepared data sets, which `vlt train` reads."""
