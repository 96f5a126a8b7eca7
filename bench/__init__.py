"""Side-by-side measurements of Lightyard against the plainest thing that does the same work: `python -m bench`."""
