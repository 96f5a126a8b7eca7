"""What this host's processors really do, measured for a moment."""
