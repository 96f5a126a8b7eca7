"""Example scenes, made on demand."""
