"""Programs that do the work: one folder each, the parent part here, the child part in its own process."""
