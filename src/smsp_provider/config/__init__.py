"""Configuration: one frozen tree of settings, and the vocabulary file. Read once, by wiring."""
