"""How finished pictures are named and announced, by a job's `output_format`."""

EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "EXR": ".exr"}
CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "EXR": "image/x-exr"}


def of_frames(output_format: str) -> str:
    """The format of a job's single frames: a film's are PNG."""
    return output_format if output_format in EXTENSIONS else "PNG"
