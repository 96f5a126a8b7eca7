"""The API for gunicorn: `gunicorn -k gevent wsgi:app`."""

from app.config import load
from app.factory import create_app

app = create_app(load())
