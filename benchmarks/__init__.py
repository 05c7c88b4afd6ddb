"""Side by side with what a reader would otherwise use; ratios within one run, never asserted in a test."""
