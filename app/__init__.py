"""Lightyard's hub: a marketplace for GPU rendering and compute, five public APIs over one core."""

__version__ = "1.0.0"
