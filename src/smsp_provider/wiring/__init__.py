"""The composition root: from settings to the parts of a process. The only place that chooses implementations."""
