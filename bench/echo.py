"""The baseline of the request figures: a Flask app that reads the same body and answers one of the same size."""

import os

from flask import Flask, Response, request

app = Flask("echo")
QUOTE, STATUS = "x" * int(os.environ.get("QUOTE_BYTES", "600")), "x" * int(os.environ.get("STATUS_BYTES", "600"))


@app.post("/render")
def render() -> Response:
    """Read the form and its file, and answer as many bytes as a quote has."""
    size = len(request.files["file"].read()) + sum(len(value) for value in request.form.values())
    return Response(QUOTE, 402, {"X-Read": str(size)}, content_type="application/json")


@app.get("/render/<job_id>")
def status(job_id: str) -> Response:
    """Answer as many bytes as a job's status has."""
    return Response(STATUS, content_type="application/json")
