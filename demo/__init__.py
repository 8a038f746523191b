"""The demo: a year of a grocer's purchase log, prepared and sent through the pipeline."""
