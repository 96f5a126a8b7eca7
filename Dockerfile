# The hub: API, worker, beat, signer and migrations are this one image with different commands.
FROM python:3.11-slim-bookworm AS build
WORKDIR /srv
RUN python -m venv /venv
COPY requirements.lock ./
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml wsgi.py celery_app.py ./
COPY app ./app
COPY workers ./workers
COPY gpu_node ./gpu_node
COPY devnet ./devnet
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 lightyard && mkdir -p /data /metrics /signer /run/signer && chown lightyard /data /metrics /signer /run/signer
WORKDIR /srv
COPY --from=build /venv /venv
COPY wsgi.py celery_app.py ./
COPY migrations ./migrations
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 LIGHTYARD_HOME=/data PROMETHEUS_MULTIPROC_DIR=/metrics BIND_HOST=0.0.0.0
USER lightyard
EXPOSE 8000
CMD ["gunicorn", "-c", "python:app.serving", "wsgi:app"]
