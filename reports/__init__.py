"""One stream of results in, the verdict and every report format out."""
