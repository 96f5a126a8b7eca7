"""The API for gunicorn: `gunicorn -k gevent wsgi:app`."""

from app.api import unreadable
from app.config import load
from app.factory import create_app

unreadable.install()
app = create_app(load())
