"""How finished pictures are named and announced, by a job's `output_format`."""

EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "EXR": ".exr"}
CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "EXR": "image/x-exr"}
