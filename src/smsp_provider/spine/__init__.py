"""What Spine speaks: messages built and read, without any I/O."""
